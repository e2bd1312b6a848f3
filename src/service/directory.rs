//! Partners, members and key cards: who is who, and who vouched for it.

use super::{
    Answer, Credential, Exchange, Idempotency, Principal, RequestContext, Result, ServiceError,
    cursors::SealedCursors,
    member_certificates::{self, JudgedCertificate},
    quotas, rules,
    sealed_bytes::give_up,
    settled, state,
    unit::{Act, Subject, View, new_entry, require_standing},
};
use crate::{
    domain::{
        Refusal,
        id::{CallId, MemberId, PartnerCode, ProposalId, Sha256},
        name::is_same,
        policy::PolicyOwner,
    },
    policy::{Action, Permit, Resource},
    sealing::{
        card::{CardStatus, KeyCard, PartnerCard},
        leaf,
        statement::verify_signed,
    },
    storage::{
        StoreError, Tx, Whose, WriteTx, entries, idempotency,
        members::{self, MemberRow},
        partners::{self, PartnerRow},
        policies,
        proposals::{self, ProposalDeadlineRow},
        uploads,
    },
    wire::{
        directory::{EndedKeyCard, Me, Member, Partner, PublishKeyCard, PublishedKeyCard},
        entry::payloads::KeyCardPublished,
        page::{Page, PageRoom},
    },
};
use jiff::Timestamp;
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// How far a serial may jump: one at the end of the range would leave no room for a revocation.
const MAX_SERIAL_STEP: u64 = 1_000_000;

/// What the TLS layer proved about the caller.
#[derive(Debug, Clone)]
pub struct CertificateHolder {
    pub partner: PartnerCode,
    pub certificate: Sha256,
    /// The member that the certificate's URI names.
    pub named: Option<MemberId>,
    /// Reports whether the certificate still counts.
    pub credential: Arc<dyn Credential>,
}

impl CertificateHolder {
    /// Whose turn at reading it is to find out who this is.
    fn whose(&self) -> Whose {
        Whose::Holder(self.partner.clone(), self.certificate)
    }
}

/// The member behind a certificate: the one whose key card in force names it. A URI in the certificate must name the same one.
///
/// The URI alone is not enough: a replaced certificate, or one that an authority issued past its registrar, stays nobody's.
pub async fn identify(exchange: &Exchange, peer: &CertificateHolder) -> Result<Option<Principal>> {
    let mut tx = exchange.db.read_for(peer.whose()).await?;
    let row = named_by_card(&mut tx, peer).await?.filter(|row| row.is_in_force(exchange.time.now()));
    Ok(row.map(|row| Principal { member: row.member, certificate: peer.certificate }))
}

/// The member whose newest key card names the certificate, in force or not.
async fn named_by_card(tx: &mut Tx, peer: &CertificateHolder) -> Result<Option<MemberRow>> {
    let pinned = members::by_certificate(tx, &peer.partner, &peer.certificate).await?;
    let member = pinned.filter(|pinned| peer.named.as_ref().is_none_or(|named| named == pinned));
    let Some(member) = member else { return Ok(None) };
    Ok(members::find(tx, &member).await?)
}

/// Who the exchange takes the caller for; also for callers without a key card.
pub async fn me(exchange: &Exchange, peer: &CertificateHolder) -> Result<Me> {
    let mut tx = exchange.db.read_for(peer.whose()).await?;
    let now = exchange.time.now();
    let named = named_by_card(&mut tx, peer).await?;
    let ended = named.as_ref().filter(|row| row.is_active && row.valid_until < now);
    let ended = ended.map(|row| EndedKeyCard { member: row.member.clone(), valid_until: row.valid_until.into() });
    let row = named.filter(|row| row.is_in_force(now));
    let suspended = partners::find(&mut tx, &peer.partner).await?.and_then(|partner| partner.suspension);
    Ok(Me {
        partner: peer.partner.clone(),
        member: row.as_ref().map(|row| row.member.clone()),
        ended,
        organisation: row.as_ref().map(|row| row.organisation.clone()),
        roles: row.map(|row| row.roles).unwrap_or_default(),
        certificate: peer.certificate,
        host: exchange.host.clone(),
        now: now.into(),
        suspended: suspended.map(Into::into),
    })
}

/// Every partner.
pub async fn list_partners(exchange: &Exchange, principal: &Principal) -> Result<Page<Partner>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    let rows = partners::all(&mut view.tx).await?;
    Ok(Page { items: rows.into_iter().map(|row| partner(exchange, row)).collect(), next: None })
}

/// One partner.
pub async fn show_partner(exchange: &Exchange, principal: &Principal, code: &PartnerCode) -> Result<Partner> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    let row = partners::find(&mut view.tx, code).await?.ok_or(ServiceError::Hidden)?;
    Ok(partner(exchange, row))
}

/// The members behind some of a partner's certificates, for callers who may learn what its members were refused: those who may ask why.
pub async fn names_for_refusals(
    exchange: &Exchange,
    principal: &Principal,
    code: &PartnerCode,
    certificates: &BTreeSet<Sha256>,
) -> Result<HashMap<Sha256, MemberId>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ExplainMembers, Resource::Partner(code))?;
    Ok(members::behind(&mut view.tx, code, certificates).await?)
}

/// A page of members, of one partner or of all.
pub async fn list_members(
    exchange: &Exchange,
    principal: &Principal,
    of: Option<&PartnerCode>,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<Member>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    let partner = of.map_or_else(String::new, ToString::to_string);
    let cursors = SealedCursors::of(exchange, "members", &principal.member).within("partner", &partner);
    let after = cursors.open::<MemberId>(cursor)?.map(|member| member.to_string());
    let rows = members::page(&mut view.tx, of, after.as_deref(), limit + 1).await?;
    Ok(fill(rows.into_iter().map(member), limit, |last| cursors.seal(&last.member)))
}

/// One member.
pub async fn show_member(exchange: &Exchange, principal: &Principal, id: &MemberId) -> Result<Member> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    members::find(&mut view.tx, id).await?.map(member).ok_or(ServiceError::Hidden)
}

/// A page of every key card that a member has had, the newest first: so that what was signed under an earlier one can be checked.
pub async fn list_key_cards(
    exchange: &Exchange,
    principal: &Principal,
    id: &MemberId,
    cursor: Option<&str>,
    limit: u32,
) -> Result<Page<PublishedKeyCard>> {
    let mut view = View::open(exchange, principal).await?;
    view.authorize(Action::ReadDirectory, Resource::Exchange)?;
    members::find(&mut view.tx, id).await?.ok_or(ServiceError::Hidden)?;
    let cursors = SealedCursors::of(exchange, "key cards", &principal.member).within("member", id);
    let below = cursors.open::<u64>(cursor)?;
    let rows = members::key_cards(&mut view.tx, id, below, limit + 1).await?;
    let items = rows.into_iter().map(|row| PublishedKeyCard {
        serial: row.serial,
        key_card: row.key_card,
        published_at: row.published_at.into(),
    });
    Ok(fill(items, limit, |last| cursors.seal(last.serial)))
}

/// A page of what it takes of these, one more than it may have if there are as many; `cursor` is the one of an item.
fn fill<T: Serialize>(items: impl Iterator<Item = T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let mut page = Page { items: Vec::new(), next: None };
    let mut room = PageRoom::new(limit);
    for item in items {
        if !room.takes(&item) {
            page.next = page.items.last().map(&cursor);
            break;
        }
        page.items.push(item);
    }
    page
}

/// Publishes a key card that a registrar of the member's partner signed.
pub async fn publish_key_card(
    exchange: &Exchange,
    context: &RequestContext,
    id: &MemberId,
    body: &PublishKeyCard,
    judged: &[JudgedCertificate],
) -> Result<Answer> {
    let mut act = Act::begin(exchange, context).await?;
    let permit = act.authorize(Action::PublishKeyCard, Resource::Partner(id.partner()))?;
    if let Some(answer) = act.replayed()? {
        return Ok(answer);
    }
    let (card, row) = verified_card(&mut act.tx, id, body, act.now).await?;
    let before = members::find(&mut act.tx, id).await?;
    let present = before.as_ref().map_or(0, |row| row.serial);
    if row.serial <= present {
        return Err(Refusal::StaleKeyCard { given: row.serial, present }.into());
    }
    if row.serial - present > MAX_SERIAL_STEP {
        let fault = format!("its serial is more than {MAX_SERIAL_STEP} above the present {present}");
        return Err(Refusal::Statement { fault }.into());
    }
    member_certificates::check(&mut act.tx, &card, before.as_ref(), &body.without, judged).await?;
    quotas::check_key_card(exchange, &mut act.tx, before.as_ref(), &row, act.now).await?;
    let guardrails = guardrails_resting_on(exchange, &mut act.tx, id, act.now).await?;
    keep_employer(exchange, &mut act.tx, &permit, before.as_ref(), &row, act.now).await?;
    members::publish(&mut act.tx, &permit, &row, &card.certificates, &card.recipients, act.now)
        .await
        .map_err(certificate_taken)?;
    let still = guardrails_resting_on(exchange, &mut act.tx, id, act.now).await?;
    if let Some(version) = guardrails.difference(&still).next() {
        return Err(Refusal::SignedGuardrails { member: id.clone(), version: *version }.into());
    }
    act.log(Subject::default(), published(&row, body)).await?;
    // Who is to add nothing more keeps no room that colleagues could use.
    let given_up = if row.is_active { Vec::new() } else { uploads::drop_of_revoked(&mut act.tx, &permit, id).await? };
    let answer = act.finish_key_card(Answer::json(200, &member(row))).await?;
    for upload in &given_up {
        give_up(exchange, upload).await;
    }
    Ok(answer)
}

/// The versions of the guardrails, in force or approved for later, that the member signed and that count by the key cards of now. No key card
/// makes one of them count no longer: without guardrails nobody could do anything, nor put others in their place. What rests on a
/// nation's other policies is shut until it has new ones.
async fn guardrails_resting_on(
    exchange: &Exchange,
    tx: &mut Tx,
    member: &MemberId,
    now: Timestamp,
) -> Result<BTreeSet<u32>> {
    let mut resting = BTreeSet::new();
    if *member.partner() != exchange.host {
        return Ok(resting);
    }
    let standing = policies::standing(tx, &PolicyOwner::Guardrails, now).await?;
    for version in standing.iter().filter(|version| version.effective_at().is_some()) {
        let Some(row) = policies::find(tx, &PolicyOwner::Guardrails, version.number).await? else { continue };
        let is_theirs = version.proposed_by == *member || row.approval.as_ref().is_some_and(|by| by.by == *member);
        if is_theirs && rules::verify(tx, &exchange.host, &row).await?.is_ok() {
            resting.insert(version.number);
        }
    }
    Ok(resting)
}

/// Publishes the very first card of a partner, its registrar's own: nobody is a member yet, so the card is accepted for what it
/// proves, namely that the enrolled registrar key signed it and the same certificate is on the connection.
pub async fn publish_first_card(
    exchange: &Exchange,
    idempotency: &Idempotency,
    peer: &CertificateHolder,
    id: &MemberId,
    body: &PublishKeyCard,
    judged: &[JudgedCertificate],
) -> Result<Answer> {
    // Nobody takes a turn at writing that is another partner's.
    let may_be_own = *id.partner() == peer.partner && peer.named.as_ref().is_none_or(|named| named == id);
    if !may_be_own {
        return Err(ServiceError::NotAMember);
    }
    // As `RequestContext::rehearsal` does for members.
    if exchange.db.is_writing()
        && let Ok(snapshot) = exchange.db.rehearse_for(peer.whose()).await
        && let Some(settled) = settled(publish_first(exchange, snapshot, idempotency, peer, id, (body, judged)).await)
    {
        return settled;
    }
    let tx = exchange.db.write_for(peer.whose()).await?;
    publish_first(exchange, tx, idempotency, peer, id, (body, judged)).await
}

async fn publish_first(
    exchange: &Exchange,
    mut tx: WriteTx,
    idempotency: &Idempotency,
    peer: &CertificateHolder,
    id: &MemberId,
    (body, judged): (&PublishKeyCard, &[JudgedCertificate]),
) -> Result<Answer> {
    let now = super::time::of_act(exchange, &mut tx).await?;
    // As every act does: the certificate may have stopped counting during the wait for the turn.
    require_standing(&mut tx, &peer.partner, Some(&*peer.credential)).await?;
    let (card, row) = verified_card(&mut tx, id, body, now).await?;
    let signed = verify_signed::<KeyCard>(&body.key_card)?;
    let is_own = signed.signer_spki == peer.certificate && card.pins(&peer.certificate);
    let present = members::find(&mut tx, id).await?;
    if !is_own || present.as_ref().is_some_and(|present| row.serial <= present.serial) {
        return Err(ServiceError::NotAMember);
    }
    let registrar =
        crate::policy::facts::MemberFacts { roles: card.roles.clone(), ..state::member_facts(exchange, &row) };
    let policies = exchange.rules.at(&mut tx, &exchange.host, now).await?;
    let outcome = policies.authorize(&registrar, Action::PublishKeyCard, Resource::Partner(id.partner()));
    let permit = super::permitted(outcome)?;
    member_certificates::check(&mut tx, &card, present.as_ref(), &body.without, judged).await?;
    quotas::check_key_card(exchange, &mut tx, present.as_ref(), &row, now).await?;
    keep_employer(exchange, &mut tx, &permit, present.as_ref(), &row, now).await?;
    members::publish(&mut tx, &permit, &row, &card.certificates, &card.recipients, now)
        .await
        .map_err(certificate_taken)?;
    let payload = published(&row, body).into();
    let entry = new_entry(exchange, Subject::default(), Some(id.clone()), now, &payload);
    entries::append(&mut tx, &entry).await?;
    // From here on the caller is a member; the same request again finds its answer.
    let answer = Answer::json(200, &member(row));
    let recorded = answer.recorded(idempotency, now);
    idempotency::record(&mut tx, id, &idempotency.key, &recorded).await?;
    super::outcome::commit(exchange, tx, Some((id, idempotency)), answer).await
}

/// After the deadline of a proposal a key card of one of its members brings no organisation into it: with one word of its registrar a party
/// would take the review or the signature of somebody who works there out of a judgement that it knows or fears. Who learns of a real
/// conflict declares it.
///
/// Others wait meanwhile, so calls that are known are not read again, and of proposals what their deadlines follow from alone.
async fn keep_employer(
    exchange: &Exchange,
    tx: &mut WriteTx,
    permit: &Permit,
    before: Option<&MemberRow>,
    card: &MemberRow,
    now: Timestamp,
) -> Result<()> {
    let Some(before) = before.filter(|before| !is_same(&before.organisation, &card.organisation)) else {
        return Ok(());
    };
    let rows = proposals::with_newest_employer(tx, &card.member).await?;
    let calls: BTreeSet<(CallId, u64)> = rows.iter().map(|row| (row.call, row.revision)).collect();
    let calls: Vec<(CallId, u64)> = calls.into_iter().collect();
    let calls = state::calls(exchange, tx, &calls, now).await?;
    let is_over = |row: &&ProposalDeadlineRow| now > calls[&row.call].deadline_of(row.id, &row.parties);
    let closed: Vec<ProposalId> = rows.iter().filter(is_over).map(|row| row.id).collect();
    Ok(proposals::keep_employer(tx, permit, &card.member, &before.organisation, &closed).await?)
}

async fn verified_card(
    tx: &mut Tx,
    id: &MemberId,
    body: &PublishKeyCard,
    now: Timestamp,
) -> Result<(KeyCard, MemberRow)> {
    let row = partners::find(tx, id.partner()).await?.ok_or(ServiceError::Hidden)?;
    let partner = PartnerCard::from_json(row.card.as_bytes())?;
    let signed = KeyCard::verify_issued(&body.key_card, &partner)?;
    leaf::check_time(&signed.leaf, now)?;
    let card = signed.statement;
    if card.member != *id {
        let fault = format!("the key card is about `{}`", card.member);
        return Err(Refusal::Statement { fault }.into());
    }
    card.check_new()?;
    for recipient in &card.recipients {
        if let Some(other) = members::other_with_recipient(tx, id, recipient).await? {
            let fault = format!("the recipient `{recipient}` is that of `{other}`; each member has a key of their own");
            return Err(Refusal::Statement { fault }.into());
        }
    }
    let row = MemberRow {
        member: card.member.clone(),
        name: card.name.clone(),
        organisation: card.organisation.clone(),
        roles: card.roles.clone(),
        key_card: body.key_card.clone(),
        serial: card.serial,
        is_active: card.status == CardStatus::Active,
        valid_from: card.valid_from,
        valid_until: card.valid_until,
    };
    Ok((card, row))
}

fn published(row: &MemberRow, body: &PublishKeyCard) -> KeyCardPublished {
    KeyCardPublished {
        member: row.member.clone(),
        serial: row.serial,
        is_active: row.is_active,
        key_card_sha256: Sha256::of(body.key_card.as_bytes()),
    }
}

fn certificate_taken(error: StoreError) -> ServiceError {
    if error.constraint() == Some("member_certificates_pkey") {
        let fault = "another member's key card names one of the certificates".to_owned();
        return Refusal::Statement { fault }.into();
    }
    error.into()
}

fn partner(exchange: &Exchange, row: PartnerRow) -> Partner {
    Partner {
        is_host: row.partner == exchange.host,
        code: row.partner,
        name: row.name,
        zone: row.zone,
        card: row.card,
        card_sha256: row.card_sha256,
        suspended: row.suspension.map(Into::into),
    }
}

fn member(row: MemberRow) -> Member {
    Member {
        member: row.member,
        name: row.name,
        organisation: row.organisation,
        roles: row.roles,
        key_card: row.key_card,
        serial: row.serial,
        status: if row.is_active { "active" } else { "revoked" }.to_owned(),
    }
}
