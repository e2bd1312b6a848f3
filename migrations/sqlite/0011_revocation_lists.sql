-- In which files a partner's revocation lists were found, line by line; NULL while none was ever used. A partner that had lists needs
-- lists, also after a restart with an empty folder. Empty: the operator has said that the partner publishes none any more.
ALTER TABLE partners ADD COLUMN list_files TEXT;
