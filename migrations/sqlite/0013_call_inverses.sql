-- Why a text replaced the one before, and the lowest version whose proposals count since: parties read since when and why theirs is void.
-- Of amendments made before neither is kept here.
ALTER TABLE call_texts ADD COLUMN baseline INTEGER;
ALTER TABLE call_texts ADD COLUMN reason TEXT;
-- An extension that is taken back stays on record, and counts no more.
ALTER TABLE call_extensions ADD COLUMN withdrawn_at INTEGER;
ALTER TABLE call_extensions ADD COLUMN withdrawn_by TEXT REFERENCES members (member);
ALTER TABLE call_extensions ADD COLUMN withdrawn_reason TEXT;
