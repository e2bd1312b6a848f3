-- A final decision is superseded by another one that every funder signs. What it says of the one before and why is in each signature
-- too; decisions of before this migration superseded nothing.
ALTER TABLE decisions ADD COLUMN supersedes TEXT COLLATE "C";
ALTER TABLE decisions ADD COLUMN reason TEXT COLLATE "C";

-- Parties that wish to withdraw a proposal that every party has signed. It is withdrawn once each of them does.
CREATE TABLE withdrawal_wishes (
    proposal_id TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    partner     TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    member      TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    wished_at   BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, partner)
);
