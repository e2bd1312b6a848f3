//! How much one may keep on the exchange: what a member begins, what a party uploads, what a nation proposes. The operator sets the numbers;
//! who comes to the end of one hears the number.
//!
//! These bound what stays; their defaults are in the table of shares. What is under way at a time is divided by `http::shares`, and turns at
//! writing by `storage::turns`.

use super::{
    Exchange, Result,
    unit::{Act, Reads},
    usage::{Arrival, Coming, StoredLimits},
};
use crate::{
    domain::{
        DailyQuota, Refusal,
        call::CallText,
        id::{CallId, MemberId, PartnerCode, ProposalId, Slug},
        policy::PolicyOwner,
        text::LimitNoun,
    },
    share_table,
    storage::{
        Tx,
        announced::{self, AnnouncedBytes},
        calls, documents, extensions,
        members::{self, MemberRow},
        policies, programs, proposals,
        uploads::{self, OpenUploads},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What `bytes_per_partner` counts.
const BYTES_OF_PARTNER: LimitNoun = LimitNoun::bytes(
    "of all documents that one partner has uploaded or announces, replaced ones and those on their way included",
);

/// `[quotas]`. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Programs that a partner leads.
    pub programs_per_partner: u64,
    /// Proposals that a member has begun under a call and that were never submitted, withdrawn ones included.
    pub proposals_per_member: u64,
    /// Calls that a member has drafted and that were never published.
    pub drafts_per_member: u64,
    /// Calls that members of a partner draft within 24 hours, deleted ones aside.
    pub calls_per_day_per_partner: u64,
    /// Documents of a proposal that a party has uploaded, replaced ones included.
    pub documents_per_party: u64,
    /// Their ciphertext.
    pub bytes_per_party: u64,
    /// Ciphertext of all documents on the exchange that members of a partner have uploaded, replaced ones included, and of those that they have
    /// signed for and that are not here yet.
    pub bytes_per_partner: u64,
    /// Documents of one slot that a party has uploaded to a proposal.
    pub documents_per_slot: u64,
    /// Documents of one member that are on their way to one slot at the same time.
    pub arriving_per_slot_per_member: u64,
    /// Bytes of one member's documents that are on their way at the same time.
    pub arriving_bytes_per_member: u64,
    /// Uploads of one member that can be resumed and are not at their end.
    pub uploads_per_member: u64,
    /// So many hours after it was begun, an upload that is not at its end goes; at least one.
    pub unfinished_uploads_hours: u16,
    /// Bytes of documents that a member has signed for, over all proposals, and that are not here yet.
    pub announced_bytes_per_member: u64,
    /// So many days after it was replaced or taken out, a document that no version names goes; at least one.
    pub replaced_documents_days: u16,
    /// Versions of a proposal that any of its parties has proposed.
    pub versions_per_proposal: u64,
    /// Relabellings of a proposal that any of its parties has proposed.
    pub labels_per_proposal: u64,
    /// Members of one party of a proposal, those who are asked to join included.
    pub members_per_party: u64,
    /// Invitations to one party of a proposal, those of members who have left since included.
    pub invitations_per_party: u64,
    /// Declarations about one member's interest in a proposal, and liftings of conflicts; a conflict is taken past it.
    pub declarations_per_member_and_proposal: u64,
    /// Amendments of a call; only the nation that leads it amends.
    pub amendments_per_call: u64,
    /// Extensions of a call by officers of one partner, those that were taken back included.
    pub extensions_per_call_per_partner: u64,
    /// Changes of the roles in a published call that members of one partner have signed.
    pub role_changes_per_call_per_partner: u64,
    /// Members of one partner who wrap the same vault for the same recipient of somebody else. Of all partners together it is not limited: no
    /// nation must be able to keep another from replacing a key that does not open. At least one.
    pub wrapped_keys_per_recipient_per_partner: u64,
    /// Members of a partner, those whose key cards were revoked included.
    pub members_per_partner: u64,
    /// Key cards of a member that are published within 24 hours; one that revokes a card in force is taken past it.
    pub key_cards_per_day_per_member: u64,
    /// Versions of an owner's policies that are proposed within 24 hours.
    pub policy_versions_per_day: u64,
    /// What acts and logged reads of one member add to the database within 24 hours: bodies, answers that are kept for repetitions, entries.
    pub stored_bytes_per_day_per_member: u64,
    /// The same of all members of one partner, key cards aside.
    pub stored_bytes_per_day_per_partner: u64,
    /// Reads that leave an entry in the log, of one member.
    pub logged_reads_per_minute: u32,
    /// Acts of one member; those of five minutes may come all at once.
    pub acts_per_minute_per_member: u32,
    /// Acts of all members of one partner, key cards aside; those of five minutes may come all at once.
    pub acts_per_minute_per_partner: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            programs_per_partner: share_table::PROGRAMS_PER_PARTNER,
            proposals_per_member: share_table::PROPOSALS_PER_MEMBER,
            drafts_per_member: share_table::DRAFTS_PER_MEMBER,
            calls_per_day_per_partner: share_table::CALLS_PER_DAY_PER_PARTNER,
            documents_per_party: share_table::DOCUMENTS_PER_PARTY,
            bytes_per_party: share_table::BYTES_PER_PARTY,
            bytes_per_partner: share_table::BYTES_PER_PARTNER,
            documents_per_slot: share_table::DOCUMENTS_PER_SLOT,
            arriving_per_slot_per_member: share_table::ARRIVING_PER_SLOT_PER_MEMBER,
            arriving_bytes_per_member: share_table::ARRIVING_BYTES_PER_MEMBER,
            uploads_per_member: share_table::UPLOADS_PER_MEMBER,
            unfinished_uploads_hours: 168,
            announced_bytes_per_member: share_table::ANNOUNCED_BYTES_PER_MEMBER,
            replaced_documents_days: 30,
            versions_per_proposal: share_table::VERSIONS_PER_PROPOSAL,
            labels_per_proposal: share_table::LABELS_PER_PROPOSAL,
            members_per_party: share_table::MEMBERS_PER_PARTY,
            invitations_per_party: share_table::INVITATIONS_PER_PARTY,
            declarations_per_member_and_proposal: share_table::DECLARATIONS_PER_MEMBER_AND_PROPOSAL,
            amendments_per_call: share_table::AMENDMENTS_PER_CALL,
            extensions_per_call_per_partner: share_table::EXTENSIONS_PER_CALL_PER_PARTNER,
            role_changes_per_call_per_partner: share_table::ROLE_CHANGES_PER_CALL_PER_PARTNER,
            wrapped_keys_per_recipient_per_partner: share_table::WRAPPED_KEYS_PER_RECIPIENT_PER_PARTNER,
            members_per_partner: share_table::MEMBERS_PER_PARTNER,
            key_cards_per_day_per_member: share_table::KEY_CARDS_PER_DAY_PER_MEMBER,
            policy_versions_per_day: share_table::POLICY_VERSIONS_PER_DAY,
            stored_bytes_per_day_per_member: share_table::STORED_BYTES_PER_DAY_PER_MEMBER,
            stored_bytes_per_day_per_partner: share_table::STORED_BYTES_PER_DAY_PER_PARTNER,
            logged_reads_per_minute: share_table::LOGGED_READS_PER_MINUTE,
            acts_per_minute_per_member: share_table::ACTS_PER_MINUTE_PER_MEMBER,
            acts_per_minute_per_partner: share_table::ACTS_PER_MINUTE_PER_PARTNER,
        }
    }
}

impl Quotas {
    pub(super) fn stored_bytes(&self) -> StoredLimits {
        StoredLimits { member: self.stored_bytes_per_day_per_member, partner: self.stored_bytes_per_day_per_partner }
    }
}

/// Refuses one more once there are as many.
fn check(present: u64, limit: u64, what: LimitNoun) -> Result<()> {
    if present >= limit { Err(Refusal::QuotaReached { what, limit }.into()) } else { Ok(()) }
}

/// Whether a partner may lead another program. Members of every partner in it list them.
pub(super) async fn check_programs(act: &mut Act<'_>, lead: &PartnerCode) -> Result<()> {
    let led = programs::led_by(&mut act.tx, lead).await?;
    check(
        led,
        act.exchange.quotas.programs_per_partner,
        LimitNoun::new("program", "programs", "that one partner leads"),
    )
}

/// Whether the caller may begin another proposal under the call.
pub(super) async fn check_proposals(act: &mut Act<'_>, call: CallId) -> Result<()> {
    let begun = proposals::never_submitted(&mut act.tx, call, &act.me.id).await?;
    let limit = act.exchange.quotas.proposals_per_member;
    check(begun, limit, LimitNoun::new("proposal", "proposals", "of one member never submitted, under one call"))
}

/// Whether the caller may draft another call.
pub(super) async fn check_drafts(act: &mut Act<'_>) -> Result<()> {
    let quotas = act.exchange.quotas;
    let drafts = calls::drafts_of(&mut act.tx, &act.me.id).await?;
    check(
        drafts,
        quotas.drafts_per_member,
        LimitNoun::new("call", "calls", "that one member has drafted and not published"),
    )?;
    let since = act.now.checked_sub(DAY).expect("the clock stands after 1970");
    let limit = quotas.calls_per_day_per_partner;
    let reached = calls::drafted_since(&mut act.tx, act.me.id.partner(), since, limit).await?;
    check_daily(DailyQuota::Calls, limit, reached, act.now)
}

/// Whether the parties of a proposal may upload as many documents as a call's text asks of them.
pub(super) fn check_slots(exchange: &Exchange, text: &CallText) -> Result<()> {
    let (parties, limit) = (text.fewest_parties(), exchange.quotas.documents_per_party);
    let documents = text.required_documents(parties);
    if documents as u64 > limit.saturating_mul(parties as u64) {
        let fault =
            format!("a proposal would need {documents} documents, and each of its parties uploads at most {limit}");
        return Err(Refusal::CallText { fault }.into());
    }
    Ok(())
}

/// Whether this exchange takes documents as large as a call's text says of its slots.
pub(super) fn check_slot_sizes(exchange: &Exchange, text: &CallText) -> Result<()> {
    let limit = exchange.document_limit;
    match text.slots.iter().find(|slot| slot.max_bytes > limit) {
        Some(slot) => {
            let (name, size) = (&slot.name, slot.max_bytes);
            let fault =
                format!("slot `{name}` would take {size} bytes, and this exchange takes documents of at most {limit}");
            Err(Refusal::CallText { fault }.into())
        }
        None => Ok(()),
    }
}

/// Whether the caller's party may upload this document. Those that are on their way count as those that are here. One that is awaited,
/// since every party has signed for it, is taken whatever its party keeps: it was counted when it was signed for.
///
/// Of an upload that can be resumed, the row counts: `arrival` is for documents that come in one request.
pub(super) async fn check_documents<T: Reads>(
    act: &mut Act<'_, T>,
    arrival: Option<&Arrival>,
    coming: &Coming,
    is_awaited: bool,
) -> Result<()> {
    let Coming { member, proposal: id, slot, size, .. } = coming;
    let (quotas, party) = (act.exchange.quotas, member.partner());
    let at_once = arrival.map_or_else(|| act.exchange.usage.all_coming(), Arrival::others);
    let others: Vec<Coming> = at_once.into_iter().filter(|other| other.member.partner() == party).collect();
    let open = uploads::open(&mut act.tx, member, *id, slot, arrival.is_none()).await?;
    check_arriving(&quotas, &others, &open, coming)?;
    if let Some(arrival) = arrival {
        arrival.note(is_awaited);
    }
    if is_awaited {
        return Ok(());
    }
    let kept = documents::kept(&mut act.tx, *id).await?;
    let of_party = || kept.iter().filter(|kept| kept.uploaded_by.partner() == party);
    let coming = || others.iter().filter(|other| other.proposal == *id);
    let in_slot: u64 = of_party().filter(|kept| kept.slot == *slot).map(|kept| kept.documents).sum();
    let in_slot = in_slot + open.in_slot + coming().filter(|other| other.slot == *slot).count() as u64;
    check(
        in_slot,
        quotas.documents_per_slot,
        LimitNoun::new("document", "documents", "of one party in one slot, replaced ones included"),
    )?;
    let documents: u64 = of_party().map(|kept| kept.documents).sum();
    check(
        documents + open.in_proposal + coming().count() as u64,
        quotas.documents_per_party,
        LimitNoun::new("document", "documents", "of one party, replaced ones included"),
    )?;
    let bytes: u64 = of_party().map(|kept| kept.bytes).chain(coming().map(|other| other.size)).sum();
    let what = LimitNoun::bytes("of one party's documents, replaced ones and those on their way included");
    check_bytes(bytes.saturating_add(open.bytes_in_proposal), *size, quotas.bytes_per_party, what)?;
    // What is coming and was signed for is among what is announced.
    let at_once = others.iter().filter(|other| !other.is_awaited).map(|other| other.size).sum();
    let own = arrival.is_none().then_some((member, *id, slot));
    let over_time = uploads::bytes_of_partner(&mut act.tx, party, own).await?;
    let AnnouncedBytes { here, elsewhere, .. } = announced::of_partner(&mut act.tx, member, *id).await?;
    let kept = documents::bytes_of_partner(&mut act.tx, party).await?;
    let of_partner = [at_once, over_time, here, elsewhere].into_iter().fold(kept, u64::saturating_add);
    check_bytes(of_partner, *size, quotas.bytes_per_partner, BYTES_OF_PARTNER)
}

/// Whether so much of one member may be on its way: nobody takes the room of colleagues by announcing what they send slowly or never.
fn check_arriving(quotas: &Quotas, others: &[Coming], open: &OpenUploads, coming: &Coming) -> Result<()> {
    let own = || others.iter().filter(|other| other.member == coming.member);
    let in_slot = own().filter(|other| other.proposal == coming.proposal && other.slot == coming.slot).count() as u64;
    let in_slot = in_slot + open.of_member_in_slot;
    check(
        in_slot,
        quotas.arriving_per_slot_per_member,
        LimitNoun::new("document", "documents", "of one member on their way to one slot"),
    )?;
    let what = LimitNoun::bytes("of one member's documents that are on their way at the same time");
    let bytes = own().map(|other| other.size).fold(open.bytes_of_member, u64::saturating_add);
    check_bytes(bytes, coming.size, quotas.arriving_bytes_per_member, what)
}

/// Whether the caller may begin another upload that can be resumed, in place of the one that they have for the slot if they have one.
pub(super) async fn check_uploads(act: &mut Act<'_>, id: ProposalId, slot: &Slug) -> Result<()> {
    let begun = uploads::open_of_member(&mut act.tx, &act.me.id, id, slot).await?;
    check(
        begun,
        act.exchange.quotas.uploads_per_member,
        LimitNoun::new("unfinished upload", "unfinished uploads", "of one member"),
    )
}

/// Whether a version may be proposed whose documents that are not here yet have so many bytes. What all have signed is taken whatever its
/// party keeps by then, so it is counted before.
pub(super) async fn check_awaited(act: &mut Act<'_>, id: ProposalId, parties: usize, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let quotas = act.exchange.quotas;
    let kept = documents::kept(&mut act.tx, id).await?.iter().map(|kept| kept.bytes).sum();
    let limit = quotas.bytes_per_party.saturating_mul(parties as u64);
    check_bytes(kept, size, limit, LimitNoun::bytes("of all parties' documents, replaced and announced ones included"))
}

/// Whether the caller's partner may have so many bytes announced to all proposals, beside what it keeps and what is on its way, and the
/// caller so many of them: nobody takes the room of colleagues by signing for what they never send.
pub(super) async fn check_announced(act: &mut Act<'_>, announced: u64, by_member: u64) -> Result<()> {
    let what = LimitNoun::bytes("of documents that one member has signed for and nobody has sent");
    check_bytes(0, by_member, act.exchange.quotas.announced_bytes_per_member, what)?;
    let party = act.me.id.partner().clone();
    let kept = documents::bytes_of_partner(&mut act.tx, &party).await?;
    let open = uploads::bytes_of_partner(&mut act.tx, &party, None).await?;
    let present = kept.saturating_add(act.exchange.usage.coming_of(&party)).saturating_add(open);
    check_bytes(present, announced, act.exchange.quotas.bytes_per_partner, BYTES_OF_PARTNER)
}

/// Refuses what would be more than these bytes together with what there is.
fn check_bytes(present: u64, size: u64, limit: u64, what: LimitNoun) -> Result<()> {
    if present.saturating_add(size) > limit { Err(Refusal::QuotaReached { what, limit }.into()) } else { Ok(()) }
}

/// Whether another version of a proposal that has so many may be proposed.
pub(super) fn check_versions(act: &Act<'_>, versions: usize) -> Result<()> {
    check(
        versions as u64,
        act.exchange.quotas.versions_per_proposal,
        LimitNoun::new("version", "versions", "of one proposal"),
    )
}

/// Whether another relabelling of a proposal that has so many may be proposed.
pub(super) fn check_labels(act: &Act<'_>, labels: u32) -> Result<()> {
    check(
        labels.into(),
        act.exchange.quotas.labels_per_proposal,
        LimitNoun::new("relabelling", "relabellings", "of one proposal"),
    )
}

/// Whether a party of a proposal may have another member, where it has or asks so many.
pub(super) fn check_party(exchange: &Exchange, members: usize) -> Result<()> {
    let what = LimitNoun::new("member", "members", "of one party of a proposal, those who are asked to join included");
    check(members as u64, exchange.quotas.members_per_party, what)
}

/// Whether another member may be asked to join a party of a proposal: each invitation is kept, and every client verifies all of them.
pub(super) fn check_invitations(exchange: &Exchange, present: u64) -> Result<()> {
    let what = LimitNoun::new(
        "invitation",
        "invitations",
        "to one party of a proposal, those of members who have left since included",
    );
    check(present, exchange.quotas.invitations_per_party, what)
}

/// Whether another statement about a member's interest in a proposal may be made where there are so many. Clients verify all of them.
pub(super) fn check_declarations(act: &Act<'_>, stated: u32) -> Result<()> {
    let limit = act.exchange.quotas.declarations_per_member_and_proposal;
    check(
        stated.into(),
        limit,
        LimitNoun::new("statement", "statements", "about one member's interest in one proposal, liftings included"),
    )
}

/// Whether a call that was amended so often may be amended once more. Each member of a party reads what changed.
pub(super) fn check_amendments(exchange: &Exchange, amendments: u32) -> Result<()> {
    check(
        amendments.into(),
        exchange.quotas.amendments_per_call,
        LimitNoun::new("amendment", "amendments", "of one call"),
    )
}

/// Whether officers of the caller's partner may move another date of a call. Those of the others have their own number, so nobody keeps
/// another nation from giving more time.
pub(super) async fn check_extensions<T: Reads>(act: &mut Act<'_, T>, call: CallId) -> Result<()> {
    let partner = act.me.id.partner().clone();
    let made = extensions::made_by(&mut act.tx, call, &partner).await?;
    let limit = act.exchange.quotas.extensions_per_call_per_partner;
    check(
        made,
        limit,
        LimitNoun::new(
            "extension",
            "extensions",
            "of one call by officers of one partner, those that were taken back included",
        ),
    )
}

/// Whether a member may sign another change of the roles in a published call. Every client verifies all of them. Those of other partners have
/// their own number, so nobody keeps another nation's officers from changing roles.
pub(super) async fn check_role_changes(exchange: &Exchange, tx: &mut Tx, call: CallId, by: &MemberId) -> Result<()> {
    let made = calls::role_changes_by(tx, call, by.partner()).await?;
    let limit = exchange.quotas.role_changes_per_call_per_partner;
    check(
        made,
        limit,
        LimitNoun::new("change", "changes", "of the roles in one call that members of one partner have signed"),
    )
}

/// Whether another version of the owner's policies may be proposed now.
pub(super) async fn check_policies(act: &mut Act<'_>, owner: &PolicyOwner) -> Result<()> {
    let since = act.now.checked_sub(DAY).expect("the clock stands after 1970");
    let limit = act.exchange.quotas.policy_versions_per_day;
    let reached = policies::proposed_since(&mut act.tx, owner, since, limit).await?;
    check_daily(DailyQuota::PolicyVersions, limit, reached, act.now)
}

/// Whether a key card may be published now in the place of this one, or as a member's first.
pub(super) async fn check_key_card(
    exchange: &Exchange,
    tx: &mut Tx,
    before: Option<&MemberRow>,
    card: &MemberRow,
    now: Timestamp,
) -> Result<()> {
    let Some(before) = before else {
        let partner = card.member.partner();
        let members = members::count(tx, partner).await?;
        let what = LimitNoun::new("member", "members", "of one partner, those whose key cards were revoked included");
        return check(members, exchange.quotas.members_per_partner, what);
    };
    // Nobody is kept from revoking a card. The next one counts again, also if it revokes what is revoked.
    if before.is_active && !card.is_active {
        return Ok(());
    }
    let since = now.checked_sub(DAY).expect("the clock stands after 1970");
    let limit = exchange.quotas.key_cards_per_day_per_member;
    let reached = members::published_before(tx, &card.member, limit).await?.filter(|at| *at >= since);
    check_daily(DailyQuota::KeyCards, limit, reached, now)
}

/// Refuses one more within 24 hours until the one that makes it as many as there may be is older than that.
fn check_daily(quota: DailyQuota, limit: u64, reached: Option<Timestamp>, now: Timestamp) -> Result<()> {
    if limit == 0 {
        return Err(Refusal::QuotaReached { what: quota.noun(), limit }.into());
    }
    let Some(reached) = reached else { return Ok(()) };
    // Instants on record are whole milliseconds.
    let again_at = reached.saturating_add(DAY + SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX);
    Err(Refusal::DailyQuotaReached { quota, limit, left: 0, again_at, now }.into())
}
