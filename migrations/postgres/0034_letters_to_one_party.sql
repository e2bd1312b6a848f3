-- The party that a letter is for, as its statement says; NULL where it is for all parties.
ALTER TABLE letters ADD COLUMN party TEXT REFERENCES partners (partner);
