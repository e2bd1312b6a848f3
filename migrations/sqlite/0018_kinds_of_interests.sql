-- Entries about interests get the names that say what was done: a declaration to have no conflict read as if a claim had been refused.
-- What they record stays as it is.
DROP TRIGGER log_entries_are_final;
UPDATE log_entries SET kind = 'interest.declared_clear' WHERE kind = 'conflict.denied';
UPDATE log_entries SET kind = 'interest.declared_conflict' WHERE kind = 'conflict.declared';
UPDATE log_entries SET kind = 'interest.conflict_lifted' WHERE kind = 'conflict.lifted';
CREATE TRIGGER log_entries_are_final BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries_append_only'); END;
