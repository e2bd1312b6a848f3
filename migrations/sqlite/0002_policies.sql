-- INTEGER also holds instants (epoch milliseconds); the other engine's file has the same columns.

-- Versions of each owner's policies: a partner's code or `guardrails`. statement and approval are what two policy officers
-- signed; what the columns say besides must be what the statements say.
CREATE TABLE policy_versions (
    owner            TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    text             TEXT    NOT NULL,
    statement        TEXT    NOT NULL,
    statement_sha256 TEXT    NOT NULL,
    active_at        INTEGER NOT NULL,
    proposed_by      TEXT    NOT NULL REFERENCES members (member),
    proposed_at      INTEGER NOT NULL,
    approval         TEXT,
    approved_by      TEXT REFERENCES members (member),
    approved_at      INTEGER,
    withdrawn_by     TEXT REFERENCES members (member),
    withdrawn_at     INTEGER,
    PRIMARY KEY (owner, version)
) STRICT;

-- Counts up whenever what is in force may change, so that every server notices within its next unit of work.
CREATE TABLE policy_generation (
    one        INTEGER NOT NULL PRIMARY KEY CONSTRAINT policy_generation_one CHECK (one = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO policy_generation (one, generation) VALUES (1, 0);

CREATE TRIGGER policy_versions_are_kept BEFORE DELETE ON policy_versions
BEGIN SELECT RAISE(ABORT, 'policy_versions_append_only'); END;
CREATE TRIGGER policy_texts_are_final BEFORE UPDATE OF owner, version, text, statement, active_at, proposed_by ON policy_versions
BEGIN SELECT RAISE(ABORT, 'policy_versions_append_only'); END;
