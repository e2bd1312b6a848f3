//! Proposals with everything that decides about them, and the versions their parties sign.

use super::{
    Arg, Row, Sql, StoreError, ToArg, Tx, WriteTx, args, db::Dialect, decisions::DECIDES, many::marks,
    revision::touch_if_observed, row::Parsed, visible,
};
use crate::{
    domain::{
        decision::Outcome,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256, Slug},
        label::Label,
        name::{folded, is_same},
        proposal::{Parties, Version},
        reference::Reference,
        reopening::Reopening,
    },
    policy::{Action, Permit},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
};

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
    /// When the present line of the ranking was sent.
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
    let sql = reading(tx.dialect(), "proposals p WHERE p.proposal_id = $1");
    tx.fetch_optional(sql, args![id]).await?.as_ref().map(read).transpose()
}

/// The proposals of every call after `after`, in order of their identifiers.
pub async fn after(tx: &mut Tx, after: Option<ProposalId>, limit: u32) -> Result<Vec<ProposalRow>, StoreError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let from = "(SELECT * FROM proposals WHERE proposal_id > $1 ORDER BY proposal_id LIMIT $2) p";
    let sql = reading(tx.dialect(), from);
    read_all(&tx.fetch_all(sql, args![after, limit]).await?)
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
    let from = "(SELECT * FROM proposals WHERE proposal_id > $1 AND (\
                EXISTS (SELECT 1 FROM proposal_parties s WHERE s.proposal_id = proposals.proposal_id AND s.partner = $2) \
                OR call_id IN (SELECT r.call_id FROM call_roles r WHERE r.member LIKE $3) \
                OR EXISTS (SELECT 1 FROM assignments a WHERE a.proposal_id = proposals.proposal_id AND a.reviewer LIKE $3)) \
                ORDER BY proposal_id LIMIT $4) p";
    let sql = reading(tx.dialect(), from);
    read_all(&tx.fetch_all(sql, args![after, partner, theirs, limit]).await?)
}

/// These proposals, at most [`AT_ONCE`], in order of their identifiers.
pub async fn some(tx: &mut Tx, ids: &[ProposalId]) -> Result<Vec<ProposalRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = tx.dialect();
    let sql = reading(dialect, &format!("proposals p WHERE {}", dialect.among("p.proposal_id", 1)));
    read_all(&tx.fetch_all(sql, vec![Arg::texts(ids)]).await?)
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
        let values = values.into_iter().chain(part.iter().map(Arg::text)).collect();
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
        let ids = part.iter().map(|proposal| Arg::text(proposal.id)).collect();
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

/// The statement that reads the proposals `p` of a source with all their sets, each gathered into one text. With a statement for each set
/// several times as many rows were handed over, which took longer than to find them.
fn reading(dialect: &Dialect, from: &str) -> Sql {
    let set = |values: &[&str], from: &str| {
        format!("(SELECT {} FROM {from} AND s.proposal_id = p.proposal_id)", dialect.gathered(values))
    };
    let parties = set(&["s.partner"], "proposal_parties s WHERE TRUE");
    let employer = "COALESCE(s.deadline_organisation, m.organisation)";
    let members = set(
        &["s.partner", "s.member", employer, "m.organisation", "s.added_at"],
        "proposal_members s JOIN members m ON m.member = s.member WHERE TRUE",
    );
    let invited = set(&["s.member"], "party_invitations s WHERE s.acceptance IS NULL");
    let version = ["s.version", "s.call_version", "s.sha256", "s.committed_at", "s.complete_at"];
    let versions = set(&version, "manifests s WHERE TRUE");
    let declared = set(&["s.member", "CASE WHEN s.conflict THEN 1 ELSE 0 END"], "declarations s WHERE TRUE");
    let assigned = set(&["s.reviewer"], "assignments s WHERE TRUE");
    let reviews = set(
        &["s.reviewer", "s.reopened_at", "s.reopened_by"],
        "reviews s WHERE s.revision = \
         (SELECT MAX(l.revision) FROM reviews l WHERE l.proposal_id = s.proposal_id AND l.reviewer = s.reviewer)",
    );
    let caveats = set(&["s.caveat"], "label_caveats s WHERE TRUE");
    let deciding = set(&["s.outcome"], &format!("decisions s WHERE {DECIDES}"));
    let letters = set(
        &["s.party", "s.letters"],
        "(SELECT w.proposal_id, w.party, COUNT(*) AS letters FROM letters w WHERE w.proposal_id = p.proposal_id \
         AND w.withdrawn_at IS NULL GROUP BY w.proposal_id, w.party) s WHERE TRUE",
    );
    Sql::built(format!(
        "SELECT p.proposal_id, p.call_id, p.number, p.topic, p.created_by, p.created_at, p.withdrawn_at, p.releasable_key, \
         {parties} AS parties, {members} AS members, {invited} AS invited, {versions} AS versions, {declared} AS declared, \
         {assigned} AS assigned, {reviews} AS reviews, CASE WHEN p.releasable_key <> '' THEN {caveats} END AS caveats, \
         {deciding} AS deciding, {letters} AS letters, \
         (SELECT s.sent_at FROM ranking_lines s WHERE s.proposal_id = p.proposal_id) AS ranking_sent_at FROM {from}"
    ))
}

const DEADLINE_COLUMNS: &str = "SELECT p.proposal_id, p.call_id, p.parties_key, c.revision \
                                FROM proposals p JOIN calls c ON c.call_id = p.call_id";

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

/// Reads proposals, in the order of their identifiers.
fn read_all(rows: &[Row]) -> Result<Vec<ProposalRow>, StoreError> {
    let mut found = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by_key(|proposal| proposal.id);
    Ok(found)
}

fn read(row: &Row) -> Result<ProposalRow, StoreError> {
    let mut proposal = ProposalRow {
        id: row.parse("proposal_id")?,
        call: row.parse("call_id")?,
        number: row.text("number")?,
        topic: row.opt_parse("topic")?,
        created_by: row.parse("created_by")?,
        created_at: row.time("created_at")?,
        is_withdrawn: row.opt_time("withdrawn_at")?.is_some(),
        parties: values(row, "parties")?.map(|partner| (partner, BTreeSet::new())).collect(),
        invited: values(row, "invited")?.collect(),
        employers: BTreeMap::new(),
        versions: Vec::new(),
        conflicts: BTreeSet::new(),
        clear: BTreeSet::new(),
        assigned: values(row, "assigned")?.collect(),
        reviewed: BTreeSet::new(),
        reopened: BTreeMap::new(),
        is_decided: false,
        outcome: None,
        ranking_sent_at: row.opt_time("ranking_sent_at")?,
        letters: BTreeMap::new(),
        label: label(row)?,
    };
    for (Parsed(partner), Parsed(member), counts, newest, joined_at) in
        row.gathered::<(Parsed<PartnerCode>, Parsed<MemberId>, String, String, i64)>("members")?
    {
        proposal.parties.entry(partner).or_default().insert(member.clone());
        let joined_at = instant("members", joined_at)?;
        proposal.employers.insert(member, Employer { counts, newest, joined_at });
    }
    for (number, call_version, Parsed(manifest), committed_at, complete_at) in
        row.gathered::<(u32, u32, Parsed<Sha256>, Option<i64>, Option<i64>)>("versions")?
    {
        let at = |millis: Option<i64>| millis.map(|millis| instant("versions", millis)).transpose();
        let (committed_at, complete_at) = (at(committed_at)?, at(complete_at)?);
        proposal.versions.push(Version { number, manifest, call_version, committed_at, complete_at });
    }
    proposal.versions.sort_unstable_by_key(|version| version.number);
    for (Parsed(member), is_conflict) in row.gathered::<(Parsed<MemberId>, u8)>("declared")? {
        let declared = if is_conflict == 0 { &mut proposal.clear } else { &mut proposal.conflicts };
        declared.insert(member);
    }
    for (Parsed(reviewer), reopened_at, by) in
        row.gathered::<(Parsed<MemberId>, Option<i64>, Option<Parsed<MemberId>>)>("reviews")?
    {
        match reopened_at {
            Some(at) => {
                let reopening = Reopening { at: instant("reviews", at)?, by: by.map(|Parsed(by)| by) };
                proposal.reopened.insert(reviewer, reopening);
            }
            None => {
                proposal.reviewed.insert(reviewer);
            }
        }
    }
    if let Some(Parsed(outcome)) = row.gathered::<Parsed<Outcome>>("deciding")?.pop() {
        (proposal.is_decided, proposal.outcome) = (true, Some(outcome));
        let letters = row.gathered::<(Option<Parsed<PartnerCode>>, u64)>("letters")?;
        proposal.letters =
            letters.into_iter().map(|(party, count)| (party.map(|Parsed(party)| party), count)).collect();
    }
    Ok(proposal)
}

/// The gathered values of a column of texts.
fn values<T: FromStr>(row: &Row, column: &str) -> Result<impl Iterator<Item = T>, StoreError> {
    Ok(row.gathered::<Parsed<T>>(column)?.into_iter().map(|Parsed(value)| value))
}

fn instant(column: &str, millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|_| StoreError::corrupt(column, "instants"))
}

/// The label: its nations, which a column holds as one text, and its caveats.
fn label(row: &Row) -> Result<Option<Label>, StoreError> {
    let releasable_to = codes(row, "releasable_key")?;
    if releasable_to.is_empty() {
        return Ok(None);
    }
    Ok(Some(Label { releasable_to, caveats: values(row, "caveats")?.collect() }))
}

/// The partners that a column holds as one text.
fn codes(row: &Row, column: &str) -> Result<BTreeSet<PartnerCode>, StoreError> {
    let key = row.text(column)?;
    let codes: Result<BTreeSet<PartnerCode>, _> =
        key.split(' ').filter(|code| !code.is_empty()).map(str::parse).collect();
    codes.map_err(|_| StoreError::corrupt(column, "partner codes"))
}
