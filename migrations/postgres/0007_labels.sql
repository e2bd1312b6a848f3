-- Releasability labels: the one in force for each proposal, and what the parties signed since they handed a version in.

-- The nations of the label in force in order, a blank around each; '' without a label.
ALTER TABLE proposals ADD COLUMN releasable_key TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE label_partners (
    proposal_id TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT COLLATE "C" NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (proposal_id, partner)
);

CREATE TABLE label_caveats (
    proposal_id TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    caveat      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (proposal_id, caveat)
);

-- A relabelling of the version with that manifest. in_force_at: every party has signed.
CREATE TABLE label_statements (
    proposal_id     TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    number          BIGINT NOT NULL,
    manifest_sha256 TEXT COLLATE "C" NOT NULL,
    sha256          TEXT COLLATE "C" NOT NULL,
    body            TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    in_force_at     BIGINT,
    PRIMARY KEY (proposal_id, number)
);

CREATE TABLE label_signatures (
    proposal_id TEXT COLLATE "C" NOT NULL,
    number      BIGINT NOT NULL,
    partner     TEXT COLLATE "C" NOT NULL REFERENCES partners (partner),
    member      TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    jws         TEXT COLLATE "C" NOT NULL,
    signed_at   BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, number, partner),
    FOREIGN KEY (proposal_id, number) REFERENCES label_statements (proposal_id, number)
);
