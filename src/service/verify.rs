//! Whether what the exchange keeps is still what it was: the database, every document's bytes, every signed statement.
//!
//! Of a running exchange or of a backup, and from rows and bytes alone: no key opens anything here. A signature counts when it
//! is by a key that some key card of the member it is said to be by names, and a key card when a registrar of its partner, of
//! today or of an earlier partner card in the log, signed it. Whether the member might say so was decided when it was said.
//!
//! Looks only: nothing is mended here, and a fault does not end the look.

use super::Result;
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    sealing::{
        card::{KeyCard, PartnerCard},
        statement::{
            AssignmentStatement, CallPublication, DecisionStatement, DeclarationStatement, LabelStatement,
            LetterStatement, Manifest, PolicyApproval, PolicyStatement, ReviewStatement, RoleStatement, RollStatement,
            Statement, StatementError, VaultStatement, WrapStatement, verify_signed,
        },
    },
    storage::{
        StoreError,
        backup::{DatabaseState, DocumentBytes, state_of},
        db::tables::{Cell, Cells, ColumnKind, Tables},
        migrate,
    },
};
use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which thing: a document with its proposal and blob, a row with its key.
    pub what: String,
    /// What is wrong with it.
    pub fault: String,
}

/// What a verification comes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    Found(Finding),
    /// Documents that were read, and their bytes.
    Documents {
        read: u64,
        bytes: u64,
    },
    /// Statements that were verified.
    Statements(u64),
}

/// What was looked at.
#[derive(Debug, Default)]
pub struct Verified {
    pub state: DatabaseState,
    pub documents: u64,
    pub document_bytes: u64,
    pub statements: u64,
    pub findings: u64,
}

/// Looks through tables and the folder of documents that goes with them.
pub async fn verify(tables: &Tables, folder: &Path, hear: &mut dyn FnMut(Look)) -> Result<Verified> {
    let mut verifier = Verifier { tables, hear, verified: Verified::default(), pins: HashMap::new() };
    verifier.database().await?;
    verifier.cards().await?;
    for column in SIGNED {
        verifier.signed(column).await?;
    }
    let held = verifier.documents(folder).await?;
    verifier.versions(&held).await?;
    Ok(verifier.verified)
}

struct Verifier<'a> {
    tables: &'a Tables,
    hear: &'a mut dyn FnMut(Look),
    verified: Verified,
    /// The keys that key cards of a member ever named.
    pins: HashMap<MemberId, HashSet<Sha256>>,
}

impl Verifier<'_> {
    fn found(&mut self, what: impl Into<String>, fault: impl Into<String>) {
        self.verified.findings += 1;
        (self.hear)(Look::Found(Finding { what: what.into(), fault: fault.into() }));
    }

    async fn database(&mut self) -> Result<()> {
        for fault in self.tables.engine_check().await? {
            self.found("the database", fault);
        }
        let state = state_of(self.tables).await?;
        let known = migrate::ALL.last().map_or(0, |step| step.version);
        if state.schema > known {
            return Err(StoreError::NewerSchema { found: state.schema, known }.into());
        }
        if state.entries != state.last_entry {
            let missing = state.last_entry.abs_diff(state.entries);
            self.found(
                "the log",
                format!("{missing} entries are missing: the last one is number {}", state.last_entry),
            );
        }
        self.verified.state = state;
        Ok(())
    }

    /// Partner cards, and the key cards that their registrars signed.
    async fn cards(&mut self) -> Result<()> {
        let (mut registrars, mut damaged) = (HashMap::<PartnerCode, HashSet<Sha256>>::new(), Vec::new());
        let mut take = |text: &str| match PartnerCard::from_json(text.as_bytes()) {
            Ok(card) => registrars.entry(card.code).or_default().extend(card.registrars),
            Err(error) => damaged.push(error.to_string()),
        };
        let columns = [("card", ColumnKind::Text)];
        self.tables
            .each("partners", &columns, async |cells| {
                take(text(&cells, 0));
                Ok::<_, StoreError>(())
            })
            .await?;
        let columns = [("kind", ColumnKind::Text), ("payload", ColumnKind::Text)];
        self.tables
            .each("log_entries", &columns, async |cells| {
                if text(&cells, 0).starts_with("partner.") {
                    let payload: serde_json::Value = serde_json::from_str(text(&cells, 1)).unwrap_or_default();
                    if let Some(card) = payload["card"].as_str() {
                        take(card);
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        for fault in damaged {
            self.found("a partner card", fault);
        }
        for table in ["key_cards", "members"] {
            let columns = [("member", ColumnKind::Text), ("serial", ColumnKind::Int), ("key_card", ColumnKind::Text)];
            let (mut findings, mut count) = (Vec::new(), 0);
            let pins = &mut self.pins;
            self.tables
                .each(table, &columns, async |cells| {
                    count += 1;
                    let what = format!("key card {} of {} in `{table}`", int(&cells, 1), text(&cells, 0));
                    match verify_signed::<KeyCard>(text(&cells, 2)) {
                        Err(error) => findings.push((what, error.to_string())),
                        Ok(signed) => {
                            let card = signed.statement;
                            if card.member.to_string() != text(&cells, 0)
                                || i64::try_from(card.serial) != Ok(int(&cells, 1))
                            {
                                findings.push((what, "is the card of another member or another number".to_owned()));
                            } else if !registrars
                                .get(card.member.partner())
                                .is_some_and(|keys| keys.contains(&signed.signer_spki))
                            {
                                findings.push((what, "is not signed by a registrar of its partner".to_owned()));
                            } else {
                                pins.entry(card.member).or_default().extend(card.certificates);
                            }
                        }
                    }
                    Ok::<_, StoreError>(())
                })
                .await?;
            self.counted(count, findings);
        }
        Ok(())
    }

    async fn signed(&mut self, column: &Signed) -> Result<()> {
        let mut columns: Vec<(&str, ColumnKind)> = vec![(column.statement, ColumnKind::Text)];
        columns.extend(column.signer.map(|name| (name, ColumnKind::Text)));
        columns.extend(column.digest.map(|name| (name, ColumnKind::Text)));
        columns.extend(column.content);
        let keys = columns.len();
        columns.extend(column.key);
        let (mut findings, mut count) = (Vec::new(), 0);
        let pins = &self.pins;
        self.tables
            .each(column.table, &columns, async |cells| {
                // What was stored before it was signed has no statement.
                if cells[0].is_some() {
                    count += 1;
                    if let Err(fault) = column.judge(&cells, pins) {
                        let key: Vec<String> = cells[keys..].iter().flatten().map(shown).collect();
                        findings
                            .push((format!("`{}` of `{}` {}", column.statement, column.table, key.join(" ")), fault));
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        self.counted(count, findings);
        Ok(())
    }

    fn counted(&mut self, count: u64, findings: Vec<(String, String)>) {
        for (what, fault) in findings {
            self.found(what, fault);
        }
        self.verified.statements += count;
        (self.hear)(Look::Statements(self.verified.statements));
    }

    /// Reads every document's bytes; which document each proposal has, by digest.
    async fn documents(&mut self, folder: &Path) -> Result<HashSet<Sha256>> {
        let (mut held, mut findings) = (HashSet::new(), Vec::new());
        let Self { tables, hear, verified, .. } = self;
        tables
            .each("documents", DocumentBytes::COLUMNS, async |cells| {
                let document = DocumentBytes::read(&cells)?;
                verified.documents += 1;
                verified.document_bytes += document.size;
                held.insert(held_key(&document.proposal, &document.sha256.to_string(), document.size));
                if let Some(flaw) = document.flaw_in(folder) {
                    let DocumentBytes { document, proposal, blob, .. } = &document;
                    findings
                        .push((format!("document {document} of proposal {proposal}"), format!("blob {blob} {flaw}")));
                }
                hear(Look::Documents { read: verified.documents, bytes: verified.document_bytes });
                Ok::<_, StoreError>(())
            })
            .await?;
        for (what, fault) in findings {
            self.found(what, fault);
        }
        Ok(held)
    }

    /// Every version has the digest it is known by, and what a complete one names is there.
    async fn versions(&mut self, held: &HashSet<Sha256>) -> Result<()> {
        let columns = [
            ("proposal_id", ColumnKind::Text),
            ("version", ColumnKind::Int),
            ("sha256", ColumnKind::Text),
            ("body", ColumnKind::Text),
            ("complete_at", ColumnKind::Int),
        ];
        let mut findings = Vec::new();
        self.tables
            .each("manifests", &columns, async |cells| {
                let (proposal, body) = (text(&cells, 0), text(&cells, 3));
                let what = format!("version {} of proposal {proposal}", int(&cells, 1));
                if Sha256::of(body.as_bytes()).to_string() != text(&cells, 2) {
                    findings.push((what, "its manifest has another digest than it is known by".to_owned()));
                } else if let Ok(manifest) = serde_json::from_str::<Manifest>(body) {
                    let is_missing =
                        |sha256: &Sha256, size| !held.contains(&held_key(proposal, &sha256.to_string(), size));
                    let gone = manifest.documents.iter().filter(|named| is_missing(&named.sha256, named.size)).count();
                    if cells[4].is_some() && gone > 0 {
                        findings.push((what, format!("{gone} of the documents that it names have no row")));
                    }
                } else {
                    findings.push((what, "its manifest cannot be read".to_owned()));
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        for (what, fault) in findings {
            self.found(what, fault);
        }
        Ok(())
    }
}

fn held_key(proposal: &str, sha256: &str, size: u64) -> Sha256 {
    Sha256::of(format!("{proposal} {sha256} {size}").as_bytes())
}

/// A column with a signed statement.
struct Signed {
    table: &'static str,
    /// What tells its rows apart.
    key: &'static [(&'static str, ColumnKind)],
    statement: &'static str,
    /// The column with the member who signed; none where no column tells.
    signer: Option<&'static str>,
    /// The column with the digest of what was signed.
    digest: Option<&'static str>,
    /// The column with what the statement names the digest of.
    content: Option<(&'static str, ColumnKind)>,
    read: fn(&str) -> Result<Said, StatementError>,
}

/// What a statement says, as far as rows can agree with it.
struct Said {
    signer_spki: Sha256,
    payload_sha256: Sha256,
    content_sha256: Option<Sha256>,
}

impl Signed {
    fn judge(&self, cells: &Cells, pins: &HashMap<MemberId, HashSet<Sha256>>) -> Result<(), String> {
        let said = (self.read)(text(cells, 0)).map_err(|error| error.to_string())?;
        let mut at = 1;
        if self.signer.is_some() {
            let member = text(cells, at);
            let is_pinned = member
                .parse()
                .is_ok_and(|member: MemberId| pins.get(&member).is_some_and(|keys| keys.contains(&said.signer_spki)));
            if !is_pinned {
                return Err(format!("is signed by a key that no key card of {member} names"));
            }
            at += 1;
        }
        if self.digest.is_some() {
            if said.payload_sha256.to_string() != text(cells, at) {
                return Err("has another digest than it is known by".to_owned());
            }
            at += 1;
        }
        if let (Some((name, _)), Some(sha256)) = (self.content, said.content_sha256) {
            let found = match cells.get(at) {
                Some(Some(Cell::Bytes(bytes))) => Sha256::of(bytes),
                Some(Some(Cell::Text(text))) => Sha256::of(text.as_bytes()),
                _ => return Err(format!("`{name}` is not there")),
            };
            if found != sha256 {
                return Err(format!("`{name}` has other bytes than the statement names"));
            }
        }
        Ok(())
    }
}

fn said<T: Statement>(jws: &str, content: impl Fn(&T) -> Option<Sha256>) -> Result<Said, StatementError> {
    let signed = verify_signed::<T>(jws)?;
    let content_sha256 = content(&signed.statement);
    Ok(Said { signer_spki: signed.signer_spki, payload_sha256: signed.payload_sha256, content_sha256 })
}

/// The first statement about a call's roles is its roll.
fn said_of_roles(jws: &str) -> Result<Said, StatementError> {
    said::<RollStatement>(jws, |_| None).or_else(|_| said::<RoleStatement>(jws, |_| None))
}

/// Every column with statements, but those of key cards.
const SIGNED: &[Signed] = &[
    Signed {
        table: "calls",
        key: &[("call_id", ColumnKind::Text)],
        statement: "publication",
        signer: None,
        digest: None,
        content: None,
        read: |jws| said::<CallPublication>(jws, |_| None),
    },
    Signed {
        table: "call_texts",
        key: &[("call_id", ColumnKind::Text), ("version", ColumnKind::Int)],
        statement: "publication",
        signer: None,
        digest: None,
        content: None,
        read: |jws| said::<CallPublication>(jws, |_| None),
    },
    Signed {
        table: "role_statements",
        key: &[("call_id", ColumnKind::Text), ("number", ColumnKind::Int)],
        statement: "statement",
        signer: Some("stated_by"),
        digest: Some("statement_sha256"),
        content: None,
        read: said_of_roles,
    },
    Signed {
        table: "assignments",
        key: &[("proposal_id", ColumnKind::Text), ("reviewer", ColumnKind::Text)],
        statement: "statement",
        signer: Some("assigned_by"),
        digest: None,
        content: None,
        read: |jws| said::<AssignmentStatement>(jws, |_| None),
    },
    Signed {
        table: "declaration_statements",
        key: &[("proposal_id", ColumnKind::Text), ("member", ColumnKind::Text), ("number", ColumnKind::Int)],
        statement: "statement",
        signer: Some("stated_by"),
        digest: Some("statement_sha256"),
        content: None,
        read: |jws| said::<DeclarationStatement>(jws, |_| None),
    },
    Signed {
        table: "manifest_signatures",
        key: &[("proposal_id", ColumnKind::Text), ("version", ColumnKind::Int), ("partner", ColumnKind::Text)],
        statement: "jws",
        signer: Some("member"),
        digest: None,
        content: None,
        read: |jws| said::<Manifest>(jws, |_| None),
    },
    Signed {
        table: "label_signatures",
        key: &[("proposal_id", ColumnKind::Text), ("number", ColumnKind::Int), ("partner", ColumnKind::Text)],
        statement: "jws",
        signer: Some("member"),
        digest: None,
        content: None,
        read: |jws| said::<LabelStatement>(jws, |_| None),
    },
    Signed {
        table: "vaults",
        key: &[("vault_id", ColumnKind::Text)],
        statement: "statement",
        signer: Some("created_by"),
        digest: None,
        content: None,
        read: |jws| said::<VaultStatement>(jws, |_| None),
    },
    Signed {
        table: "wrapped_keys",
        key: &[("key_id", ColumnKind::Text), ("vault_id", ColumnKind::Text)],
        statement: "statement",
        signer: Some("wrapped_by"),
        digest: None,
        content: Some(("ciphertext", ColumnKind::Bytes)),
        read: |jws| said::<WrapStatement>(jws, |wrap| Some(wrap.sha256)),
    },
    Signed {
        table: "reviews",
        key: &[("review_id", ColumnKind::Text), ("proposal_id", ColumnKind::Text)],
        statement: "statement",
        signer: Some("reviewer"),
        digest: None,
        content: Some(("ciphertext", ColumnKind::Bytes)),
        read: |jws| said::<ReviewStatement>(jws, |review| Some(review.sha256)),
    },
    Signed {
        table: "decision_signatures",
        key: &[("decision_id", ColumnKind::Text), ("partner", ColumnKind::Text)],
        statement: "jws",
        signer: Some("member"),
        digest: None,
        content: None,
        read: |jws| said::<DecisionStatement>(jws, |_| None),
    },
    Signed {
        table: "letters",
        key: &[("letter_id", ColumnKind::Text), ("proposal_id", ColumnKind::Text)],
        statement: "statement",
        signer: Some("sent_by"),
        digest: None,
        content: Some(("ciphertext", ColumnKind::Bytes)),
        read: |jws| said::<LetterStatement>(jws, |letter| Some(letter.sha256)),
    },
    Signed {
        table: "policy_versions",
        key: &[("owner", ColumnKind::Text), ("version", ColumnKind::Int)],
        statement: "statement",
        signer: Some("proposed_by"),
        digest: Some("statement_sha256"),
        content: Some(("text", ColumnKind::Text)),
        read: |jws| said::<PolicyStatement>(jws, |policy| Some(policy.text_sha256)),
    },
    Signed {
        table: "policy_versions",
        key: &[("owner", ColumnKind::Text), ("version", ColumnKind::Int)],
        statement: "approval",
        signer: Some("approved_by"),
        digest: None,
        content: None,
        read: |jws| said::<PolicyApproval>(jws, |_| None),
    },
];

fn text(cells: &Cells, at: usize) -> &str {
    match cells.get(at) {
        Some(Some(Cell::Text(text))) => text,
        _ => "",
    }
}

fn int(cells: &Cells, at: usize) -> i64 {
    match cells.get(at) {
        Some(Some(Cell::Int(value))) => *value,
        _ => 0,
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Int(value) => value.to_string(),
        Cell::Bytes(_) => String::new(),
    }
}
