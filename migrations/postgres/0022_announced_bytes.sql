-- The bytes of documents that a party signed for and that are not here yet, for the quota of its nation: otherwise members could announce in each
-- proposal as much as the nation may keep in all. Versions that were signed before have no row: their documents are taken all the same.
CREATE TABLE announced_bytes (
    proposal_id TEXT COLLATE "C" NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT COLLATE "C" NOT NULL REFERENCES partners (partner),
    -- Who signed for them.
    member      TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    bytes       BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, partner)
);
CREATE INDEX announced_bytes_by_partner ON announced_bytes (partner, proposal_id, member, bytes);
