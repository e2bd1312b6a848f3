//! Every column with a signed statement but those of key cards: who must have signed it, and what it must agree with.

use super::{Named, Verifier, cards::Pins};
use crate::{
    domain::id::{MemberId, PartnerCode, Sha256},
    sealing::statement::{
        AcceptanceStatement, AssignmentStatement, CallPublication, DecisionStatement, DeclarationStatement,
        InvitationStatement, LabelStatement, LetterStatement, Manifest, PolicyApproval, PolicyStatement,
        RankingStatement, ReviewStatement, RoleStatement, RollStatement, Statement, StatementError, VaultStatement,
        WrapStatement, verify_signed,
    },
    service::Result,
    storage::{
        StoreError,
        db::tables::{
            Cell, Column,
            ColumnKind::{Bytes, Int, Text},
            Snapshot,
        },
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Display,
};

/// The content that each party signed, by table, by signed thing and by partner; none if it is damaged.
pub(super) type Signatures = HashMap<(&'static str, String), BTreeMap<String, Option<Sha256>>>;

/// A column with a signed statement.
pub(super) struct SignedColumn {
    table: &'static str,
    key: &'static [Column],
    statement: &'static str,
    needed: Needed,
    signer: Signer,
    /// The column with the digest of what was signed.
    digest: Option<&'static str>,
    /// The column with what the statement names the digest of.
    content: Option<Column>,
    /// The columns that repeat what the statement says, in the order of [`Said::names`].
    names: &'static [Column],
    read: fn(&str) -> Result<Said, StatementError>,
}

/// The rows that must have the statement.
enum Needed {
    Always,
    /// Those with a number above zero here.
    Above(&'static str),
    /// Those with an instant here since assignments are signed.
    Since(&'static str),
}

/// The required signer.
enum Signer {
    /// The member in this column.
    Member(&'static str),
    /// The member in `member`, for the partner in `partner`: what is signed by several.
    Party,
    /// Somebody of the partner that the statement names.
    Host,
}

/// The content of a statement, as far as rows repeat it.
pub(super) struct Said {
    signer_spki: Sha256,
    payload_sha256: Sha256,
    content_sha256: Option<Sha256>,
    /// The required values of the columns of [`SignedColumn::names`].
    names: Vec<Option<Cell>>,
    /// Digest of what each party's statement says alike.
    joint: Option<Sha256>,
    host: Option<PartnerCode>,
}

impl Verifier<'_> {
    pub(super) async fn signed(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        column: &SignedColumn,
        pins: &Pins,
        signatures: &mut Signatures,
    ) -> Result<()> {
        let (columns, report) = (column.columns(), &mut self.report);
        let since = report.verified.state.assignments_signed_since;
        snapshot
            .each(column.table, column.key, &columns, |cells| {
                let row = Named { columns: &columns, cells: &cells };
                let what = || format!("`{}` of `{}` {}", column.statement, column.table, row.key(column.key));
                if row.cell(column.statement).is_none() {
                    if column.needed.holds(&row, since) {
                        report.found(what(), "is missing");
                    }
                    return Ok::<_, StoreError>(());
                }
                let said = column.judge(&row, pins);
                if matches!(column.signer, Signer::Party) {
                    // The last column of the key is the partner.
                    let signed = row.key(&column.key[..column.key.len() - 1]);
                    let joint = said.as_ref().ok().and_then(|said| said.joint);
                    let of_all = signatures.entry((column.table, signed)).or_default();
                    of_all.insert(row.text("partner").to_owned(), joint);
                }
                if let Err(fault) = said {
                    report.found(what(), fault);
                }
                report.statement();
                Ok(())
            })
            .await?;
        Ok(())
    }
}

impl Needed {
    fn holds(&self, row: &Named<'_>, since: i64) -> bool {
        match self {
            Self::Always => true,
            Self::Above(column) => row.int(column) > 0,
            Self::Since(column) => row.int(column) >= since,
        }
    }
}

impl SignedColumn {
    /// All that is read of a row, each column once.
    fn columns(&self) -> Vec<Column> {
        let mut columns = self.key.to_vec();
        let needed = match self.needed {
            Needed::Always => None,
            Needed::Above(column) | Needed::Since(column) => Some((column, Int)),
        };
        let signer = match self.signer {
            Signer::Member(column) => Some((column, Text)),
            Signer::Party => Some(("member", Text)),
            Signer::Host => None,
        };
        let digest = self.digest.map(|column| (column, Text));
        let more = [Some((self.statement, Text)), needed, signer, digest, self.content].into_iter().flatten();
        for column in more.chain(self.names.iter().copied()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns
    }

    fn judge(&self, row: &Named<'_>, pins: &Pins) -> Result<Said, String> {
        let said = (self.read)(row.text(self.statement)).map_err(|error| error.to_string())?;
        self.judge_signer(&said, row, pins)?;
        if self.digest.is_some_and(|column| row.text(column) != said.payload_sha256.to_string()) {
            return Err("does not have the digest on record".to_owned());
        }
        if let Some((name, _)) = self.content {
            let found = row.cell(name).and_then(|cell| match cell {
                Cell::Bytes(bytes) => Some(Sha256::of(bytes)),
                Cell::Text(text) => Some(Sha256::of(text.as_bytes())),
                Cell::Int(_) => None,
            });
            if found != said.content_sha256 {
                return Err(format!("`{name}` has other bytes than the statement names"));
            }
        }
        for ((name, _), wanted) in self.names.iter().zip(&said.names) {
            if row.cell(name) != wanted.as_ref() {
                return Err(format!("says another `{name}` than its row"));
            }
        }
        Ok(said)
    }

    fn judge_signer(&self, said: &Said, row: &Named<'_>, pins: &Pins) -> Result<(), String> {
        let column = match (&self.signer, &said.host) {
            (Signer::Member(column), _) => column,
            (Signer::Party, _) => "member",
            (Signer::Host, Some(host)) if pins.has_of(host, &said.signer_spki) => return Ok(()),
            (Signer::Host, host) => {
                let host = host.as_ref().map_or("its host", PartnerCode::as_str);
                return Err(format!("is signed by a key that no key card of a member of {host} names"));
            }
        };
        let name = row.text(column);
        let member = name.parse::<MemberId>().ok();
        if !member.as_ref().is_some_and(|member| pins.has(member, &said.signer_spki)) {
            return Err(format!("is signed by a key that no key card of {name} names"));
        }
        let is_other = |member: &MemberId| member.partner().as_str() != row.text("partner");
        if matches!(self.signer, Signer::Party) && member.as_ref().is_some_and(is_other) {
            return Err(format!("is signed by {name}, who is of another partner"));
        }
        Ok(())
    }
}

fn said<T: Statement>(jws: &str, tell: impl FnOnce(&T, &mut Said)) -> Result<Said, StatementError> {
    let signed = verify_signed::<T>(jws)?;
    let mut said = Said {
        signer_spki: signed.signer_spki,
        payload_sha256: signed.payload_sha256,
        content_sha256: None,
        names: Vec::new(),
        joint: None,
        host: None,
    };
    tell(&signed.statement, &mut said);
    Ok(said)
}

impl Said {
    /// The required values of the columns, none of them NULL.
    fn names<const N: usize>(&mut self, cells: [Cell; N]) {
        self.names = cells.map(Some).into();
    }
}

fn text(value: impl Display) -> Cell {
    Cell::Text(value.to_string())
}

fn number(value: u32) -> Cell {
    Cell::Int(value.into())
}

fn said_of_call(jws: &str) -> Result<Said, StatementError> {
    said::<CallPublication>(jws, |publication, said| {
        said.names([
            text(publication.call),
            number(publication.version),
            text(publication.text_sha256),
            text(publication.vault),
        ]);
        said.content_sha256 = Some(publication.text_sha256);
        said.host = Some(publication.host.clone());
    })
}

/// The first statement about a call's roles is its roll.
fn said_of_roles(jws: &str) -> Result<Said, StatementError> {
    let roll = said::<RollStatement>(jws, |roll, said| said.names([text(roll.call), number(1)]));
    let change = |_| said::<RoleStatement>(jws, |change, said| said.names([text(change.call), number(change.number)]));
    roll.or_else(change)
}

/// Every column with statements, but those of key cards.
pub(super) const SIGNED: &[SignedColumn] = &[
    SignedColumn {
        table: "calls",
        key: &[("call_id", Text)],
        statement: "publication",
        needed: Needed::Above("version"),
        signer: Signer::Host,
        digest: None,
        // Compared with its digest in drafts too, see `texts`.
        content: None,
        names: &[("call_id", Text), ("version", Int), ("text_sha256", Text), ("vault_id", Text)],
        read: said_of_call,
    },
    SignedColumn {
        table: "call_texts",
        key: &[("call_id", Text), ("version", Int)],
        statement: "publication",
        needed: Needed::Always,
        signer: Signer::Host,
        digest: None,
        content: Some(("text_json", Text)),
        names: &[("call_id", Text), ("version", Int), ("text_sha256", Text)],
        read: said_of_call,
    },
    SignedColumn {
        table: "role_statements",
        key: &[("call_id", Text), ("number", Int)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("stated_by"),
        digest: Some("statement_sha256"),
        content: None,
        names: &[("call_id", Text), ("number", Int)],
        read: said_of_roles,
    },
    SignedColumn {
        table: "assignments",
        key: &[("proposal_id", Text), ("reviewer", Text)],
        statement: "statement",
        needed: Needed::Since("assigned_at"),
        signer: Signer::Member("assigned_by"),
        digest: None,
        content: None,
        names: &[("proposal_id", Text), ("reviewer", Text)],
        read: |jws| said::<AssignmentStatement>(jws, |it, said| said.names([text(it.proposal), text(&it.reviewer)])),
    },
    SignedColumn {
        table: "declined_assignments",
        key: &[("proposal_id", Text), ("reviewer", Text)],
        statement: "statement",
        needed: Needed::Since("assigned_at"),
        signer: Signer::Member("assigned_by"),
        digest: None,
        content: None,
        names: &[("proposal_id", Text), ("reviewer", Text)],
        read: |jws| said::<AssignmentStatement>(jws, |it, said| said.names([text(it.proposal), text(&it.reviewer)])),
    },
    SignedColumn {
        table: "declaration_statements",
        key: &[("proposal_id", Text), ("member", Text), ("number", Int)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("stated_by"),
        digest: Some("statement_sha256"),
        content: None,
        names: &[("proposal_id", Text), ("member", Text), ("number", Int)],
        read: |jws| {
            said::<DeclarationStatement>(jws, |it, said| {
                said.names([text(it.proposal), text(&it.member), number(it.number)]);
            })
        },
    },
    SignedColumn {
        table: "party_invitations",
        key: &[("proposal_id", Text), ("member", Text), ("number", Int)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("invited_by"),
        digest: Some("sha256"),
        content: None,
        names: &[("proposal_id", Text), ("member", Text)],
        read: |jws| said::<InvitationStatement>(jws, |it, said| said.names([text(it.proposal), text(&it.member)])),
    },
    SignedColumn {
        table: "party_invitations",
        key: &[("proposal_id", Text), ("member", Text), ("number", Int)],
        statement: "acceptance",
        needed: Needed::Above("accepted_at"),
        signer: Signer::Member("member"),
        digest: None,
        content: None,
        names: &[("proposal_id", Text), ("member", Text), ("sha256", Text)],
        read: |jws| {
            said::<AcceptanceStatement>(jws, |it, said| {
                said.names([text(it.proposal), text(&it.member), text(it.invitation_sha256)]);
            })
        },
    },
    SignedColumn {
        table: "manifest_signatures",
        key: &[("proposal_id", Text), ("version", Int), ("partner", Text)],
        statement: "jws",
        needed: Needed::Always,
        signer: Signer::Party,
        digest: None,
        content: None,
        names: &[("proposal_id", Text), ("version", Int)],
        read: |jws| {
            said::<Manifest>(jws, |it, said| {
                said.names([text(it.proposal), number(it.version)]);
                said.joint = Some(said.payload_sha256);
            })
        },
    },
    SignedColumn {
        table: "label_signatures",
        key: &[("proposal_id", Text), ("number", Int), ("partner", Text)],
        statement: "jws",
        needed: Needed::Always,
        signer: Signer::Party,
        digest: None,
        content: None,
        names: &[("proposal_id", Text), ("number", Int)],
        read: |jws| {
            said::<LabelStatement>(jws, |it, said| {
                said.names([text(it.proposal), number(it.number)]);
                said.joint = Some(said.payload_sha256);
            })
        },
    },
    SignedColumn {
        table: "vaults",
        key: &[("vault_id", Text)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("created_by"),
        digest: None,
        content: None,
        names: &[
            ("vault_id", Text),
            ("kind", Text),
            ("call_id", Text),
            ("proposal_id", Text),
            ("party", Text),
            ("recipient", Text),
        ],
        read: |jws| {
            said::<VaultStatement>(jws, |it, said| {
                said.names([text(it.vault), text(it.kind), text(it.call)]);
                let recipient = Some(text(&it.recipient));
                said.names.extend([it.proposal.map(text), it.party.as_ref().map(text), recipient]);
            })
        },
    },
    SignedColumn {
        table: "wrapped_keys",
        key: &[("key_id", Text)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("wrapped_by"),
        digest: None,
        content: Some(("ciphertext", Bytes)),
        names: &[("vault_id", Text), ("holder", Text), ("recipient", Text)],
        read: |jws| {
            said::<WrapStatement>(jws, |it, said| {
                said.names([text(it.vault), text(&it.to), text(&it.recipient)]);
                said.content_sha256 = Some(it.sha256);
            })
        },
    },
    SignedColumn {
        table: "reviews",
        key: &[("review_id", Text)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("reviewer"),
        digest: None,
        content: Some(("ciphertext", Bytes)),
        names: &[("proposal_id", Text), ("reviewer", Text), ("revision", Int), ("manifest_sha256", Text)],
        read: |jws| {
            said::<ReviewStatement>(jws, |it, said| {
                said.names([text(it.proposal), text(&it.reviewer), number(it.revision), text(it.manifest_sha256)]);
                said.content_sha256 = Some(it.sha256);
            })
        },
    },
    SignedColumn {
        table: "decision_signatures",
        key: &[("decision_id", Text), ("partner", Text)],
        statement: "jws",
        needed: Needed::Always,
        signer: Signer::Party,
        digest: None,
        content: None,
        names: &[("partner", Text)],
        read: |jws| {
            said::<DecisionStatement>(jws, |it, said| {
                said.names([text(&it.partner)]);
                said.joint = Some(it.joint_digest());
            })
        },
    },
    SignedColumn {
        table: "ranking_lines",
        key: &[("proposal_id", Text)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("sent_by"),
        digest: None,
        content: Some(("ciphertext", Bytes)),
        names: &[("proposal_id", Text)],
        read: |jws| {
            said::<RankingStatement>(jws, |it, said| {
                said.names([text(it.proposal)]);
                said.content_sha256 = Some(it.sha256);
            })
        },
    },
    SignedColumn {
        table: "letters",
        key: &[("letter_id", Text)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("sent_by"),
        digest: None,
        content: Some(("ciphertext", Bytes)),
        names: &[("proposal_id", Text), ("party", Text)],
        read: |jws| {
            said::<LetterStatement>(jws, |it, said| {
                said.names.extend([Some(text(it.proposal)), it.party.as_ref().map(text)]);
                said.content_sha256 = Some(it.sha256);
            })
        },
    },
    SignedColumn {
        table: "policy_versions",
        key: &[("owner", Text), ("version", Int)],
        statement: "statement",
        needed: Needed::Always,
        signer: Signer::Member("proposed_by"),
        digest: Some("statement_sha256"),
        content: Some(("text", Text)),
        names: &[("owner", Text), ("version", Int), ("active_at", Int)],
        read: |jws| {
            said::<PolicyStatement>(jws, |it, said| {
                let active_at = Cell::Int(it.active_at.as_millisecond());
                said.names([text(&it.owner), number(it.version), active_at]);
                said.content_sha256 = Some(it.text_sha256);
            })
        },
    },
    SignedColumn {
        table: "policy_versions",
        key: &[("owner", Text), ("version", Int)],
        statement: "approval",
        needed: Needed::Above("approved_at"),
        signer: Signer::Member("approved_by"),
        digest: None,
        content: Some(("preview", Text)),
        names: &[("owner", Text), ("version", Int), ("statement_sha256", Text)],
        read: |jws| {
            said::<PolicyApproval>(jws, |it, said| {
                said.names([text(&it.owner), number(it.version), text(it.policy_sha256)]);
                said.content_sha256 = it.preview_sha256;
            })
        },
    },
];
