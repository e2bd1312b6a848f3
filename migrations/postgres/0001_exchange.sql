-- Text is compared by its bytes (COLLATE "C"), as SQLite does, so that pages come in the same order.

-- Partners as the host's operator enrolled them. The card (anchors, registrars) is what clients pin.
CREATE TABLE partners (
    partner       TEXT COLLATE "C"    NOT NULL PRIMARY KEY,
    name          TEXT COLLATE "C"    NOT NULL,
    zone          TEXT COLLATE "C"    NOT NULL,
    card          TEXT COLLATE "C"    NOT NULL,
    card_sha256   TEXT COLLATE "C"    NOT NULL,
    enrolled_at   BIGINT  NOT NULL,
    changed_at    BIGINT  NOT NULL
);

-- Counts up whenever partners change, so that running servers notice.
CREATE TABLE trust_generation (
    one        BIGINT NOT NULL PRIMARY KEY CONSTRAINT trust_generation_one CHECK (one = 1),
    generation BIGINT NOT NULL
);
INSERT INTO trust_generation (one, generation) VALUES (1, 0);

CREATE TABLE members (
    member       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    partner      TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    name         TEXT COLLATE "C"   NOT NULL,
    organisation TEXT COLLATE "C"   NOT NULL,
    roles        TEXT COLLATE "C"   NOT NULL,
    key_card     TEXT COLLATE "C"   NOT NULL,
    serial       BIGINT NOT NULL,
    status       TEXT COLLATE "C"   NOT NULL,
    valid_from   BIGINT NOT NULL,
    valid_until  BIGINT NOT NULL,
    published_at BIGINT NOT NULL
);
CREATE INDEX members_by_partner ON members (partner, member);

-- The certificates and recipients that the key card in force names.
CREATE TABLE member_certificates (
    partner TEXT COLLATE "C" NOT NULL,
    spki    TEXT COLLATE "C" NOT NULL,
    member  TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    PRIMARY KEY (partner, spki)
);
CREATE INDEX member_certificates_by_member ON member_certificates (member);

CREATE TABLE member_recipients (
    member    TEXT COLLATE "C" NOT NULL REFERENCES members (member),
    recipient TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (member, recipient)
);

CREATE TABLE programs (
    program_id TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C"   NOT NULL,
    lead       TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    created_by TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    created_at BIGINT NOT NULL
);

CREATE TABLE program_partners (
    program_id TEXT COLLATE "C" NOT NULL REFERENCES programs (program_id),
    partner    TEXT COLLATE "C" NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (program_id, partner)
);

-- version 0 is a draft; baseline is the lowest version whose proposals still count; revision serves If-Match.
CREATE TABLE calls (
    call_id       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    program_id    TEXT COLLATE "C"   NOT NULL REFERENCES programs (program_id),
    text_json     TEXT COLLATE "C"   NOT NULL,
    text_sha256   TEXT COLLATE "C"   NOT NULL,
    version       BIGINT NOT NULL,
    baseline      BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    publication   TEXT COLLATE "C",
    vault_id      TEXT COLLATE "C",
    created_by    TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    created_at    BIGINT NOT NULL,
    published_at  BIGINT,
    cancelled_at  BIGINT
);
CREATE INDEX calls_by_program ON calls (program_id, call_id);

-- Every text that was ever in force, with the statement that put it there.
CREATE TABLE call_texts (
    call_id      TEXT COLLATE "C"   NOT NULL REFERENCES calls (call_id),
    version      BIGINT NOT NULL,
    text_json    TEXT COLLATE "C"   NOT NULL,
    text_sha256  TEXT COLLATE "C"   NOT NULL,
    publication  TEXT COLLATE "C"   NOT NULL,
    published_at BIGINT NOT NULL,
    PRIMARY KEY (call_id, version)
);

CREATE TABLE call_roles (
    call_id    TEXT COLLATE "C"   NOT NULL REFERENCES calls (call_id),
    member     TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    role       TEXT COLLATE "C"   NOT NULL,
    granted_by TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (call_id, member, role)
);
CREATE INDEX call_roles_by_member ON call_roles (member, call_id);

-- scope is `everyone`, `partner` or `proposal`.
CREATE TABLE call_extensions (
    call_id     TEXT COLLATE "C"   NOT NULL REFERENCES calls (call_id),
    number      BIGINT NOT NULL,
    scope       TEXT COLLATE "C"   NOT NULL,
    partner     TEXT COLLATE "C",
    proposal_id TEXT COLLATE "C",
    until_at    BIGINT NOT NULL,
    reason      TEXT COLLATE "C"   NOT NULL,
    made_by     TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    made_at     BIGINT NOT NULL,
    PRIMARY KEY (call_id, number)
);

CREATE TABLE proposals (
    proposal_id  TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    call_id      TEXT COLLATE "C"   NOT NULL REFERENCES calls (call_id),
    topic        TEXT COLLATE "C",
    created_by   TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    created_at   BIGINT NOT NULL,
    withdrawn_at BIGINT
);
CREATE INDEX proposals_by_call ON proposals (call_id, proposal_id);

CREATE TABLE proposal_members (
    proposal_id TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    member      TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    partner     TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    added_at    BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, member)
);
CREATE INDEX proposal_members_by_member ON proposal_members (member, proposal_id);

-- A version. committed_at: every party has signed; complete_at: and every byte it names is here.
CREATE TABLE manifests (
    proposal_id  TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    version      BIGINT NOT NULL,
    call_version BIGINT NOT NULL,
    sha256       TEXT COLLATE "C"   NOT NULL,
    body         TEXT COLLATE "C"   NOT NULL,
    created_at   BIGINT NOT NULL,
    committed_at BIGINT,
    complete_at  BIGINT,
    PRIMARY KEY (proposal_id, version)
);

CREATE TABLE manifest_signatures (
    proposal_id TEXT COLLATE "C"   NOT NULL,
    version     BIGINT NOT NULL,
    partner     TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    member      TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    jws         TEXT COLLATE "C"   NOT NULL,
    signed_at   BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, version, partner),
    FOREIGN KEY (proposal_id, version) REFERENCES manifests (proposal_id, version)
);

-- place names what a vault is for, so that there is only one of each: `call_…`, `prop_…/panel`, `prop_…/staff/ISR`.
CREATE TABLE vaults (
    vault_id    TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    place       TEXT COLLATE "C"   NOT NULL,
    kind        TEXT COLLATE "C"   NOT NULL,
    call_id     TEXT COLLATE "C"   NOT NULL REFERENCES calls (call_id),
    proposal_id TEXT COLLATE "C" REFERENCES proposals (proposal_id),
    party       TEXT COLLATE "C",
    recipient   TEXT COLLATE "C"   NOT NULL,
    statement   TEXT COLLATE "C"   NOT NULL,
    created_by  TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX vaults_place_key ON vaults (place);
CREATE INDEX vaults_by_proposal ON vaults (proposal_id);

-- holder is a member or a vault.
CREATE TABLE wrapped_keys (
    key_id     TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    vault_id   TEXT COLLATE "C"   NOT NULL REFERENCES vaults (vault_id),
    holder     TEXT COLLATE "C"   NOT NULL,
    recipient  TEXT COLLATE "C"   NOT NULL,
    statement  TEXT COLLATE "C"   NOT NULL,
    ciphertext BYTEA   NOT NULL,
    wrapped_by TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    wrapped_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX wrapped_keys_vault_id_holder_recipient_key ON wrapped_keys (vault_id, holder, recipient);

-- Every ciphertext that was acknowledged. removed_at takes it out of the working set, never out of a manifest.
CREATE TABLE documents (
    document_id TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    proposal_id TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    slot        TEXT COLLATE "C"   NOT NULL,
    party       TEXT COLLATE "C",
    vault_id    TEXT COLLATE "C"   NOT NULL REFERENCES vaults (vault_id),
    sha256      TEXT COLLATE "C"   NOT NULL,
    size        BIGINT NOT NULL,
    media_type  TEXT COLLATE "C"   NOT NULL,
    blob_key    TEXT COLLATE "C"   NOT NULL,
    uploaded_by TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    uploaded_at BIGINT NOT NULL,
    removed_at  BIGINT
);
CREATE INDEX documents_by_proposal ON documents (proposal_id, document_id);
CREATE UNIQUE INDEX documents_blob_key_key ON documents (blob_key);

-- What members declared about conflicts of interest; lifted_at takes a conflict back.
CREATE TABLE declarations (
    proposal_id TEXT COLLATE "C"    NOT NULL REFERENCES proposals (proposal_id),
    member      TEXT COLLATE "C"    NOT NULL REFERENCES members (member),
    conflict    BOOLEAN NOT NULL,
    ground      TEXT COLLATE "C",
    declared_at BIGINT  NOT NULL,
    PRIMARY KEY (proposal_id, member)
);
CREATE INDEX declarations_by_member ON declarations (member, proposal_id);

CREATE TABLE assignments (
    proposal_id TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    reviewer    TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    assigned_by TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    assigned_at BIGINT NOT NULL,
    PRIMARY KEY (proposal_id, reviewer)
);
CREATE INDEX assignments_by_reviewer ON assignments (reviewer, proposal_id);

CREATE TABLE reviews (
    review_id       TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    proposal_id     TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    reviewer        TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    revision        BIGINT NOT NULL,
    manifest_sha256 TEXT COLLATE "C"   NOT NULL,
    statement       TEXT COLLATE "C"   NOT NULL,
    ciphertext      BYTEA   NOT NULL,
    submitted_at    BIGINT NOT NULL,
    reopened_at     BIGINT
);
CREATE UNIQUE INDEX reviews_proposal_id_reviewer_revision_key ON reviews (proposal_id, reviewer, revision);

CREATE TABLE decisions (
    decision_id     TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    proposal_id     TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    revision        BIGINT NOT NULL,
    outcome         TEXT COLLATE "C"   NOT NULL,
    manifest_sha256 TEXT COLLATE "C"   NOT NULL,
    proposed_at     BIGINT NOT NULL,
    withdrawn_at    BIGINT,
    final_at        BIGINT
);
CREATE UNIQUE INDEX decisions_proposal_id_revision_key ON decisions (proposal_id, revision);

CREATE TABLE decision_signatures (
    decision_id TEXT COLLATE "C"   NOT NULL REFERENCES decisions (decision_id),
    partner     TEXT COLLATE "C"   NOT NULL REFERENCES partners (partner),
    member      TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    jws         TEXT COLLATE "C"   NOT NULL,
    signed_at   BIGINT NOT NULL,
    PRIMARY KEY (decision_id, partner)
);

CREATE TABLE letters (
    letter_id    TEXT COLLATE "C"   NOT NULL PRIMARY KEY,
    proposal_id  TEXT COLLATE "C"   NOT NULL REFERENCES proposals (proposal_id),
    sent_by      TEXT COLLATE "C"   NOT NULL REFERENCES members (member),
    sent_at      BIGINT NOT NULL,
    statement    TEXT COLLATE "C"   NOT NULL,
    ciphertext   BYTEA   NOT NULL,
    withdrawn_at BIGINT
);
CREATE INDEX letters_by_proposal ON letters (proposal_id, letter_id);

-- The log: one entry per accepted act, written in the transaction of its effect. seq has no gaps.
CREATE TABLE log_entries (
    seq         BIGINT NOT NULL PRIMARY KEY,
    at          BIGINT NOT NULL,
    kind        TEXT COLLATE "C"   NOT NULL,
    readers     TEXT COLLATE "C"   NOT NULL,
    actor       TEXT COLLATE "C",
    program_id  TEXT COLLATE "C",
    call_id     TEXT COLLATE "C",
    proposal_id TEXT COLLATE "C",
    payload     TEXT COLLATE "C"   NOT NULL,
    salt        BYTEA   NOT NULL
);

CREATE TABLE idempotency_keys (
    member         TEXT COLLATE "C"   NOT NULL,
    key            TEXT COLLATE "C"   NOT NULL,
    request_sha256 TEXT COLLATE "C"   NOT NULL,
    status         BIGINT NOT NULL,
    content_type   TEXT COLLATE "C",
    body           BYTEA   NOT NULL,
    etag           TEXT COLLATE "C",
    location       TEXT COLLATE "C",
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (member, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE FUNCTION log_entries_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of the log stay as they are'
        USING ERRCODE = '23000', CONSTRAINT = 'log_entries_append_only';
END $$;
CREATE TRIGGER log_entries_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entries
    FOR EACH STATEMENT EXECUTE FUNCTION log_entries_append_only();
