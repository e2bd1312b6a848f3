-- The partners that own a proposal, whether anybody has joined their party yet or not.
CREATE TABLE proposal_parties (
    proposal_id TEXT   NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT   NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (proposal_id, partner)
) STRICT;
INSERT INTO proposal_parties (proposal_id, partner) SELECT DISTINCT proposal_id, partner FROM proposal_members;

-- Who is asked to join a party, and joined it by their own signature. Those of before this migration were put there by others and have
-- no row. A row that was accepted stays when its member leaves, and when they are asked again: others came by their invitation.
CREATE TABLE party_invitations (
    proposal_id  TEXT   NOT NULL REFERENCES proposals (proposal_id),
    member       TEXT   NOT NULL REFERENCES members (member),
    number       INTEGER NOT NULL,
    partner      TEXT   NOT NULL REFERENCES partners (partner),
    invited_by   TEXT   NOT NULL REFERENCES members (member),
    invited_at   INTEGER NOT NULL,
    sha256       TEXT   NOT NULL,
    statement    TEXT   NOT NULL,
    consented_by TEXT   REFERENCES members (member),
    consented_for TEXT,
    acceptance   TEXT,
    accepted_at  INTEGER,
    PRIMARY KEY (proposal_id, member, number)
) STRICT;
CREATE INDEX party_invitations_by_member ON party_invitations (member, proposal_id);
