//! Vaults and the wrapped keys to them. Identities are never here, only their ciphertext.

use super::{Arg, Row, Sql, StoreError, Tx, WriteTx, args, many};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, ProposalId, VaultId, WrappedKeyId},
        vault::VaultKind,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};

/// A vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultRow {
    pub id: VaultId,
    pub kind: VaultKind,
    pub call: CallId,
    pub proposal: Option<ProposalId>,
    pub party: Option<PartnerCode>,
    pub recipient: String,
    pub statement: String,
    pub created_by: MemberId,
}

/// A wrapped key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKeyRow {
    pub id: WrappedKeyId,
    pub vault: VaultId,
    /// A member or a vault, as text.
    pub holder: String,
    pub recipient: String,
    pub statement: String,
    pub ciphertext: Vec<u8>,
    pub wrapped_by: MemberId,
}

/// A wrapped key as far as others for the same recipient depend on it: without statement and ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKeyRow {
    pub id: WrappedKeyId,
    /// A member or a vault, as text.
    pub holder: String,
    pub recipient: String,
    pub wrapped_by: MemberId,
}

/// The actions under which vaults are made and keys wrapped, or removed from their holder.
const WRITERS: &[Action] = &[
    Action::PublishCall,
    Action::UseCallVault,
    Action::CreateProposal,
    Action::Sign,
    Action::Edit,
    Action::AddMember,
    Action::RemoveMember,
    Action::AnswerInvitation,
    Action::Upload,
    Action::WrapKey,
    Action::WrapDeliberation,
    Action::Assign,
    Action::Unassign,
    Action::DeclineAssignment,
    Action::GrantRole,
    Action::RevokeRole,
    Action::DeclareConflict,
    Action::ReopenReview,
];

/// A member who may use a key may throw it away.
const USERS: &[Action] =
    &[Action::Read, Action::ReadStaff, Action::ReadLetter, Action::ViewDeliberation, Action::UseCallVault];

const KEY_COLUMNS: &str =
    "SELECT key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by FROM wrapped_keys";

const COLUMNS: &str =
    "SELECT vault_id, kind, call_id, proposal_id, party, recipient, statement, created_by FROM vaults";

/// One vault.
pub async fn find(tx: &mut Tx, id: VaultId) -> Result<Option<VaultRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE vault_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read).transpose()
}

/// The vaults of a proposal.
pub async fn of_proposal(tx: &mut Tx, proposal: ProposalId) -> Result<Vec<VaultRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE proposal_id = $1 ORDER BY vault_id"));
    tx.fetch_all(sql, args![proposal]).await?.iter().map(read).collect()
}

/// The members who hold keys to a vault, and how many each.
pub async fn member_holders(tx: &mut Tx, vault: VaultId) -> Result<BTreeMap<MemberId, u64>, StoreError> {
    let sql = "SELECT holder, COUNT(*) AS keys FROM wrapped_keys WHERE vault_id = $1 GROUP BY holder";
    let rows = tx.fetch_all(sql, args![vault]).await?;
    // The call's vault holds one too.
    let of_members = rows.iter().filter_map(|row| Some((row.text("holder").ok()?.parse().ok()?, row)));
    of_members.map(|(holder, row)| Ok((holder, row.count("keys")?))).collect()
}

/// The wrapped keys to a vault that these hold, members or vaults.
pub async fn keys_of(tx: &mut Tx, vault: VaultId, holders: [&str; 2]) -> Result<Vec<WrappedKeyRow>, StoreError> {
    let sql = Sql::built(format!("{KEY_COLUMNS} WHERE vault_id = $1 AND holder IN ($2, $3) ORDER BY key_id"));
    let [one, other] = holders;
    tx.fetch_all(sql, args![vault, one, other]).await?.iter().map(read_key).collect()
}

/// Whether a member holds a key to a vault.
pub async fn holds_key(tx: &mut Tx, vault: VaultId, holder: &MemberId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM wrapped_keys WHERE vault_id = $1 AND holder = $2 LIMIT 1";
    Ok(tx.fetch_optional(sql, args![vault, holder]).await?.is_some())
}

/// Whether a vault is wrapped for this recipient of a holder, by anybody.
pub async fn is_wrapped_for(tx: &mut Tx, vault: VaultId, holder: &str, recipient: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM wrapped_keys WHERE vault_id = $1 AND holder = $2 AND recipient = $3 LIMIT 1";
    Ok(tx.fetch_optional(sql, args![vault, holder, recipient]).await?.is_some())
}

/// The wrapped keys to a vault for these recipients, each named with its holder: at most one by each wrapper for each.
pub async fn keys_for(tx: &mut Tx, vault: VaultId, places: &[(String, String)]) -> Result<Vec<HeldKeyRow>, StoreError> {
    let mut found = Vec::with_capacity(places.len());
    for part in places.chunks(many::AT_ONCE) {
        let sql = Sql::once(format!(
            "WITH sought (holder, recipient) AS (VALUES {}) \
             SELECT k.key_id, k.holder, k.recipient, k.wrapped_by FROM sought s \
             JOIN wrapped_keys k ON k.vault_id = $1 AND k.holder = s.holder AND k.recipient = s.recipient",
            many::tuples(2, 2, part.len())
        ));
        let args = std::iter::once(Arg::text(vault)).chain(many::pairs(part)).collect();
        for row in tx.fetch_all(sql, args).await? {
            found.push(HeldKeyRow {
                id: row.parse("key_id")?,
                holder: row.text("holder")?,
                recipient: row.text("recipient")?,
                wrapped_by: row.parse("wrapped_by")?,
            });
        }
    }
    Ok(found)
}

/// The keys to a vault that are for a recipient of their holder's key card in force, with their holders.
pub async fn keys_in_force(tx: &mut Tx, vault: VaultId) -> Result<Vec<(WrappedKeyId, MemberId)>, StoreError> {
    let sql = "SELECT k.key_id, k.holder FROM wrapped_keys k JOIN member_recipients r ON r.member = k.holder \
               AND r.recipient = k.recipient WHERE k.vault_id = $1 ORDER BY k.key_id";
    let rows = tx.fetch_all(sql, args![vault]).await?;
    rows.iter().map(|row| Ok((row.parse("key_id")?, row.parse("holder")?))).collect()
}

/// One wrapped key.
pub async fn find_key(tx: &mut Tx, id: WrappedKeyId) -> Result<Option<WrappedKeyRow>, StoreError> {
    let sql = Sql::built(format!("{KEY_COLUMNS} WHERE key_id = $1"));
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read_key).transpose()
}

/// The recipients of the key cards in force of these members for which they hold no key to the vault; members who lack none are left out.
pub async fn recipients_without_key(
    tx: &mut Tx,
    vault: VaultId,
    members: &[MemberId],
) -> Result<BTreeMap<MemberId, Vec<String>>, StoreError> {
    // Not so many at once that a statement has no room for them.
    const AT_ONCE: usize = 500;
    let mut found: BTreeMap<MemberId, Vec<String>> = BTreeMap::new();
    for part in members.chunks(AT_ONCE) {
        let marks = many::marks(2, part.len());
        let sql = Sql::once(format!(
            "SELECT r.member, r.recipient FROM member_recipients r WHERE r.member IN ({marks}) AND NOT EXISTS \
             (SELECT 1 FROM wrapped_keys k WHERE k.vault_id = $1 AND k.holder = r.member AND k.recipient = r.recipient) \
             ORDER BY r.member, r.recipient"
        ));
        let args = std::iter::once(Arg::text(vault)).chain(part.iter().map(Arg::text)).collect();
        for row in tx.fetch_all(sql, args).await? {
            found.entry(row.parse("member")?).or_default().push(row.text("recipient")?);
        }
    }
    Ok(found)
}

/// The holders of a key to the panel's vault, by proposal, for each recipient of their key card in force.
pub async fn panel_holders_among(
    tx: &mut Tx,
    proposals: &[ProposalId],
) -> Result<HashSet<(ProposalId, String)>, StoreError> {
    if proposals.is_empty() {
        return Ok(HashSet::new());
    }
    let marks = many::marks(2, proposals.len());
    let sql = format!(
        "SELECT DISTINCT v.proposal_id, k.holder FROM vaults v JOIN wrapped_keys k ON k.vault_id = v.vault_id \
         JOIN member_recipients m ON m.member = k.holder AND m.recipient = k.recipient \
         WHERE v.kind = $1 AND v.proposal_id IN ({marks}) AND NOT EXISTS (SELECT 1 FROM member_recipients r \
         WHERE r.member = k.holder AND NOT EXISTS (SELECT 1 FROM wrapped_keys o \
         WHERE o.vault_id = k.vault_id AND o.holder = r.member AND o.recipient = r.recipient))"
    );
    let kind = Arg::text(VaultKind::Panel.as_str());
    let args = std::iter::once(kind).chain(proposals.iter().map(Arg::text)).collect();
    let rows = tx.fetch_all(Sql::once(sql), args).await?;
    rows.iter().map(|row| Ok((row.parse("proposal_id")?, row.text("holder")?))).collect()
}

/// Those of these proposals that have a vault for their reviews.
pub async fn with_deliberation_among(tx: &mut Tx, proposals: &[ProposalId]) -> Result<HashSet<ProposalId>, StoreError> {
    if proposals.is_empty() {
        return Ok(HashSet::new());
    }
    let marks = many::marks(2, proposals.len());
    let sql = format!("SELECT proposal_id FROM vaults WHERE kind = $1 AND proposal_id IN ({marks})");
    let kind = Arg::text(VaultKind::Deliberation.as_str());
    let args = std::iter::once(kind).chain(proposals.iter().map(Arg::text)).collect();
    let rows = tx.fetch_all(Sql::once(sql), args).await?;
    rows.iter().map(|row| row.parse("proposal_id")).collect()
}

/// A page of the vaults of a call's proposals to which a member holds a key, in order after one, without their statements: there can be many.
pub async fn held_under(
    tx: &mut Tx,
    call: CallId,
    holder: &MemberId,
    after: Option<VaultId>,
    limit: u32,
) -> Result<Vec<VaultRow>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let sql = "SELECT vault_id, kind, call_id, proposal_id, party, recipient, '' AS statement, created_by FROM vaults \
               WHERE call_id = $1 AND proposal_id IS NOT NULL \
               AND vault_id IN (SELECT k.vault_id FROM wrapped_keys k WHERE k.holder = $2 AND k.vault_id > $3) \
               ORDER BY vault_id LIMIT $4";
    tx.fetch_all(sql, args![call, holder, after, limit]).await?.iter().map(read).collect()
}

/// Makes a vault.
///
/// # Errors
/// The constraint `vaults_place_key` when there is one of this kind in the same place.
pub async fn create(tx: &mut WriteTx, permit: &Permit, row: &VaultRow, now: Timestamp) -> Result<(), StoreError> {
    assert!(covers(WRITERS, permit, row));
    let mut place = row.proposal.map_or_else(|| row.call.to_string(), |id| format!("{id}/{}", row.kind));
    if let Some(party) = &row.party {
        place.push('/');
        place.push_str(party.as_str());
    }
    tx.execute(
        "INSERT INTO vaults (vault_id, place, kind, call_id, proposal_id, party, recipient, statement, created_by, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        args![
            row.id,
            place,
            row.kind.as_str(),
            row.call,
            row.proposal,
            row.party,
            row.recipient,
            row.statement,
            row.created_by,
            now
        ],
    )
    .await?;
    Ok(())
}

/// Adds wrapped keys to a vault, beside those that are there. None is ever overwritten.
///
/// # Errors
/// The constraint `wrapped_keys_vault_id_holder_recipient_wrapped_by_key` when the same member has wrapped one for that holder and
/// recipient.
pub async fn add_keys(
    tx: &mut WriteTx,
    permit: &Permit,
    vault: &VaultRow,
    keys: &[WrappedKeyRow],
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(covers(WRITERS, permit, vault) && keys.iter().all(|key| key.vault == vault.id));
    let into =
        "INSERT INTO wrapped_keys (key_id, vault_id, holder, recipient, statement, ciphertext, wrapped_by, wrapped_at)";
    let values = keys.iter().map(|key| {
        args![key.id, key.vault, key.holder, key.recipient, key.statement, key.ciphertext, key.wrapped_by, now]
    });
    many::insert(tx, into, values.collect()).await
}

/// Removes single keys, for which the principal, who holds them, has no use.
pub async fn discard_keys(
    tx: &mut WriteTx,
    permit: &Permit,
    vault: &VaultRow,
    keys: &[WrappedKeyId],
) -> Result<(), StoreError> {
    assert!(covers(WRITERS, permit, vault) || covers(USERS, permit, vault));
    for part in keys.chunks(many::AT_ONCE) {
        // INVARIANT: nobody removes a single key but the member who holds it.
        let sql = Sql::once(format!(
            "DELETE FROM wrapped_keys WHERE vault_id = $1 AND holder = $2 AND key_id IN ({})",
            many::marks(3, part.len())
        ));
        let args = args![vault.id, permit.principal()].into_iter().chain(part.iter().map(Arg::text)).collect();
        tx.execute(sql, args).await?;
    }
    Ok(())
}

/// Removes the keys that a member holds to a vault; how many.
pub async fn remove_keys(
    tx: &mut WriteTx,
    permit: &Permit,
    vault: &VaultRow,
    holder: &MemberId,
) -> Result<u64, StoreError> {
    assert!(covers(WRITERS, permit, vault));
    tx.execute("DELETE FROM wrapped_keys WHERE vault_id = $1 AND holder = $2", args![vault.id, holder]).await
}

/// Removes the keys to vaults that members hold, each to the vault it stands with.
pub async fn remove_held_keys(
    tx: &mut WriteTx,
    permit: &Permit,
    held: &[(&VaultRow, &MemberId)],
) -> Result<(), StoreError> {
    assert!(held.iter().all(|(vault, _)| covers(WRITERS, permit, vault)));
    drop_held_keys(tx, held).await
}

/// The same by the exchange itself, of keys that went with a role: the member who took the role had a permit.
pub async fn drop_held_keys(tx: &mut WriteTx, held: &[(&VaultRow, &MemberId)]) -> Result<(), StoreError> {
    let held: Vec<(VaultId, &MemberId)> = held.iter().map(|(vault, holder)| (vault.id, *holder)).collect();
    for part in held.chunks(many::AT_ONCE) {
        // Not `(vault_id, holder) IN (VALUES …)`, for which SQLite reads the whole table.
        let sql = Sql::once(format!(
            "WITH held (vault_id, holder) AS (VALUES {}) DELETE FROM wrapped_keys WHERE key_id IN \
             (SELECT k.key_id FROM held h JOIN wrapped_keys k ON k.vault_id = h.vault_id AND k.holder = h.holder)",
            many::tuples(1, 2, part.len())
        ));
        tx.execute(sql, many::pairs(part).collect()).await?;
    }
    Ok(())
}

fn covers(actions: &[Action], permit: &Permit, vault: &VaultRow) -> bool {
    permit.covers_call(actions, vault.call) || vault.proposal.is_some_and(|id| permit.covers_proposal(actions, id))
}

fn read_key(row: &Row) -> Result<WrappedKeyRow, StoreError> {
    Ok(WrappedKeyRow {
        id: row.parse("key_id")?,
        vault: row.parse("vault_id")?,
        holder: row.text("holder")?,
        recipient: row.text("recipient")?,
        statement: row.text("statement")?,
        ciphertext: row.bytes("ciphertext")?,
        wrapped_by: row.parse("wrapped_by")?,
    })
}

pub(super) fn read(row: &Row) -> Result<VaultRow, StoreError> {
    Ok(VaultRow {
        id: row.parse("vault_id")?,
        kind: row.parse("kind")?,
        call: row.parse("call_id")?,
        proposal: row.opt_parse("proposal_id")?,
        party: row.opt_parse("party")?,
        recipient: row.text("recipient")?,
        statement: row.text("statement")?,
        created_by: row.parse("created_by")?,
    })
}
