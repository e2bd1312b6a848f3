-- What is known of time, in one row: the latest instant at which a server was well, up to which instant the operator has accepted that
-- entries are ahead of the clock, and how many hours servers have run, which no clock can change.
CREATE TABLE pulse (
    pulse_id       INTEGER NOT NULL PRIMARY KEY CONSTRAINT pulse_is_one CHECK (pulse_id = 1),
    at             INTEGER NOT NULL,
    accepted_until INTEGER NOT NULL,
    hours          INTEGER NOT NULL
) STRICT;
INSERT INTO pulse (pulse_id, at, accepted_until, hours) VALUES (1, 0, 0, 0);

-- How many hours servers had run when the answer was given: it is forgotten by this as well as by its instant.
ALTER TABLE idempotency_keys ADD COLUMN hours INTEGER NOT NULL DEFAULT 0;
