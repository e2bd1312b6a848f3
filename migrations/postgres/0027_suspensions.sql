-- Since when a partner takes no part, and the word that says why; both NULL while it does. The log has every suspension and its end.
ALTER TABLE partners ADD COLUMN suspended_at BIGINT;
ALTER TABLE partners ADD COLUMN suspended_for TEXT COLLATE "C";
