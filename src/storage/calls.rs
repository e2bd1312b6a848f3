//! Calls: their texts and the roles of members in them.

use super::{
    Row, Sql, StoreError, Tx, WriteTx, args,
    decisions::DECIDES,
    extensions,
    revision::touch,
    stated::{NewStated, Stated},
};
use crate::{
    domain::{
        call::{CallActs, Extension},
        id::{CallId, MemberId, PartnerCode, ProgramId, Sha256, VaultId},
        member::CallRole,
        reference::CallCode,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A call with everything that decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRow {
    pub id: CallId,
    pub program: ProgramId,
    /// Canonical JSON of the text in force, or of the draft.
    pub text_json: String,
    pub text_sha256: Sha256,
    /// 0 for a draft.
    pub version: u32,
    /// Lowest version whose proposals still count.
    pub baseline: u32,
    /// Counts up with each change. No caller is shown it: it counts what they may not see as well.
    pub revision: u64,
    pub publication: Option<String>,
    pub vault: Option<VaultId>,
    pub created_by: MemberId,
    pub cancelled_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// When it was closed and then reopened last.
    pub reopened_at: Option<Timestamp>,
    pub roles: BTreeMap<MemberId, BTreeSet<CallRole>>,
    /// Observers who are or were party to a proposal under the call that was not withdrawn: the role is without effect for them.
    pub observers_in_parties: BTreeSet<MemberId>,
    /// The deadlines that were moved.
    pub extensions: Vec<Extension>,
    /// When reviews are due, if that was moved.
    pub reviews_until: Option<Timestamp>,
}

impl CallRow {
    /// What has been done with the call.
    #[must_use]
    pub fn acts(&self) -> CallActs {
        CallActs {
            is_published: self.version > 0,
            is_cancelled: self.cancelled_at.is_some(),
            is_closed: self.closed_at.is_some(),
            extensions: self.extensions.clone(),
        }
    }

    /// The members who have `role`.
    #[must_use]
    pub fn holders(&self, role: CallRole) -> BTreeSet<MemberId> {
        self.roles.iter().filter(|(_, roles)| roles.contains(&role)).map(|(member, _)| member.clone()).collect()
    }

    /// Whether `member` has `role`.
    #[must_use]
    pub fn has_role(&self, member: &MemberId, role: CallRole) -> bool {
        self.roles.get(member).is_some_and(|roles| roles.contains(&role))
    }
}

/// A new text for a call.
#[derive(Debug, Clone, Copy)]
pub struct NewText<'a> {
    /// As the text says it.
    pub code: &'a CallCode,
    pub json: &'a str,
    pub sha256: Sha256,
}

/// A published text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedText {
    pub version: u32,
    pub text_json: String,
    pub publication: String,
}

/// The amendment that voided what was signed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voided {
    pub at: Timestamp,
    /// None if it was made before reasons were kept with texts.
    pub reason: Option<String>,
}

/// One call.
pub async fn find(tx: &mut Tx, id: CallId) -> Result<Option<CallRow>, StoreError> {
    let sql = "SELECT program_id, text_json, text_sha256, version, baseline, revision, publication, vault_id, \
               created_by, cancelled_at, closed_at, reopened_at FROM calls WHERE call_id = $1";
    let Some(row) = tx.fetch_optional(sql, args![id]).await? else { return Ok(None) };
    let mut roles: BTreeMap<MemberId, BTreeSet<CallRole>> = BTreeMap::new();
    for row in tx.fetch_all("SELECT member, role FROM call_roles WHERE call_id = $1", args![id]).await? {
        roles.entry(row.parse("member")?).or_default().insert(row.parse("role")?);
    }
    let observers_in_parties = if roles.values().any(|roles| roles.contains(&CallRole::Observer)) {
        observers_in_parties(tx, id).await?
    } else {
        BTreeSet::new()
    };
    let (extensions, reviews_until) = extensions::in_force(tx, id).await?;
    Ok(Some(CallRow {
        id,
        program: row.parse("program_id")?,
        text_json: row.text("text_json")?,
        text_sha256: row.parse("text_sha256")?,
        version: small(&row, "version")?,
        baseline: small(&row, "baseline")?,
        revision: row.count("revision")?,
        publication: row.opt_text("publication")?,
        vault: row.opt_parse("vault_id")?,
        created_by: row.parse("created_by")?,
        cancelled_at: row.opt_time("cancelled_at")?,
        closed_at: row.opt_time("closed_at")?,
        reopened_at: row.opt_time("reopened_at")?,
        roles,
        observers_in_parties,
        extensions,
        reviews_until,
    }))
}

/// The observers of a call who are or were party to a proposal under it that was not withdrawn.
async fn observers_in_parties(tx: &mut Tx, id: CallId) -> Result<BTreeSet<MemberId>, StoreError> {
    // By the observers' own rows, as `visible::is_tied` has it: an expression is what no index of calls is for.
    let sql = "SELECT r.member FROM call_roles r WHERE r.call_id = $1 AND r.role = 'observer' AND (\
               EXISTS (SELECT 1 FROM proposals p WHERE p.created_by = r.member AND p.call_id = $1 AND p.withdrawn_at IS NULL) \
               OR EXISTS (SELECT 1 FROM proposal_members s JOIN proposals p ON p.proposal_id = s.proposal_id \
                          WHERE s.member = r.member AND p.call_id || '' = $1 AND p.withdrawn_at IS NULL) \
               OR EXISTS (SELECT 1 FROM party_invitations s JOIN proposals p ON p.proposal_id = s.proposal_id \
                          WHERE s.member = r.member AND s.accepted_at IS NOT NULL AND p.call_id || '' = $1 \
                          AND p.withdrawn_at IS NULL))";
    tx.fetch_all(sql, args![id]).await?.iter().map(|row| row.parse("member")).collect()
}

/// The identifiers after `after`, of one program or of all, in order.
pub async fn ids(
    tx: &mut Tx,
    program: Option<ProgramId>,
    after: Option<CallId>,
    limit: u32,
) -> Result<Vec<CallId>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = match program {
        Some(program) => {
            let sql = "SELECT call_id FROM calls WHERE program_id = $1 AND call_id > $2 ORDER BY call_id LIMIT $3";
            tx.fetch_all(sql, args![program, after, limit]).await?
        }
        None => {
            let sql = "SELECT call_id FROM calls WHERE call_id > $1 ORDER BY call_id LIMIT $2";
            tx.fetch_all(sql, args![after, limit]).await?
        }
    };
    rows.iter().map(|row| row.parse("call_id")).collect()
}

/// Whether another published call of the program has the code.
pub async fn is_code_taken(
    tx: &mut Tx,
    program: ProgramId,
    code: &CallCode,
    besides: Option<CallId>,
) -> Result<bool, StoreError> {
    let besides = besides.map(|id| id.to_string()).unwrap_or_default();
    let sql = "SELECT EXISTS (SELECT 1 FROM calls WHERE code = $2 AND program_id = $1 AND version > 0 AND code <> '' \
               AND call_id <> $3) AS is_taken";
    tx.fetch_one(sql, args![program, code, besides]).await?.bool("is_taken")
}

/// How many calls the member has drafted that were never published.
pub async fn drafts_of(tx: &mut Tx, member: &MemberId) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS drafts FROM calls WHERE created_by = $1 AND published_at IS NULL";
    tx.fetch_one(sql, args![member]).await?.count("drafts")
}

/// When members of a partner drafted the last of so many calls since then, the newest first, if there are as many; calls that were deleted
/// do not count.
pub async fn drafted_since(
    tx: &mut Tx,
    partner: &PartnerCode,
    since: Timestamp,
    many: u64,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT c.created_at FROM calls c JOIN members m ON m.member = c.created_by \
               WHERE m.partner = $1 AND c.created_at >= $2 ORDER BY c.created_at DESC LIMIT 1 OFFSET $3";
    let row = tx.fetch_optional(sql, args![partner, since, many.saturating_sub(1)]).await?;
    row.map(|row| row.time("created_at")).transpose()
}

/// A text that is or was in force.
pub async fn text_of(tx: &mut Tx, id: CallId, version: u32) -> Result<Option<PublishedText>, StoreError> {
    let sql = "SELECT text_json, publication FROM call_texts WHERE call_id = $1 AND version = $2";
    let row = tx.fetch_optional(sql, args![id, version]).await?;
    row.map(|row| {
        Ok(PublishedText { version, text_json: row.text("text_json")?, publication: row.text("publication")? })
    })
    .transpose()
}

/// When and why an amendment first voided what was signed under `version`, given the lowest version that counts now.
pub async fn voided(tx: &mut Tx, id: CallId, version: u32, baseline: u32) -> Result<Option<Voided>, StoreError> {
    // Amendments of before baselines were kept with their texts: the last one that voided anything has the number of the baseline.
    let sql = "SELECT published_at, reason FROM call_texts WHERE call_id = $1 AND version > $2 \
               AND (baseline = version OR version = $3) ORDER BY version LIMIT 1";
    let row = tx.fetch_optional(sql, args![id, version, baseline]).await?;
    row.map(|row| Ok(Voided { at: row.time("published_at")?, reason: row.opt_text("reason")? })).transpose()
}

/// Drafts a call; its author becomes its first officer.
pub async fn draft(
    tx: &mut WriteTx,
    permit: &Permit,
    id: CallId,
    program: ProgramId,
    text: NewText<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_program(&[Action::CreateCall], program));
    let author = permit.principal();
    tx.execute(
        "INSERT INTO calls (call_id, program_id, code, text_json, text_sha256, version, baseline, revision, created_by, \
         created_at) VALUES ($1, $2, $3, $4, $5, 0, 0, 1, $6, $7)",
        args![id, program, text.code, text.json, text.sha256, author, now],
    )
    .await?;
    insert_role(tx, id, author, CallRole::Officer, author, now).await
}

/// Replaces the text of a draft.
pub async fn edit(tx: &mut WriteTx, permit: &Permit, id: CallId, text: NewText<'_>) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::EditCall], id));
    let sql =
        "UPDATE calls SET text_json = $2, text_sha256 = $3, code = $4, revision = revision + 1 WHERE call_id = $1";
    tx.execute(sql, args![id, text.json, text.sha256, text.code]).await?;
    Ok(())
}

/// Puts a text in force: the first publication, which comes with a vault, or an amendment, which comes with a reason.
#[expect(clippy::too_many_arguments, reason = "the columns of one row, each named at the call")]
pub async fn publish(
    tx: &mut WriteTx,
    permit: &Permit,
    id: CallId,
    version: u32,
    baseline: u32,
    text: NewText<'_>,
    publication: &str,
    vault: Option<VaultId>,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::PublishCall, Action::AmendCall], id));
    tx.execute(
        "UPDATE calls SET text_json = $2, text_sha256 = $3, version = $4, baseline = $5, publication = $6, \
         vault_id = COALESCE($7, vault_id), published_at = COALESCE(published_at, $8), code = $9, revision = revision + 1 \
         WHERE call_id = $1",
        args![id, text.json, text.sha256, version, baseline, publication, vault, now, text.code],
    )
    .await?;
    tx.execute(
        "INSERT INTO call_texts (call_id, version, text_json, text_sha256, publication, published_at, baseline, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![id, version, text.json, text.sha256, publication, now, baseline, reason],
    )
    .await?;
    Ok(())
}

/// Cancels a call, or brings it back.
pub async fn set_cancelled(
    tx: &mut WriteTx,
    permit: &Permit,
    id: CallId,
    cancelled_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::CancelCall], id));
    let sql = "UPDATE calls SET cancelled_at = $2, revision = revision + 1 WHERE call_id = $1";
    tx.execute(sql, args![id, cancelled_at]).await?;
    Ok(())
}

/// Closes a call.
pub async fn close(tx: &mut WriteTx, permit: &Permit, id: CallId, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::CancelCall], id));
    let sql = "UPDATE calls SET closed_at = $2, revision = revision + 1 WHERE call_id = $1";
    tx.execute(sql, args![id, now]).await?;
    Ok(())
}

/// Opens a closed call again for what its officers have left to do.
pub async fn reopen_closed(tx: &mut WriteTx, permit: &Permit, id: CallId, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::CancelCall], id));
    let sql = "UPDATE calls SET closed_at = NULL, reopened_at = $2, revision = revision + 1 WHERE call_id = $1";
    tx.execute(sql, args![id, now]).await?;
    Ok(())
}

/// Whether a submitted proposal under a call, past its last deadline, is not decided for good, or has a party without a letter since.
pub async fn is_unfinished(tx: &mut Tx, id: CallId) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM proposals p JOIN calls c ON c.call_id = p.call_id \
         WHERE p.call_id = $1 AND p.withdrawn_at IS NULL AND p.complete_under > 0 AND p.complete_under >= c.baseline \
         AND (EXISTS (SELECT 1 FROM decisions t WHERE t.proposal_id = p.proposal_id AND t.final_at IS NULL AND t.withdrawn_at IS NULL) \
              OR NOT EXISTS (SELECT 1 FROM decisions s WHERE s.proposal_id = p.proposal_id AND {DECIDES} \
                             AND NOT EXISTS (SELECT 1 FROM proposal_parties q WHERE q.proposal_id = p.proposal_id \
                                 AND NOT EXISTS (SELECT 1 FROM letters w WHERE w.proposal_id = p.proposal_id AND w.withdrawn_at IS NULL \
                                                 AND w.sent_at >= s.final_at AND (w.party IS NULL OR w.party = q.partner)))))) \
         THEN 1 ELSE 0 END AS is_unfinished"
    );
    Ok(tx.fetch_one(Sql::built(sql), args![id]).await?.int("is_unfinished")? == 1)
}

/// Deletes a call that was never published, and the roles in it. Nothing else can hang on one.
pub async fn delete_draft(tx: &mut WriteTx, permit: &Permit, id: CallId) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::CancelCall], id));
    tx.execute("DELETE FROM call_roles WHERE call_id = $1", args![id]).await?;
    tx.execute("DELETE FROM calls WHERE call_id = $1 AND version = 0", args![id]).await?;
    Ok(())
}

/// Replaces a member's roles in a call, under a permit for each that changes.
pub async fn set_roles(
    tx: &mut WriteTx,
    permits: &[Permit],
    id: CallId,
    member: &MemberId,
    roles: &BTreeSet<CallRole>,
    change: Option<NewStated<'_>>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let covers = |permit: &Permit| {
        permit.covers_call(&[Action::GrantRole, Action::RevokeRole], id) && permit.subject() == Some(member)
    };
    assert!(permits.iter().all(covers));
    let Some(permit) = permits.first() else { return Ok(()) };
    tx.execute("DELETE FROM call_roles WHERE call_id = $1 AND member = $2", args![id, member]).await?;
    for role in roles {
        insert_role(tx, id, member, *role, permit.principal(), now).await?;
    }
    if let Some(change) = change {
        keep_role_statement(tx, id, permit.principal(), change, now).await?;
    }
    touch(tx, id).await
}

/// Keeps the roll that a call is published with.
pub async fn open_roll(
    tx: &mut WriteTx,
    permit: &Permit,
    id: CallId,
    roll: NewStated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_call(&[Action::PublishCall], id));
    keep_role_statement(tx, id, permit.principal(), roll, now).await
}

async fn keep_role_statement(
    tx: &mut WriteTx,
    id: CallId,
    by: &MemberId,
    stated: NewStated<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO role_statements (call_id, number, statement, statement_sha256, stated_by, stated_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![id, stated.number, stated.statement, stated.sha256, by, now],
    )
    .await?;
    Ok(())
}

/// The signed statements about roles in a call since it was published, in their order; the first is the roll.
pub async fn role_statements(tx: &mut Tx, id: CallId) -> Result<Vec<Stated>, StoreError> {
    let sql = "SELECT number, statement, statement_sha256, stated_by, stated_at FROM role_statements \
               WHERE call_id = $1 ORDER BY number";
    tx.fetch_all(sql, args![id]).await?.iter().map(Stated::read).collect()
}

/// The number and the digest of what was signed last about the roles in a call.
pub async fn last_role_statement(tx: &mut Tx, id: CallId) -> Result<Option<(u32, Sha256)>, StoreError> {
    let sql = "SELECT number, statement_sha256 FROM role_statements WHERE call_id = $1 ORDER BY number DESC LIMIT 1";
    let row = tx.fetch_optional(sql, args![id]).await?;
    row.map(|row| Ok((small(&row, "number")?, row.parse("statement_sha256")?))).transpose()
}

/// How many changes of the roles in a call members of a partner have signed since it was published.
pub async fn role_changes_by(tx: &mut Tx, id: CallId, partner: &PartnerCode) -> Result<u64, StoreError> {
    // The first statement is the roll. A code holds none of the letters that LIKE reads as patterns.
    let theirs = format!("{partner}:%");
    let sql = "SELECT COUNT(*) AS made FROM role_statements WHERE call_id = $1 AND number > 1 AND stated_by LIKE $2";
    tx.fetch_one(sql, args![id, theirs]).await?.count("made")
}

/// What was signed about the roles in a call after a number, so many.
pub async fn some_role_statements(tx: &mut Tx, id: CallId, after: u32, limit: u32) -> Result<Vec<Stated>, StoreError> {
    let sql = "SELECT number, statement, statement_sha256, stated_by, stated_at FROM role_statements \
               WHERE call_id = $1 AND number > $2 ORDER BY number LIMIT $3";
    tx.fetch_all(sql, args![id, after, limit]).await?.iter().map(Stated::read).collect()
}

async fn insert_role(
    tx: &mut WriteTx,
    id: CallId,
    member: &MemberId,
    role: CallRole,
    by: &MemberId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO call_roles (call_id, member, role, granted_by, granted_at) VALUES ($1, $2, $3, $4, $5)";
    tx.execute(sql, args![id, member, role.as_str(), by, now]).await?;
    Ok(())
}

fn small(row: &Row, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.int(column)?).map_err(|_| StoreError::corrupt(column, "a small number"))
}
