-- Who takes which part, as it was signed: clients that wrap keys go by these. What stood before this migration is not signed, and
-- counts at the exchange alone.
CREATE TABLE role_statements (
    call_id          TEXT COLLATE "C" NOT NULL REFERENCES calls (call_id),
    number           BIGINT NOT NULL,
    statement        TEXT NOT NULL,
    statement_sha256 TEXT COLLATE "C" NOT NULL,
    stated_by        TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    stated_at        BIGINT NOT NULL,
    PRIMARY KEY (call_id, number)
);

ALTER TABLE assignments ADD COLUMN statement TEXT;

CREATE TABLE declaration_statements (
    proposal_id      TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    member           TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    number           BIGINT NOT NULL,
    statement        TEXT NOT NULL,
    statement_sha256 TEXT COLLATE "C" NOT NULL,
    stated_by        TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    stated_at        BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, member, number)
);
