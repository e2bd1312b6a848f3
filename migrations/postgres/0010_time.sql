-- What is known of time, in one row: the latest instant at which a server was well, up to which instant the operator has accepted that
-- entries are ahead of the clock, and how many hours servers have run, which no clock can change.
CREATE TABLE pulse (
    pulse_id       BIGINT NOT NULL PRIMARY KEY CONSTRAINT pulse_is_one CHECK (pulse_id = 1),
    at             BIGINT NOT NULL,
    accepted_until BIGINT NOT NULL,
    hours          BIGINT NOT NULL
);
INSERT INTO pulse (pulse_id, at, accepted_until, hours) VALUES (1, 0, 0, 0);

-- How many hours servers had run when the answer was given: it is forgotten by this as well as by its instant.
ALTER TABLE idempotency_keys ADD COLUMN hours BIGINT NOT NULL DEFAULT 0;
