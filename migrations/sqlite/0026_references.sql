-- What people call things by: the code of a call, as its text in force says it, and the number of a proposal's reference. Calls of before this
-- migration have no code in the text that was signed, so they have none here, and their proposals no number: nothing of them was released, and
-- the program does not read such texts.
ALTER TABLE calls ADD COLUMN code TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX calls_code_program_id_key ON calls (code, program_id) WHERE version > 0 AND code <> '';

ALTER TABLE proposals ADD COLUMN number TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX proposals_call_id_number_key ON proposals (call_id, number) WHERE number <> '';
