-- Releasability labels: the one in force for each proposal, and what the parties signed since they handed a version in.

-- The nations of the label in force in order, a blank around each; '' without a label.
ALTER TABLE proposals ADD COLUMN releasable_key TEXT NOT NULL DEFAULT '';

CREATE TABLE label_partners (
    proposal_id TEXT NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (proposal_id, partner)
) STRICT;

CREATE TABLE label_caveats (
    proposal_id TEXT NOT NULL REFERENCES proposals (proposal_id),
    caveat      TEXT NOT NULL,
    PRIMARY KEY (proposal_id, caveat)
) STRICT;

-- A relabelling of the version with that manifest. in_force_at: every party has signed.
CREATE TABLE label_statements (
    proposal_id     TEXT    NOT NULL REFERENCES proposals (proposal_id),
    number          INTEGER NOT NULL,
    manifest_sha256 TEXT    NOT NULL,
    sha256          TEXT    NOT NULL,
    body            TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    in_force_at     INTEGER,
    PRIMARY KEY (proposal_id, number)
) STRICT;

CREATE TABLE label_signatures (
    proposal_id TEXT    NOT NULL,
    number      INTEGER NOT NULL,
    partner     TEXT    NOT NULL REFERENCES partners (partner),
    member      TEXT    NOT NULL REFERENCES members (member),
    jws         TEXT    NOT NULL,
    signed_at   INTEGER NOT NULL,
    PRIMARY KEY (proposal_id, number, partner),
    FOREIGN KEY (proposal_id, number) REFERENCES label_statements (proposal_id, number)
) STRICT;
