-- INTEGER also holds instants (epoch milliseconds) and booleans; the other engine's file has the same columns.

-- Partners as the host's operator enrolled them. The card (anchors, registrars) is what clients pin.
CREATE TABLE partners (
    partner       TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    zone          TEXT    NOT NULL,
    card          TEXT    NOT NULL,
    card_sha256   TEXT    NOT NULL,
    enrolled_at   INTEGER  NOT NULL,
    changed_at    INTEGER  NOT NULL
) STRICT;

-- Counts up whenever partners change, so that running servers notice.
CREATE TABLE trust_generation (
    one        INTEGER NOT NULL PRIMARY KEY CONSTRAINT trust_generation_one CHECK (one = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO trust_generation (one, generation) VALUES (1, 0);

CREATE TABLE members (
    member       TEXT   NOT NULL PRIMARY KEY,
    partner      TEXT   NOT NULL REFERENCES partners (partner),
    name         TEXT   NOT NULL,
    organisation TEXT   NOT NULL,
    roles        TEXT   NOT NULL,
    key_card     TEXT   NOT NULL,
    serial       INTEGER NOT NULL,
    status       TEXT   NOT NULL,
    valid_from   INTEGER NOT NULL,
    valid_until  INTEGER NOT NULL,
    published_at INTEGER NOT NULL
) STRICT;
CREATE INDEX members_by_partner ON members (partner, member);

-- The certificates and recipients that the key card in force names.
CREATE TABLE member_certificates (
    partner TEXT NOT NULL,
    spki    TEXT NOT NULL,
    member  TEXT NOT NULL REFERENCES members (member),
    PRIMARY KEY (partner, spki)
) STRICT;
CREATE INDEX member_certificates_by_member ON member_certificates (member);

CREATE TABLE member_recipients (
    member    TEXT NOT NULL REFERENCES members (member),
    recipient TEXT NOT NULL,
    PRIMARY KEY (member, recipient)
) STRICT;

CREATE TABLE programs (
    program_id TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    lead       TEXT   NOT NULL REFERENCES partners (partner),
    created_by TEXT   NOT NULL REFERENCES members (member),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE program_partners (
    program_id TEXT NOT NULL REFERENCES programs (program_id),
    partner    TEXT NOT NULL REFERENCES partners (partner),
    PRIMARY KEY (program_id, partner)
) STRICT;

-- version 0 is a draft; baseline is the lowest version whose proposals still count; revision serves If-Match.
CREATE TABLE calls (
    call_id       TEXT   NOT NULL PRIMARY KEY,
    program_id    TEXT   NOT NULL REFERENCES programs (program_id),
    text_json     TEXT   NOT NULL,
    text_sha256   TEXT   NOT NULL,
    version       INTEGER NOT NULL,
    baseline      INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    publication   TEXT,
    vault_id      TEXT,
    created_by    TEXT   NOT NULL REFERENCES members (member),
    created_at    INTEGER NOT NULL,
    published_at  INTEGER,
    cancelled_at  INTEGER
) STRICT;
CREATE INDEX calls_by_program ON calls (program_id, call_id);

-- Every text that was ever in force, with the statement that put it there.
CREATE TABLE call_texts (
    call_id      TEXT   NOT NULL REFERENCES calls (call_id),
    version      INTEGER NOT NULL,
    text_json    TEXT   NOT NULL,
    text_sha256  TEXT   NOT NULL,
    publication  TEXT   NOT NULL,
    published_at INTEGER NOT NULL,
    PRIMARY KEY (call_id, version)
) STRICT;

CREATE TABLE call_roles (
    call_id    TEXT   NOT NULL REFERENCES calls (call_id),
    member     TEXT   NOT NULL REFERENCES members (member),
    role       TEXT   NOT NULL,
    granted_by TEXT   NOT NULL REFERENCES members (member),
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (call_id, member, role)
) STRICT;
CREATE INDEX call_roles_by_member ON call_roles (member, call_id);

-- scope is `everyone`, `partner` or `proposal`.
CREATE TABLE call_extensions (
    call_id     TEXT   NOT NULL REFERENCES calls (call_id),
    number      INTEGER NOT NULL,
    scope       TEXT   NOT NULL,
    partner     TEXT,
    proposal_id TEXT,
    until_at    INTEGER NOT NULL,
    reason      TEXT   NOT NULL,
    made_by     TEXT   NOT NULL REFERENCES members (member),
    made_at     INTEGER NOT NULL,
    PRIMARY KEY (call_id, number)
) STRICT;

CREATE TABLE proposals (
    proposal_id  TEXT   NOT NULL PRIMARY KEY,
    call_id      TEXT   NOT NULL REFERENCES calls (call_id),
    topic        TEXT,
    created_by   TEXT   NOT NULL REFERENCES members (member),
    created_at   INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;
CREATE INDEX proposals_by_call ON proposals (call_id, proposal_id);

CREATE TABLE proposal_members (
    proposal_id TEXT   NOT NULL REFERENCES proposals (proposal_id),
    member      TEXT   NOT NULL REFERENCES members (member),
    partner     TEXT   NOT NULL REFERENCES partners (partner),
    added_at    INTEGER NOT NULL,
    PRIMARY KEY (proposal_id, member)
) STRICT;
CREATE INDEX proposal_members_by_member ON proposal_members (member, proposal_id);

-- A version. committed_at: every party has signed; complete_at: and every byte it names is here.
CREATE TABLE manifests (
    proposal_id  TEXT   NOT NULL REFERENCES proposals (proposal_id),
    version      INTEGER NOT NULL,
    call_version INTEGER NOT NULL,
    sha256       TEXT   NOT NULL,
    body         TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    committed_at INTEGER,
    complete_at  INTEGER,
    PRIMARY KEY (proposal_id, version)
) STRICT;

CREATE TABLE manifest_signatures (
    proposal_id TEXT   NOT NULL,
    version     INTEGER NOT NULL,
    partner     TEXT   NOT NULL REFERENCES partners (partner),
    member      TEXT   NOT NULL REFERENCES members (member),
    jws         TEXT   NOT NULL,
    signed_at   INTEGER NOT NULL,
    PRIMARY KEY (proposal_id, version, partner),
    FOREIGN KEY (proposal_id, version) REFERENCES manifests (proposal_id, version)
) STRICT;

-- place names what a vault is for, so that there is only one of each: `call_…`, `prop_…/panel`, `prop_…/staff/ISR`.
CREATE TABLE vaults (
    vault_id    TEXT   NOT NULL PRIMARY KEY,
    place       TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    call_id     TEXT   NOT NULL REFERENCES calls (call_id),
    proposal_id TEXT REFERENCES proposals (proposal_id),
    party       TEXT,
    recipient   TEXT   NOT NULL,
    statement   TEXT   NOT NULL,
    created_by  TEXT   NOT NULL REFERENCES members (member),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX vaults_place_key ON vaults (place);
CREATE INDEX vaults_by_proposal ON vaults (proposal_id);

-- holder is a member or a vault.
CREATE TABLE wrapped_keys (
    key_id     TEXT   NOT NULL PRIMARY KEY,
    vault_id   TEXT   NOT NULL REFERENCES vaults (vault_id),
    holder     TEXT   NOT NULL,
    recipient  TEXT   NOT NULL,
    statement  TEXT   NOT NULL,
    ciphertext BLOB   NOT NULL,
    wrapped_by TEXT   NOT NULL REFERENCES members (member),
    wrapped_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX wrapped_keys_vault_id_holder_recipient_key ON wrapped_keys (vault_id, holder, recipient);

-- Every ciphertext that was acknowledged. removed_at takes it out of the working set, never out of a manifest.
CREATE TABLE documents (
    document_id TEXT   NOT NULL PRIMARY KEY,
    proposal_id TEXT   NOT NULL REFERENCES proposals (proposal_id),
    slot        TEXT   NOT NULL,
    party       TEXT,
    vault_id    TEXT   NOT NULL REFERENCES vaults (vault_id),
    sha256      TEXT   NOT NULL,
    size        INTEGER NOT NULL,
    media_type  TEXT   NOT NULL,
    blob_key    TEXT   NOT NULL,
    uploaded_by TEXT   NOT NULL REFERENCES members (member),
    uploaded_at INTEGER NOT NULL,
    removed_at  INTEGER
) STRICT;
CREATE INDEX documents_by_proposal ON documents (proposal_id, document_id);
CREATE UNIQUE INDEX documents_blob_key_key ON documents (blob_key);

-- What members declared about conflicts of interest; lifted_at takes a conflict back.
CREATE TABLE declarations (
    proposal_id TEXT    NOT NULL REFERENCES proposals (proposal_id),
    member      TEXT    NOT NULL REFERENCES members (member),
    conflict    INTEGER NOT NULL,
    ground      TEXT,
    declared_at INTEGER  NOT NULL,
    PRIMARY KEY (proposal_id, member)
) STRICT;
CREATE INDEX declarations_by_member ON declarations (member, proposal_id);

CREATE TABLE assignments (
    proposal_id TEXT   NOT NULL REFERENCES proposals (proposal_id),
    reviewer    TEXT   NOT NULL REFERENCES members (member),
    assigned_by TEXT   NOT NULL REFERENCES members (member),
    assigned_at INTEGER NOT NULL,
    PRIMARY KEY (proposal_id, reviewer)
) STRICT;
CREATE INDEX assignments_by_reviewer ON assignments (reviewer, proposal_id);

CREATE TABLE reviews (
    review_id       TEXT   NOT NULL PRIMARY KEY,
    proposal_id     TEXT   NOT NULL REFERENCES proposals (proposal_id),
    reviewer        TEXT   NOT NULL REFERENCES members (member),
    revision        INTEGER NOT NULL,
    manifest_sha256 TEXT   NOT NULL,
    statement       TEXT   NOT NULL,
    ciphertext      BLOB   NOT NULL,
    submitted_at    INTEGER NOT NULL,
    reopened_at     INTEGER
) STRICT;
CREATE UNIQUE INDEX reviews_proposal_id_reviewer_revision_key ON reviews (proposal_id, reviewer, revision);

CREATE TABLE decisions (
    decision_id     TEXT   NOT NULL PRIMARY KEY,
    proposal_id     TEXT   NOT NULL REFERENCES proposals (proposal_id),
    revision        INTEGER NOT NULL,
    outcome         TEXT   NOT NULL,
    manifest_sha256 TEXT   NOT NULL,
    proposed_at     INTEGER NOT NULL,
    withdrawn_at    INTEGER,
    final_at        INTEGER
) STRICT;
CREATE UNIQUE INDEX decisions_proposal_id_revision_key ON decisions (proposal_id, revision);

CREATE TABLE decision_signatures (
    decision_id TEXT   NOT NULL REFERENCES decisions (decision_id),
    partner     TEXT   NOT NULL REFERENCES partners (partner),
    member      TEXT   NOT NULL REFERENCES members (member),
    jws         TEXT   NOT NULL,
    signed_at   INTEGER NOT NULL,
    PRIMARY KEY (decision_id, partner)
) STRICT;

CREATE TABLE letters (
    letter_id    TEXT   NOT NULL PRIMARY KEY,
    proposal_id  TEXT   NOT NULL REFERENCES proposals (proposal_id),
    sent_by      TEXT   NOT NULL REFERENCES members (member),
    sent_at      INTEGER NOT NULL,
    statement    TEXT   NOT NULL,
    ciphertext   BLOB   NOT NULL,
    withdrawn_at INTEGER
) STRICT;
CREATE INDEX letters_by_proposal ON letters (proposal_id, letter_id);

-- The log: one entry per accepted act, written in the transaction of its effect. seq has no gaps.
CREATE TABLE log_entries (
    seq         INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    kind        TEXT   NOT NULL,
    readers     TEXT   NOT NULL,
    actor       TEXT,
    program_id  TEXT,
    call_id     TEXT,
    proposal_id TEXT,
    payload     TEXT   NOT NULL,
    salt        BLOB   NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
    member         TEXT   NOT NULL,
    key            TEXT   NOT NULL,
    request_sha256 TEXT   NOT NULL,
    status         INTEGER NOT NULL,
    content_type   TEXT,
    body           BLOB   NOT NULL,
    etag           TEXT,
    location       TEXT,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (member, key)
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TRIGGER log_entries_are_kept BEFORE DELETE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries_append_only'); END;
CREATE TRIGGER log_entries_are_final BEFORE UPDATE ON log_entries
BEGIN SELECT RAISE(ABORT, 'log_entries_append_only'); END;
