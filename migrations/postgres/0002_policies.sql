-- BIGINT also holds instants (epoch milliseconds); the other engine's file has the same columns.

-- Versions of each owner's policies: a partner's code or `guardrails`. statement and approval are what two policy officers
-- signed; what the columns say besides must be what the statements say.
CREATE TABLE policy_versions (
    owner            TEXT COLLATE "C" NOT NULL,
    version          BIGINT NOT NULL,
    text             TEXT COLLATE "C" NOT NULL,
    statement        TEXT COLLATE "C" NOT NULL,
    statement_sha256 TEXT COLLATE "C" NOT NULL,
    active_at        BIGINT NOT NULL,
    proposed_by      TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    proposed_at      BIGINT NOT NULL,
    approval         TEXT COLLATE "C",
    approved_by      TEXT COLLATE "C" REFERENCES members (member),
    approved_at      BIGINT,
    withdrawn_by     TEXT COLLATE "C" REFERENCES members (member),
    withdrawn_at     BIGINT,
    PRIMARY KEY (owner, version)
);

-- Counts up whenever what is in force may change, so that every server notices within its next unit of work.
CREATE TABLE policy_generation (
    one        BIGINT NOT NULL PRIMARY KEY CONSTRAINT policy_generation_one CHECK (one = 1),
    generation BIGINT NOT NULL
);
INSERT INTO policy_generation (one, generation) VALUES (1, 0);

CREATE FUNCTION policy_versions_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'versions of policies stay as they are'
        USING ERRCODE = '23000', CONSTRAINT = 'policy_versions_append_only';
END $$;
CREATE TRIGGER policy_versions_are_kept BEFORE DELETE OR TRUNCATE ON policy_versions
    FOR EACH STATEMENT EXECUTE FUNCTION policy_versions_append_only();
CREATE TRIGGER policy_texts_are_final BEFORE UPDATE OF owner, version, text, statement, active_at, proposed_by ON policy_versions
    FOR EACH STATEMENT EXECUTE FUNCTION policy_versions_append_only();
