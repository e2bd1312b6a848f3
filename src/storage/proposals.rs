//! Proposals with everything that decides about them, and the versions their parties sign.

use super::{
    Row, Sql, StoreError, ToArg, Tx, WriteTx, args, decisions::DECIDES, many::marks, reviews,
    revision::touch_if_observed, visible,
};
use crate::{
    domain::{
        decision::Outcome,
        id::{CallId, MemberId, PartnerCode, ProposalId, Slug},
        label::Label,
        name::{folded, is_same},
        proposal::{Parties, Version},
        reference::Reference,
        reopening::Reopening,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalRow {
    pub id: ProposalId,
    pub call: CallId,
    /// The number of its reference, the check digit last.
    pub number: String,
    pub topic: Option<Slug>,
    pub created_by: MemberId,
    pub created_at: Timestamp,
    pub is_withdrawn: bool,
    /// Each party, with those who joined it.
    pub parties: Parties,
    /// The invited members who have not answered.
    pub invited: BTreeSet<MemberId>,
    /// The employer of each member of the parties, as it counts for this proposal.
    pub employers: BTreeMap<MemberId, Employer>,
    pub versions: Vec<Version>,
    /// Members with a declared conflict.
    pub conflicts: BTreeSet<MemberId>,
    /// Members who declared that they have none.
    pub clear: BTreeSet<MemberId>,
    pub assigned: BTreeSet<MemberId>,
    /// Reviewers whose latest review is in and not reopened.
    pub reviewed: BTreeSet<MemberId>,
    /// Reviewers whose latest review was reopened.
    pub reopened: BTreeMap<MemberId, Reopening>,
    /// Whether a decision is in force: every funder has signed it, and it was not rescinded.
    pub is_decided: bool,
    /// What was decided, by the decision in force.
    pub outcome: Option<Outcome>,
    /// When the line of the ranking was sent that stands.
    pub ranking_sent_at: Option<Timestamp>,
    /// How many letters stand, once it is decided, by the party that they are for; none: all parties.
    pub letters: BTreeMap<Option<PartnerCode>, u64>,
    /// The label in force.
    pub label: Option<Label>,
}

/// The employer of a member of a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Employer {
    /// The organisation that counts: until the deadline that of the newest key card, from then on that of the deadline.
    pub counts: String,
    /// The employer on the newest key card.
    pub newest: String,
    pub joined_at: Timestamp,
}

impl ProposalRow {
    /// The organisations of the parties' members that count.
    #[must_use]
    pub fn organisations(&self) -> BTreeSet<String> {
        self.employers.values().map(|employer| employer.counts.clone()).collect()
    }

    /// Organisations where a member of the parties works by now and that do not count, since nobody of them did at the deadline.
    #[must_use]
    pub fn later_organisations(&self) -> BTreeSet<String> {
        let counts = |name: &str| self.employers.values().any(|employer| is_same(&employer.counts, name));
        self.employers.values().map(|employer| employer.newest.clone()).filter(|newest| !counts(newest)).collect()
    }
}

/// A signature under a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureRow {
    pub partner: PartnerCode,
    pub member: MemberId,
    pub jws: String,
}

/// One proposal.
pub async fn find(tx: &mut Tx, id: ProposalId) -> Result<Option<ProposalRow>, StoreError> {
    let sql = format!("{COLUMNS} WHERE proposal_id = $1");
    let rows = tx.fetch_all(Sql::built(sql), args![id]).await?;
    Ok(load(tx, rows, Sql::built).await?.pop())
}

/// The proposals of every call after `after`, in order of their identifiers.
pub async fn after(tx: &mut Tx, after: Option<ProposalId>, limit: u32) -> Result<Vec<ProposalRow>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let sql = format!("{COLUMNS} WHERE proposal_id > $1 ORDER BY proposal_id LIMIT $2");
    let rows = tx.fetch_all(Sql::built(sql), args![after, limit]).await?;
    load(tx, rows, Sql::built).await
}

/// The proposals after `after` that a partner's policies can have something to do with, in order of their identifiers: its own, and
/// those on whose panel one of its members is.
pub async fn concerning(
    tx: &mut Tx,
    partner: &PartnerCode,
    after: Option<ProposalId>,
    limit: u32,
) -> Result<Vec<ProposalRow>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    // A code holds none of the letters that LIKE reads as patterns.
    let theirs = format!("{partner}:%");
    let sql = format!(
        "{COLUMNS} WHERE proposal_id > $1 AND (\
         EXISTS (SELECT 1 FROM proposal_parties s WHERE s.proposal_id = proposals.proposal_id AND s.partner = $2) \
         OR call_id IN (SELECT r.call_id FROM call_roles r WHERE r.member LIKE $3) \
         OR EXISTS (SELECT 1 FROM assignments a WHERE a.proposal_id = proposals.proposal_id AND a.reviewer LIKE $3)) \
         ORDER BY proposal_id LIMIT $4"
    );
    let rows = tx.fetch_all(Sql::built(sql), args![after, partner, theirs, limit]).await?;
    load(tx, rows, Sql::built).await
}

/// These proposals, at most [`AT_ONCE`], in order of their identifiers: a page, whose statements come again.
pub async fn some(tx: &mut Tx, ids: &[ProposalId]) -> Result<Vec<ProposalRow>, StoreError> {
    among(tx, ids, Sql::built).await
}

/// The same of as many as it happens to be: connections keep no statements for that number.
pub async fn some_once(tx: &mut Tx, ids: &[ProposalId]) -> Result<Vec<ProposalRow>, StoreError> {
    among(tx, ids, Sql::once).await
}

async fn among(tx: &mut Tx, ids: &[ProposalId], sql: fn(String) -> Sql) -> Result<Vec<ProposalRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!("{COLUMNS} WHERE proposal_id IN ({})", marks(1, ids.len()));
    let rows = tx.fetch_all(sql(text), ids.iter().map(super::Arg::text).collect()).await?;
    load(tx, rows, sql).await
}

/// Whether a decision is in force on some proposal under a call that its parties have not withdrawn since, whether anybody may know of it or
/// not.
pub async fn is_decided_under(tx: &mut Tx, call: CallId) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM decisions s JOIN proposals p ON p.proposal_id = s.proposal_id \
                        WHERE s.call_id = $1 AND {DECIDES} AND p.withdrawn_at IS NULL) AS is_decided"
    );
    tx.fetch_one(Sql::built(sql), args![call]).await?.bool("is_decided")
}

/// Whether a member is party to some proposal under a call, or invited to one, withdrawn and lapsed ones included. Invitations of members
/// who run the call, review or decide do not count.
pub async fn is_party_under(tx: &mut Tx, call: CallId, member: &MemberId) -> Result<bool, StoreError> {
    let sql = "SELECT \
               EXISTS (SELECT 1 FROM proposal_members s JOIN proposals p ON p.proposal_id = s.proposal_id \
                       WHERE s.member = $2 AND p.call_id = $1) \
               OR (EXISTS (SELECT 1 FROM party_invitations s JOIN proposals p ON p.proposal_id = s.proposal_id \
                           WHERE s.member = $2 AND s.acceptance IS NULL AND p.call_id = $1) \
                   AND NOT EXISTS (SELECT 1 FROM call_roles r WHERE r.call_id = $1 AND r.member = $2 AND r.role <> 'observer')) \
               AS is_party";
    tx.fetch_one(sql, args![call, member]).await?.bool("is_party")
}

/// A proposal that is begun.
#[derive(Debug, Clone, Copy)]
pub struct NewProposalRow<'a> {
    pub id: ProposalId,
    pub call: CallId,
    /// Under the call's code, and not taken there.
    pub reference: &'a Reference,
    pub topic: Option<&'a Slug>,
    pub parties: &'a BTreeSet<PartnerCode>,
}

/// Begins a proposal; the principal is the first who belongs to a party.
pub async fn create(
    tx: &mut WriteTx,
    permit: &Permit,
    new: NewProposalRow<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let NewProposalRow { id, call, reference, topic, parties } = new;
    assert!(permit.covers_call(&[Action::CreateProposal], call));
    let key = visible::parties_key(parties);
    tx.execute(
        "INSERT INTO proposals (proposal_id, call_id, number, topic, created_by, created_at, parties_key) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        args![id, call, reference.number(), topic, permit.principal(), now, key],
    )
    .await?;
    visible::tally(tx, call, &key).await?;
    for partner in parties {
        let sql = "INSERT INTO proposal_parties (proposal_id, partner) VALUES ($1, $2)";
        tx.execute(sql, args![id, partner]).await?;
    }
    insert_member(tx, id, permit.principal(), now).await?;
    touch_if_observed(tx, id).await
}

/// Makes the principal a member of their nation's party.
pub async fn join(tx: &mut WriteTx, permit: &Permit, id: ProposalId, now: Timestamp) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::AnswerInvitation], id));
    insert_member(tx, id, permit.principal(), now).await?;
    touch_if_observed(tx, id).await
}

/// Takes a member out of a party.
pub async fn remove_member(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    member: &MemberId,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::RemoveMember], id));
    let sql = "DELETE FROM proposal_members WHERE proposal_id = $1 AND member = $2";
    tx.execute(sql, args![id, member]).await?;
    Ok(())
}

/// The facts from which the deadline of a proposal follows, and nothing else of it: a member can have many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalDeadlineRow {
    pub id: ProposalId,
    pub call: CallId,
    /// Of the call.
    pub revision: u64,
    pub parties: BTreeSet<PartnerCode>,
}

/// The proposals to which the member is party and for which the newest key card says where they work.
pub async fn with_newest_employer(tx: &mut Tx, member: &MemberId) -> Result<Vec<ProposalDeadlineRow>, StoreError> {
    let sql = format!(
        "{DEADLINE_COLUMNS} WHERE p.proposal_id IN \
         (SELECT s.proposal_id FROM proposal_members s WHERE s.member = $1 AND s.deadline_organisation IS NULL)"
    );
    tx.fetch_all(Sql::built(sql), args![member]).await?.iter().map(deadline).collect()
}

/// The proposals under a call of which some member works elsewhere than at the deadline, by their newest key card.
pub async fn with_kept_employers(tx: &mut Tx, call: CallId) -> Result<Vec<ProposalDeadlineRow>, StoreError> {
    let sql = format!(
        "{DEADLINE_COLUMNS} WHERE p.call_id = $1 AND p.proposal_id IN \
         (SELECT s.proposal_id FROM proposal_members s WHERE s.deadline_organisation_folded IS NOT NULL)"
    );
    tx.fetch_all(Sql::built(sql), args![call]).await?.iter().map(deadline).collect()
}

/// The proposals under a call that any of these members is party to.
pub async fn of_members(
    tx: &mut Tx,
    call: CallId,
    members: &BTreeSet<MemberId>,
) -> Result<BTreeSet<ProposalId>, StoreError> {
    let members: Vec<_> = members.iter().collect();
    let mut found = BTreeSet::new();
    for some in members.chunks(AT_ONCE) {
        let sql = format!(
            "SELECT DISTINCT s.proposal_id FROM proposal_members s JOIN proposals p ON p.proposal_id = s.proposal_id \
             WHERE p.call_id = $1 AND s.member IN ({})",
            marks(2, some.len())
        );
        let mut args = args![call];
        args.extend(some.iter().map(ToArg::to_arg));
        for row in tx.fetch_all(Sql::built(sql), args).await? {
            found.insert(row.parse("proposal_id")?);
        }
    }
    Ok(found)
}

/// Keeps where the member worked until now as what counts for these proposals, whatever later key cards say.
pub async fn keep_employer(
    tx: &mut WriteTx,
    permit: &Permit,
    member: &MemberId,
    organisation: &str,
    ids: &[ProposalId],
) -> Result<(), StoreError> {
    assert!(permit.covers_partner(&[Action::PublishKeyCard], member.partner()));
    for part in ids.chunks(AT_ONCE) {
        let sql = format!(
            "UPDATE proposal_members SET deadline_organisation = $2, deadline_organisation_folded = $3, employer_folded = $3 \
             WHERE member = $1 AND deadline_organisation IS NULL AND proposal_id IN ({})",
            marks(4, part.len())
        );
        let values = args![member, organisation, folded(organisation)];
        let values = values.into_iter().chain(part.iter().map(super::Arg::text)).collect();
        tx.execute(Sql::once(sql), values).await?;
    }
    Ok(())
}

/// Lets the newest key cards say again where the members of these proposals work.
pub async fn follow_newest_employers(
    tx: &mut WriteTx,
    permit: &Permit,
    proposals: &[ProposalDeadlineRow],
) -> Result<(), StoreError> {
    assert!(proposals.iter().all(|proposal| {
        permit.covers_call(&[Action::ExtendCall, Action::AmendCall, Action::CancelCall], proposal.call)
            || permit.covers_proposal(&[Action::ExtendProposal], proposal.id)
    }));
    for part in proposals.chunks(AT_ONCE) {
        let sql = format!(
            "UPDATE proposal_members SET deadline_organisation = NULL, deadline_organisation_folded = NULL, \
             employer_folded = COALESCE((SELECT m.organisation_folded FROM members m \
             WHERE m.member = proposal_members.member), '') WHERE proposal_id IN ({})",
            marks(1, part.len())
        );
        let ids = part.iter().map(|proposal| super::Arg::text(proposal.id)).collect();
        tx.execute(Sql::once(sql), ids).await?;
    }
    Ok(())
}

/// Takes a proposal back, or brings it back.
pub async fn set_withdrawn(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    withdrawn_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    let action = if withdrawn_at.is_some() { Action::Withdraw } else { Action::Reinstate };
    assert!(permit.covers_proposal(&[action], id));
    tx.execute("UPDATE proposals SET withdrawn_at = $2 WHERE proposal_id = $1", args![id, withdrawn_at]).await?;
    touch_if_observed(tx, id).await
}

/// The canonical JSON of a version's manifest.
pub async fn manifest_body(tx: &mut Tx, id: ProposalId, version: u32) -> Result<Option<String>, StoreError> {
    let sql = "SELECT body FROM manifests WHERE proposal_id = $1 AND version = $2";
    tx.fetch_optional(sql, args![id, version]).await?.map(|row| row.text("body")).transpose()
}

/// The signatures under a version, by partner.
pub async fn signatures(tx: &mut Tx, id: ProposalId, version: u32) -> Result<Vec<SignatureRow>, StoreError> {
    let sql = "SELECT partner, member, jws FROM manifest_signatures WHERE proposal_id = $1 AND version = $2 \
               ORDER BY partner";
    let rows = tx.fetch_all(sql, args![id, version]).await?;
    rows.iter()
        .map(|row| {
            Ok(SignatureRow { partner: row.parse("partner")?, member: row.parse("member")?, jws: row.text("jws")? })
        })
        .collect()
}

/// How many proposals under a call a member has begun of which no version was ever complete.
pub async fn never_submitted(tx: &mut Tx, call: CallId, by: &MemberId) -> Result<u64, StoreError> {
    let sql = "SELECT COUNT(*) AS begun FROM proposals WHERE call_id = $1 AND created_by = $2 AND NOT EXISTS \
               (SELECT 1 FROM manifests WHERE manifests.proposal_id = proposals.proposal_id AND complete_at IS NOT NULL)";
    tx.fetch_one(sql, args![call, by]).await?.count("begun")
}

/// Proposes a new version.
pub async fn add_version(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    version: &Version,
    body: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign], id));
    tx.execute(
        "INSERT INTO manifests (proposal_id, version, call_version, sha256, body, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![id, version.number, version.call_version, version.manifest, body, now],
    )
    .await?;
    Ok(())
}

/// Adds the principal's signature under a version.
pub async fn sign(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    version: u32,
    jws: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign], id));
    let member = permit.principal();
    tx.execute(
        "INSERT INTO manifest_signatures (proposal_id, version, partner, member, jws, signed_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        args![id, version, member.partner(), member, jws, now],
    )
    .await?;
    Ok(())
}

/// Notes that every party has signed a version, or that all its bytes are here.
pub async fn advance(
    tx: &mut WriteTx,
    permit: &Permit,
    id: ProposalId,
    version: u32,
    committed_at: Timestamp,
    complete_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    assert!(permit.covers_proposal(&[Action::Sign, Action::Upload], id));
    tx.execute(
        "UPDATE manifests SET committed_at = COALESCE(committed_at, $3), complete_at = COALESCE(complete_at, $4) \
         WHERE proposal_id = $1 AND version = $2",
        args![id, version, committed_at, complete_at],
    )
    .await?;
    visible::note_versions(tx, id).await
}

/// How many proposals a statement names at most: it has no room for any number.
pub const AT_ONCE: usize = 500;

const COLUMNS: &str =
    "SELECT proposal_id, call_id, number, topic, created_by, created_at, withdrawn_at, releasable_key FROM proposals";

const DEADLINE_COLUMNS: &str = "SELECT p.proposal_id, p.call_id, p.parties_key, c.revision \
                                FROM proposals p JOIN calls c ON c.call_id = p.call_id";

/// The parties, their members, and the invited members, as rows of one kind.
const PARTICIPANTS: &str = "(SELECT q.proposal_id, q.partner, NULL AS member, NULL AS counts, NULL AS newest, \
     CAST(NULL AS BIGINT) AS joined_at, 0 AS joined FROM proposal_parties q \
     UNION ALL SELECT q.proposal_id, q.partner, q.member, COALESCE(q.deadline_organisation, m.organisation), m.organisation, q.added_at, 1 \
     FROM proposal_members q JOIN members m ON m.member = q.member \
     UNION ALL SELECT q.proposal_id, q.partner, q.member, NULL, NULL, NULL, 0 FROM party_invitations q WHERE q.acceptance IS NULL) t";

async fn insert_member(tx: &mut WriteTx, id: ProposalId, member: &MemberId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO proposal_members (proposal_id, member, partner, added_at, employer_folded) VALUES ($1, $2, $3, $4, \
               COALESCE((SELECT m.organisation_folded FROM members m WHERE m.member = $2), ''))";
    tx.execute(sql, args![id, member, member.partner(), now]).await?;
    Ok(())
}

fn deadline(row: &Row) -> Result<ProposalDeadlineRow, StoreError> {
    Ok(ProposalDeadlineRow {
        id: row.parse("proposal_id")?,
        call: row.parse("call_id")?,
        revision: row.count("revision")?,
        parties: codes(row, "parties_key")?,
    })
}

/// Completes rows with their sets: one statement a set for the whole page, whatever its length.
async fn load(tx: &mut Tx, rows: Vec<Row>, sql: fn(String) -> Sql) -> Result<Vec<ProposalRow>, StoreError> {
    let mut found: BTreeMap<ProposalId, ProposalRow> = BTreeMap::new();
    for row in &rows {
        let id = row.parse("proposal_id")?;
        let proposal = ProposalRow {
            id,
            call: row.parse("call_id")?,
            number: row.text("number")?,
            topic: row.opt_parse("topic")?,
            created_by: row.parse("created_by")?,
            created_at: row.time("created_at")?,
            is_withdrawn: row.opt_time("withdrawn_at")?.is_some(),
            parties: Parties::new(),
            invited: BTreeSet::new(),
            employers: BTreeMap::new(),
            versions: Vec::new(),
            conflicts: BTreeSet::new(),
            clear: BTreeSet::new(),
            assigned: BTreeSet::new(),
            reviewed: BTreeSet::new(),
            reopened: BTreeMap::new(),
            is_decided: false,
            outcome: None,
            ranking_sent_at: None,
            letters: BTreeMap::new(),
            label: label(row)?,
        };
        found.insert(id, proposal);
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<super::Arg> = found.keys().map(super::Arg::text).collect();
    let marks = marks(1, ids.len());
    let set = |columns: &str, from: &str| {
        sql(format!("SELECT t.proposal_id, {columns} FROM {from} WHERE t.proposal_id IN ({marks})"))
    };
    for row in tx
        .fetch_all(set("t.partner, t.member, t.counts, t.newest, t.joined_at, t.joined", PARTICIPANTS), ids.clone())
        .await?
    {
        let proposal = of(&mut found, &row)?;
        let members = proposal.parties.entry(row.parse("partner")?).or_default();
        match (row.opt_parse::<MemberId>("member")?, row.int("joined")? == 1) {
            (Some(member), true) => {
                members.insert(member.clone());
                let (counts, newest) = (row.text("counts")?, row.text("newest")?);
                let employer = Employer { counts, newest, joined_at: row.time("joined_at")? };
                proposal.employers.insert(member, employer);
            }
            (Some(member), false) => {
                proposal.invited.insert(member);
            }
            (None, _) => {}
        }
    }
    let columns = "t.version, t.call_version, t.sha256, t.committed_at, t.complete_at";
    for row in tx.fetch_all(set(columns, "manifests t"), ids.clone()).await? {
        let version = Version {
            number: small(&row, "version")?,
            manifest: row.parse("sha256")?,
            call_version: small(&row, "call_version")?,
            committed_at: row.opt_time("committed_at")?,
            complete_at: row.opt_time("complete_at")?,
        };
        of(&mut found, &row)?.versions.push(version);
    }
    for row in tx.fetch_all(set("t.member, t.conflict", "declarations t"), ids.clone()).await? {
        let (member, conflict) = (row.parse("member")?, row.bool("conflict")?);
        let proposal = of(&mut found, &row)?;
        let declared = if conflict { &mut proposal.conflicts } else { &mut proposal.clear };
        declared.insert(member);
    }
    for row in tx.fetch_all(set("t.reviewer", "assignments t"), ids.clone()).await? {
        of(&mut found, &row)?.assigned.insert(row.parse("reviewer")?);
    }
    let columns = "t.reviewer, t.reopened_at, t.reopened_by";
    let from = "(SELECT r.proposal_id, r.reviewer, r.reopened_at, r.reopened_by FROM reviews r WHERE r.revision = \
                (SELECT MAX(l.revision) FROM reviews l WHERE l.proposal_id = r.proposal_id AND l.reviewer = r.reviewer)) t";
    for row in tx.fetch_all(set(columns, from), ids.clone()).await? {
        let (reviewer, proposal) = (row.parse("reviewer")?, of(&mut found, &row)?);
        match reviews::reopening(&row)? {
            Some(reopening) => {
                proposal.reopened.insert(reviewer, reopening);
            }
            None => {
                proposal.reviewed.insert(reviewer);
            }
        }
    }
    if found.values().any(|proposal| proposal.label.is_some()) {
        for row in tx.fetch_all(set("t.caveat", "label_caveats t"), ids.clone()).await? {
            if let Some(label) = &mut of(&mut found, &row)?.label {
                label.caveats.insert(row.parse("caveat")?);
            }
        }
    }
    let deciding = format!("(SELECT s.proposal_id, s.outcome FROM decisions s WHERE {DECIDES}) t");
    for row in tx.fetch_all(set("t.outcome", &deciding), ids.clone()).await? {
        let (outcome, proposal) = (row.parse("outcome")?, of(&mut found, &row)?);
        (proposal.is_decided, proposal.outcome) = (true, Some(outcome));
    }
    // Nobody reads one who has not declared to be clear.
    if found.values().any(|proposal| !proposal.clear.is_empty()) {
        for row in tx.fetch_all(set("t.sent_at", "ranking_lines t"), ids.clone()).await? {
            of(&mut found, &row)?.ranking_sent_at = Some(row.time("sent_at")?);
        }
    }
    if found.values().any(|proposal| proposal.is_decided) {
        let standing = "(SELECT l.proposal_id, l.party, COUNT(*) AS letters FROM letters l WHERE l.withdrawn_at IS NULL \
                        GROUP BY l.proposal_id, l.party) t";
        for row in tx.fetch_all(set("t.party, t.letters", standing), ids).await? {
            let (party, letters) = (row.opt_parse("party")?, row.count("letters")?);
            of(&mut found, &row)?.letters.insert(party, letters);
        }
    }
    for proposal in found.values_mut() {
        proposal.versions.sort_by_key(|version| version.number);
    }
    Ok(found.into_values().collect())
}

/// The label whose nations a column holds as one text; its caveats are rows.
fn label(row: &Row) -> Result<Option<Label>, StoreError> {
    let releasable_to = codes(row, "releasable_key")?;
    Ok((!releasable_to.is_empty()).then(|| Label { releasable_to, caveats: BTreeSet::new() }))
}

/// The partners that a column holds as one text.
fn codes(row: &Row, column: &str) -> Result<BTreeSet<PartnerCode>, StoreError> {
    let key = row.text(column)?;
    let codes: Result<BTreeSet<PartnerCode>, _> =
        key.split(' ').filter(|code| !code.is_empty()).map(str::parse).collect();
    codes.map_err(|_| StoreError::corrupt(column, "partner codes"))
}

fn of<'a>(found: &'a mut BTreeMap<ProposalId, ProposalRow>, row: &Row) -> Result<&'a mut ProposalRow, StoreError> {
    let id = row.parse("proposal_id")?;
    found.get_mut(&id).ok_or_else(|| StoreError::corrupt("proposal_id", "a proposal of the page"))
}

fn small(row: &Row, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.int(column)?).map_err(|_| StoreError::corrupt(column, "a small number"))
}
