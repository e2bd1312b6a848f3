-- Why a text replaced the one before, and the lowest version whose proposals count since: parties read since when and why theirs is void.
-- Of amendments made before neither is kept here.
ALTER TABLE call_texts ADD COLUMN baseline BIGINT;
ALTER TABLE call_texts ADD COLUMN reason TEXT COLLATE "C";
-- An extension that is taken back stays on record, and counts no more.
ALTER TABLE call_extensions ADD COLUMN withdrawn_at BIGINT;
ALTER TABLE call_extensions ADD COLUMN withdrawn_by TEXT COLLATE "C" REFERENCES members (member);
ALTER TABLE call_extensions ADD COLUMN withdrawn_reason TEXT COLLATE "C";
