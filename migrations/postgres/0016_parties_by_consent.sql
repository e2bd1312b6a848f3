-- The partners that own a proposal, whether anybody has joined their party yet or not.
CREATE TABLE proposal_parties (
    proposal_id TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (proposal_id, partner)
);
INSERT INTO proposal_parties (proposal_id, partner) SELECT DISTINCT proposal_id, partner FROM proposal_members;

-- Who is asked to join a party, and joined it by their own signature. Those of before this migration were put there by others and have
-- no row. A row that was accepted stays when its member leaves, and when they are asked again: others came by their invitation.
CREATE TABLE party_invitations (
    proposal_id  TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    member       TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    number       BIGINT NOT NULL,
    partner      TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    invited_by   TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    invited_at   BIGINT NOT NULL,
    sha256       TEXT COLLATE "C"   NOT NULL,
    statement    TEXT COLLATE "C"   NOT NULL,
    consented_by TEXT COLLATE "C"   REFERENCES members (member),
    consented_for TEXT COLLATE "C",
    acceptance   TEXT COLLATE "C",
    accepted_at  BIGINT,
    PRIMARY KEY (proposal_id, member, number)
);
CREATE INDEX party_invitations_by_member ON party_invitations (member, proposal_id);
