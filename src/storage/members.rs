//! Members and the key cards their registrars signed.

use super::{Arg, Row, Sql, StoreError, Tx, WriteTx, args, many, visible};
use crate::{
    domain::{
        id::{CallId, MemberId, PartnerCode, Sha256},
        member::PartnerRole,
        name::folded,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A member, as the key card in force says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    pub member: MemberId,
    pub name: String,
    pub organisation: String,
    pub roles: BTreeSet<PartnerRole>,
    /// The compact JWS.
    pub key_card: String,
    pub serial: u64,
    pub is_active: bool,
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
}

impl MemberRow {
    /// Whether the key card is in force.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.is_active && self.valid_from <= now && now <= self.valid_until
    }
}

const COLUMNS: &str =
    "SELECT member, name, organisation, roles, key_card, serial, status, valid_from, valid_until FROM members";

/// One member.
pub async fn find(tx: &mut Tx, member: &MemberId) -> Result<Option<MemberRow>, StoreError> {
    let sql = Sql::built(format!("{COLUMNS} WHERE member = $1"));
    tx.fetch_optional(sql, args![member]).await?.as_ref().map(read).transpose()
}

/// Those of these members that there are, in no order.
pub async fn some(tx: &mut Tx, members: &[MemberId]) -> Result<Vec<MemberRow>, StoreError> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let sql = Sql::built(format!("{COLUMNS} WHERE {}", tx.dialect().among("member", 1)));
    tx.fetch_all(sql, vec![Arg::texts(members)]).await?.iter().map(read).collect()
}

/// The member whose key card names a certificate of this partner.
pub async fn by_certificate(tx: &mut Tx, partner: &PartnerCode, spki: &Sha256) -> Result<Option<MemberId>, StoreError> {
    let sql = "SELECT member FROM member_certificates WHERE partner = $1 AND spki = $2";
    tx.fetch_optional(sql, args![partner, spki]).await?.map(|row| row.parse("member")).transpose()
}

/// A page of members by name, of one partner or of all.
pub async fn page(
    tx: &mut Tx,
    partner: Option<&PartnerCode>,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<MemberRow>, StoreError> {
    let after = after.unwrap_or("");
    let rows = match partner {
        Some(partner) => {
            let sql = Sql::built(format!("{COLUMNS} WHERE partner = $1 AND member > $2 ORDER BY member LIMIT $3"));
            tx.fetch_all(sql, args![partner, after, limit]).await?
        }
        None => {
            let sql = Sql::built(format!("{COLUMNS} WHERE member > $1 ORDER BY member LIMIT $2"));
            tx.fetch_all(sql, args![after, limit]).await?
        }
    };
    rows.iter().map(read).collect()
}

/// Whether a partner has a member whose key card is in force and who neither runs the call, reviews nor decides.
pub async fn is_one_free(tx: &mut Tx, partner: &PartnerCode, call: CallId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM members m \
               WHERE m.partner = $1 AND m.status = 'active' AND m.valid_from <= $3 AND m.valid_until >= $3 \
               AND NOT EXISTS (SELECT 1 FROM call_roles r WHERE r.call_id = $2 AND r.member = m.member AND r.role <> 'observer')) AS is_free";
    tx.fetch_one(sql, args![partner, call, now]).await?.bool("is_free")
}

/// Another member whose key card in force names the recipient, if there is one.
pub async fn other_with_recipient(
    tx: &mut Tx,
    member: &MemberId,
    recipient: &str,
) -> Result<Option<MemberId>, StoreError> {
    let sql = "SELECT member FROM member_recipients WHERE recipient = $1 AND member <> $2 LIMIT 1";
    let row = tx.fetch_optional(sql, args![recipient, member]).await?;
    row.map(|row| row.parse("member")).transpose()
}

/// Those of these recipients that the key card in force of their member names.
pub async fn named_recipients(
    tx: &mut Tx,
    sought: &[(MemberId, String)],
) -> Result<HashSet<(MemberId, String)>, StoreError> {
    let mut found = HashSet::with_capacity(sought.len());
    for part in sought.chunks(many::AT_ONCE) {
        let sql = format!(
            "WITH sought (member, recipient) AS (VALUES {}) SELECT r.member, r.recipient FROM sought s \
             JOIN member_recipients r ON r.member = s.member AND r.recipient = s.recipient",
            many::tuples(1, 2, part.len())
        );
        for row in tx.fetch_all(Sql::once(sql), many::pairs(part).collect()).await? {
            found.insert((row.parse("member")?, row.text("recipient")?));
        }
    }
    Ok(found)
}

/// The members of a partner whose key cards name these certificates, as far as one does.
pub async fn behind(
    tx: &mut Tx,
    partner: &PartnerCode,
    certificates: &BTreeSet<Sha256>,
) -> Result<HashMap<Sha256, MemberId>, StoreError> {
    if certificates.is_empty() {
        return Ok(HashMap::new());
    }
    let marks = many::marks(2, certificates.len());
    let sql = format!("SELECT spki, member FROM member_certificates WHERE partner = $1 AND spki IN ({marks})");
    let args = [Arg::text(partner)].into_iter().chain(certificates.iter().map(Arg::text)).collect();
    let rows = tx.fetch_all(Sql::once(sql), args).await?;
    rows.iter().map(|row| Ok((row.parse("spki")?, row.parse("member")?))).collect()
}

/// Whether the key card in force names this certificate.
pub async fn has_certificate(tx: &mut Tx, member: &MemberId, spki: &Sha256) -> Result<bool, StoreError> {
    let sql = "SELECT 1 AS found FROM member_certificates WHERE partner = $1 AND spki = $2 AND member = $3";
    Ok(tx.fetch_optional(sql, args![member.partner(), spki, member]).await?.is_some())
}

/// A key card as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCardRow {
    pub serial: u64,
    /// The compact JWS.
    pub key_card: String,
    pub published_at: Timestamp,
}

/// A page of a member's key cards, the newest first.
pub async fn key_cards(
    tx: &mut Tx,
    member: &MemberId,
    below: Option<u64>,
    limit: u32,
) -> Result<Vec<KeyCardRow>, StoreError> {
    let sql = "SELECT serial, key_card, published_at FROM key_cards WHERE member = $1 AND serial < $2 \
               ORDER BY serial DESC LIMIT $3";
    let below = below.unwrap_or(u64::MAX).min(i64::MAX.unsigned_abs());
    let rows = tx.fetch_all(sql, args![member, below, limit]).await?;
    rows.iter()
        .map(|row| {
            let (serial, key_card) = (row.count("serial")?, row.text("key_card")?);
            Ok(KeyCardRow { serial, key_card, published_at: row.time("published_at")? })
        })
        .collect()
}

/// When the last of so many of a member's key cards was published, the newest first, if there are as many.
pub async fn published_before(tx: &mut Tx, member: &MemberId, many: u64) -> Result<Option<Timestamp>, StoreError> {
    // Serials grow with time, and the primary key is in their order.
    let sql = "SELECT published_at FROM key_cards WHERE member = $1 ORDER BY serial DESC LIMIT 1 OFFSET $2";
    let row = tx.fetch_optional(sql, args![member, many.saturating_sub(1)]).await?;
    row.map(|row| row.time("published_at")).transpose()
}

/// How many members a partner has, those whose key cards were revoked included.
pub async fn count(tx: &mut Tx, partner: &PartnerCode) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS members FROM members WHERE partner = $1";
    tx.fetch_one(sql, args![partner]).await?.count("members")
}

/// How many key cards in force of each partner end between now and each of these instants. Partners without any are not in it.
pub async fn ending<const N: usize>(
    tx: &mut Tx,
    now: Timestamp,
    until: [Timestamp; N],
) -> Result<BTreeMap<PartnerCode, [u64; N]>, StoreError> {
    let mut found = BTreeMap::new();
    for (place, until) in until.into_iter().enumerate() {
        let sql = "SELECT partner, COUNT(*) AS cards FROM members \
                   WHERE status = 'active' AND valid_from <= $1 AND valid_until >= $1 AND valid_until <= $2 GROUP BY partner";
        for row in tx.fetch_all(sql, args![now, until]).await? {
            found.entry(row.parse("partner")?).or_insert([0; N])[place] = row.count("cards")?;
        }
    }
    Ok(found)
}

/// Publishes a key card in place of the former one, which is kept.
///
/// # Errors
/// The constraint `member_certificates_pkey` when another member's card names one of the certificates, `key_cards_pkey` when
/// the member had a card of this serial.
pub async fn publish(
    tx: &mut WriteTx,
    permit: &Permit,
    row: &MemberRow,
    certificates: &[Sha256],
    recipients: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_partner(&[Action::PublishKeyCard], row.member.partner()));
    let roles = row.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(" ");
    let status = if row.is_active { "active" } else { "revoked" };
    tx.execute(
        "INSERT INTO members (member, partner, name, organisation, roles, key_card, serial, status, valid_from, \
         valid_until, published_at, organisation_folded) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (member) DO UPDATE SET name = excluded.name, organisation = excluded.organisation, \
         roles = excluded.roles, key_card = excluded.key_card, serial = excluded.serial, status = excluded.status, \
         valid_from = excluded.valid_from, valid_until = excluded.valid_until, published_at = excluded.published_at, \
         organisation_folded = excluded.organisation_folded",
        args![
            row.member,
            row.member.partner(),
            row.name,
            row.organisation,
            roles,
            row.key_card,
            row.serial,
            status,
            row.valid_from,
            row.valid_until,
            now,
            folded(&row.organisation)
        ],
    )
    .await?;
    visible::note_employer(tx, &row.member, &folded(&row.organisation)).await?;
    let sql = "INSERT INTO key_cards (member, serial, key_card, published_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, args![row.member, row.serial, row.key_card, now]).await?;
    tx.execute("DELETE FROM member_certificates WHERE member = $1", args![row.member]).await?;
    tx.execute("DELETE FROM member_recipients WHERE member = $1", args![row.member]).await?;
    if row.is_active {
        let named = certificates.iter().map(|spki| args![row.member.partner(), spki, row.member]);
        many::insert(tx, "INSERT INTO member_certificates (partner, spki, member)", named.collect()).await?;
        let named = recipients.iter().map(|recipient| args![row.member, recipient]);
        many::insert(tx, "INSERT INTO member_recipients (member, recipient)", named.collect()).await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<MemberRow, StoreError> {
    let roles = row.text("roles")?;
    let roles = roles.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    Ok(MemberRow {
        member: row.parse("member")?,
        name: row.text("name")?,
        organisation: row.text("organisation")?,
        roles: roles.map_err(|_| StoreError::corrupt("roles", "partner-level roles"))?,
        key_card: row.text("key_card")?,
        serial: row.count("serial")?,
        is_active: row.text("status")? == "active",
        valid_from: row.time("valid_from")?,
        valid_until: row.time("valid_until")?,
    })
}
