//! The two ways to work: [`View`] looks at one snapshot, [`Act`] changes something and says so in the log.
//!
//! An act is one transaction: what it read, what it decided, its effect, its log entries and the answer that a repeated request
//! will get. It either commits as a whole or leaves nothing. Others wait for it, so what takes long and writes nothing is done in a
//! [`Rehearsal`], which decides in the same way and holds nobody up. While others write or wait to, each act is rehearsed up to its first
//! write ([`RequestContext::rehearsal`]), so that one that is refused takes no turn.

use super::{
    Answer, Credential, Exchange, Principal, RequestContext, Result, ServiceError, outcome, permitted,
    state::{self, CallState, ProgramState, ProposalState},
    time, usage,
    verified::Verified,
};
use crate::{
    domain::{
        Refusal,
        call::Phase,
        id::{CallId, MemberId, PartnerCode, ProgramId, ProposalId, Sha256},
    },
    policy::{Action, Authorization, Engine, Permit, Resource, Standing, facts::MemberFacts},
    sealing::{
        leaf,
        statement::{STATED_AHEAD, Signed, Statement},
    },
    storage::{
        ReadTx, StoreError, Tx, Whose, WriteTx, entries,
        idempotency::{self, Recorded},
        members, partners,
    },
    wire::entry::payloads::Payload,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::HashMap, ops::DerefMut, sync::Arc};

/// How long before the act: what is signed on one machine may be carried to another.
const STATED_BEHIND: SignedDuration = SignedDuration::from_hours(24);

/// The subject of an entry.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject {
    pub program: Option<ProgramId>,
    pub call: Option<CallId>,
    pub proposal: Option<ProposalId>,
}

impl Subject {
    /// A call and its program.
    #[must_use]
    pub fn call(call: &CallState) -> Self {
        Self { program: Some(call.row.program), call: Some(call.row.id), proposal: None }
    }

    /// A proposal, its call and its program.
    #[must_use]
    pub fn proposal(proposal: &ProposalState) -> Self {
        Self { proposal: Some(proposal.row.id), ..Self::call(&proposal.call) }
    }
}

/// Looks at one snapshot as one principal.
#[derive(Debug)]
pub struct View<'e> {
    pub exchange: &'e Exchange,
    pub tx: ReadTx,
    pub me: MemberFacts,
    pub now: Timestamp,
    /// In force at that instant.
    pub policies: Arc<Engine>,
    /// Who takes the turns at evaluating: the principal, also while it is asked what somebody else can see.
    pub(super) asker: MemberId,
}

/// The transaction in which an act is decided: the one that may write, or a snapshot.
pub trait Reads: DerefMut<Target = Tx> {}

impl Reads for ReadTx {}
impl Reads for WriteTx {}

/// Changes something as one principal.
#[derive(Debug)]
pub struct Act<'e, T = WriteTx> {
    pub exchange: &'e Exchange,
    pub tx: T,
    pub me: MemberFacts,
    /// When it takes place: its turn has come, and it goes on record.
    pub now: Timestamp,
    /// When the request was here as a whole, never after `now`. What a party does by a deadline is judged by it: however long others
    /// keep the writer busy, nobody is late who was in time.
    pub arrived_at: Timestamp,
    /// In force at `now`.
    pub policies: Arc<Engine>,
    context: RequestContext,
    /// The answer that is recorded under the key of the request.
    earlier: Option<Recorded>,
    /// The certificate, and its key, under which the caller last signed something of this request: many statements come under the same.
    signs_under: Option<(Sha256, Vec<u8>)>,
}

/// The kinds of work that take a turn at writing.
#[derive(Debug, Clone, Copy)]
enum TurnKind {
    Change,
    LoggedRead,
}

impl TurnKind {
    async fn turn(self, exchange: &Exchange, whose: Whose) -> Result<WriteTx, StoreError> {
        match self {
            Self::Change => exchange.db.write_for(whose).await,
            Self::LoggedRead => exchange.db.write_gathered_for(whose).await,
        }
    }
}

/// An act that is decided on a snapshot and cannot write: a first look before bytes travel or signatures are checked, or a dry run. It takes
/// no turn. The act itself, if one follows, decides everything again.
pub type Rehearsal<'e> = Act<'e, ReadTx>;

impl<'e> View<'e> {
    /// Opens a snapshot.
    pub async fn open(exchange: &'e Exchange, principal: &Principal) -> Result<Self> {
        let mut tx = exchange.db.read_for(Whose::Member(principal.member.clone())).await?;
        let now = time::of_view(exchange, &mut tx).await?;
        let me = state::member(exchange, &mut tx, &principal.member, now).await?.ok_or(ServiceError::NotAMember)?;
        let policies = exchange.rules.at(&mut tx, &exchange.host, now).await?;
        Ok(Self::of(exchange, tx, me, now, policies))
    }

    /// Looks at this snapshot as this principal, whose facts are known.
    #[must_use]
    pub fn of(exchange: &'e Exchange, tx: ReadTx, me: MemberFacts, now: Timestamp, policies: Arc<Engine>) -> Self {
        let asker = me.id.clone();
        Self { exchange, tx, me, now, policies, asker }
    }

    /// Whether policy permits the action; hidden and denied are errors.
    pub fn authorize(&self, action: Action, resource: Resource<'_>) -> Result<Permit> {
        permit(&self.policies, &self.me, action, resource)
    }

    /// Whether the principal may know of the thing.
    #[must_use]
    pub fn sees(&self, resource: Resource<'_>) -> bool {
        self.policies.visible(&self.me, resource)
    }

    /// Whether policy permits the action, for what an answer includes or leaves out.
    #[must_use]
    pub fn may(&self, action: Action, resource: Resource<'_>) -> bool {
        self.policies.explain(&self.me, action, resource).standing == Standing::Permitted
    }

    /// A program that the principal may know of.
    pub async fn program(&mut self, id: ProgramId) -> Result<ProgramState> {
        let program = state::program(&mut self.tx, id).await?.ok_or(ServiceError::Hidden)?;
        self.authorize(Action::ViewProgram, Resource::Program(&program.facts))?;
        Ok(program)
    }

    /// A call that the principal may know of.
    pub async fn call(&mut self, id: CallId) -> Result<CallState> {
        let call = state::call(&mut self.tx, id, self.now).await?.ok_or(ServiceError::Hidden)?;
        self.authorize(Action::ViewCall, Resource::Call(&call.facts))?;
        Ok(call)
    }

    /// A proposal that the principal may know of.
    pub async fn proposal(&mut self, id: ProposalId) -> Result<ProposalState> {
        let proposal = state::proposal(&mut self.tx, id, self.now).await?.ok_or(ServiceError::Hidden)?;
        self.authorize(Action::View, Resource::Proposal(&proposal.facts))?;
        Ok(proposal)
    }
}

impl<'e> Act<'e> {
    /// Begins a unit of work; no other act runs until it ends. One that was done before, and whose answer says nothing but that, is not
    /// begun again: it may have ended the caller's own access to what it was about. In a rehearsal it ends where it would write.
    pub async fn begin(exchange: &'e Exchange, context: &RequestContext) -> Result<Self> {
        Self::begin_as(exchange, context, TurnKind::Change).await
    }

    /// Begins a read that leaves an entry: [`Act::finish_read`] ends it. It may share its transaction with other such reads.
    pub async fn begin_read(exchange: &'e Exchange, context: &RequestContext) -> Result<Self> {
        Self::begin_as(exchange, context, TurnKind::LoggedRead).await
    }

    async fn begin_as(exchange: &'e Exchange, context: &RequestContext, kind: TurnKind) -> Result<Self> {
        let whose = Whose::Member(context.principal.member.clone());
        if context.is_rehearsal {
            return Self::decided_in(exchange.db.rehearse_for(whose).await?, exchange, context).await;
        }
        let mut tx = kind.turn(exchange, whose.clone()).await?;
        // After the wait for the turn, so that what follows on record is never earlier.
        let mut now = time::of_act(exchange, &mut tx).await?;
        let policies = if let Some(known) = exchange.rules.known(&mut tx, now).await? {
            known
        } else {
            // After a change of policies all of them are verified again. Nobody waits for that: the turn is given back until they are read.
            drop(tx);
            drop(View::open(exchange, &context.principal).await?);
            tx = kind.turn(exchange, whose).await?;
            now = time::of_act(exchange, &mut tx).await?;
            exchange.rules.at(&mut tx, &exchange.host, now).await?
        };
        Self::decided_by(tx, exchange, context, (now, policies)).await
    }

    /// Nothing is counted in a rehearsal, even where nothing is to be written before the end.
    fn require_turn(&self) -> Result<()> {
        if self.context.is_rehearsal { Err(StoreError::Rehearsed.into()) } else { Ok(()) }
    }

    /// Appends a log entry of the payload's kind, for the circle of readers that the kind has.
    pub async fn log(&mut self, subject: Subject, payload: impl Into<Payload>) -> Result<u64> {
        let entry = new_entry(self.exchange, subject, Some(self.me.id.clone()), self.now, &payload.into());
        Ok(entries::append(&mut self.tx, &entry).await?)
    }

    /// The same of many entries, in this order.
    pub async fn log_all(&mut self, payloads: Vec<(Subject, Payload)>) -> Result<()> {
        let entry =
            |(subject, payload)| new_entry(self.exchange, subject, Some(self.me.id.clone()), self.now, &payload);
        let rows: Vec<_> = payloads.into_iter().map(entry).collect();
        Ok(entries::append_all(&mut self.tx, &rows).await?)
    }

    /// Records the answer for a repeated request and commits.
    pub async fn finish(self, answer: Answer) -> Result<Answer> {
        self.require_turn()?;
        let Exchange { usage, quotas, .. } = self.exchange;
        usage.add(&self.me.id, self.stores(&answer), quotas.stored_bytes(), self.now)?;
        self.record_and_commit(answer).await
    }

    /// The same of a key card, which counts for its registrar alone.
    pub async fn finish_key_card(self, answer: Answer) -> Result<Answer> {
        self.require_turn()?;
        let Exchange { usage, quotas, .. } = self.exchange;
        usage.add_key_card(&self.me.id, self.stores(&answer), quotas.stored_bytes(), self.now)?;
        self.record_and_commit(answer).await
    }

    /// Bytes that the act adds to the database.
    fn stores(&self, answer: &Answer) -> u64 {
        self.context.size + answer.body.len() as u64 + usage::OF_AN_ENTRY
    }

    async fn record_and_commit(mut self, answer: Answer) -> Result<Answer> {
        let RequestContext { principal, idempotency, .. } = &self.context;
        if let Some(idempotency) = idempotency {
            let recorded = answer.recorded(idempotency, self.now);
            idempotency::record(&mut self.tx, &principal.member, &idempotency.key, &recorded).await?;
        }
        let asker = idempotency.as_ref().map(|idempotency| (&principal.member, idempotency));
        outcome::commit(self.exchange, self.tx, asker, answer).await
    }

    /// Commits a read that left an entry. Of one that hands nothing out, none is left.
    pub async fn finish_read<T>(self, found: T) -> Result<T> {
        if !self.context.is_head {
            self.require_turn()?;
            let Exchange { usage, quotas, .. } = self.exchange;
            usage.add(&self.me.id, usage::OF_AN_ENTRY, quotas.stored_bytes(), self.now)?;
            self.tx.commit().await?;
        }
        Ok(found)
    }
}

impl<'e> Rehearsal<'e> {
    /// Begins an act that will not be done, refused where the act itself would be.
    pub async fn rehearse(exchange: &'e Exchange, context: &RequestContext) -> Result<Self> {
        let whose = Whose::Member(context.principal.member.clone());
        Self::decided_in(exchange.db.read_for(whose).await?, exchange, context).await
    }
}

impl<'e, T: Reads> Act<'e, T> {
    async fn decided_in(mut tx: T, exchange: &'e Exchange, context: &RequestContext) -> Result<Self> {
        let now = time::of_act(exchange, &mut tx).await?;
        let policies = exchange.rules.at(&mut tx, &exchange.host, now).await?;
        Self::decided_by(tx, exchange, context, (now, policies)).await
    }

    async fn decided_by(
        mut tx: T,
        exchange: &'e Exchange,
        context: &RequestContext,
        (now, policies): (Timestamp, Arc<Engine>),
    ) -> Result<Self> {
        let Principal { member, certificate } = &context.principal;
        let arrived_at = context.arrived_at.map_or(now, |arrived_at| arrived_at.min(now));
        require_standing(&mut tx, member.partner(), context.credential.as_deref()).await?;
        let me = state::member(exchange, &mut tx, member, now).await?.ok_or(ServiceError::NotAMember)?;
        if !members::has_certificate(&mut tx, member, certificate).await? {
            return Err(ServiceError::NotAMember);
        }
        let earlier = match &context.idempotency {
            Some(idempotency) => idempotency::find(&mut tx, member, &idempotency.key).await?,
            None => None,
        };
        let context = context.clone();
        let act = Self { exchange, tx, me, now, arrived_at, policies, context, earlier, signs_under: None };
        match act.replayed() {
            Ok(Some(answer)) if answer.body.is_empty() => Err(ServiceError::Repeated(Box::new(answer))),
            _ => Ok(act),
        }
    }

    /// A permit for the action; hidden and denied are errors. A caller who did it before and may not do it again, or may no longer know
    /// what it was about, gets the answer that it was done and nothing more.
    ///
    /// INVARIANT: in a closed call nothing is done that is not read only, whatever the guardrails say; what was done before it was closed is
    /// answered as ever.
    pub fn authorize(&self, action: Action, resource: Resource<'_>) -> Result<Permit> {
        let permit =
            permit(&self.policies, &self.me, action, resource).map_err(|refused| self.unless_repeated(refused))?;
        let is_closed = resource.call().is_some_and(|call| call.closed);
        if is_closed && !action.is_done_in_a_closed_call() && !matches!(self.replayed(), Ok(Some(_))) {
            let needed = "a call that is not closed; an officer of it reopens it";
            return Err(Refusal::WrongPhase { phase: Phase::Closed, needed }.into());
        }
        Ok(permit)
    }

    /// The answer in place of a refusal before [`Act::replayed`]: that it was done, if this very request was.
    pub fn unless_repeated(&self, refused: ServiceError) -> ServiceError {
        match self.replayed() {
            Ok(Some(answer)) => ServiceError::Repeated(Box::new(answer.without_content())),
            _ => refused,
        }
    }

    /// A call, without asking whether the principal may know of it: [`Act::authorize`] does.
    pub async fn call(&mut self, id: CallId) -> Result<CallState> {
        state::call(&mut self.tx, id, self.now).await?.ok_or(ServiceError::Hidden)
    }

    /// A proposal, without asking whether the principal may know of it: [`Act::authorize`] does.
    pub async fn proposal(&mut self, id: ProposalId) -> Result<ProposalState> {
        state::proposal(&mut self.tx, id, self.now).await?.ok_or(ServiceError::Hidden)
    }

    /// The facts of another member, whose key card must be in force.
    pub async fn member(&mut self, id: &MemberId) -> Result<MemberFacts> {
        let found = state::member(self.exchange, &mut self.tx, id, self.now).await?;
        found.ok_or_else(|| self.unless_repeated(Refusal::NoKeyCard { member: id.clone() }.into()))
    }

    /// The facts of those of these members whose key card is in force; [`Act::known`] takes one from among them.
    pub async fn members(&mut self, ids: &[MemberId]) -> Result<HashMap<MemberId, MemberFacts>> {
        state::members(self.exchange, &mut self.tx, ids, self.now).await
    }

    /// The facts of one of these members, whose key card must be in force.
    pub fn known<'f>(&self, members: &'f HashMap<MemberId, MemberFacts>, id: &MemberId) -> Result<&'f MemberFacts> {
        members.get(id).ok_or_else(|| self.unless_repeated(Refusal::NoKeyCard { member: id.clone() }.into()))
    }

    /// The answer that this very request got before, if it did. Ask after authorization and before any rule: who may no
    /// longer know gets none of its content, and what was done is not refused for having been done.
    pub fn replayed(&self) -> Result<Option<Answer>> {
        let (Some(idempotency), Some(recorded)) = (&self.context.idempotency, &self.earlier) else { return Ok(None) };
        if recorded.request_sha256 == idempotency.request_sha256 {
            Ok(Some(Answer::replayed(recorded.clone())))
        } else {
            Err(ServiceError::IdempotencyKeyReused)
        }
    }

    /// Requires the caller to have read the present state, named by its `ETag`.
    pub fn require_match(&self, current: &str) -> Result<()> {
        if self.context.if_match.is_none() {
            return Err(ServiceError::PreconditionRequired);
        }
        self.check_match(current)
    }

    /// Whether the caller named a state.
    pub fn names_state(&self) -> bool {
        self.context.if_match.is_some()
    }

    /// Refuses when the caller named a state and it is not the present one.
    pub fn check_match(&self, current: &str) -> Result<()> {
        match &self.context.if_match {
            Some(given) if given != current => Err(ServiceError::PreconditionFailed { current: current.to_owned() }),
            _ => Ok(()),
        }
    }

    /// A statement whose signature was verified before the turn: that the principal signed it with a key of their key card, under a
    /// certificate that names nobody else and is valid now, and that it does not come from the future.
    pub(super) async fn signed<S: Statement>(&mut self, verified: Verified<S>) -> Result<Signed<S>> {
        let signed = verified.signed()?;
        let refuse = |fault: String| ServiceError::from(Refusal::Statement { fault });
        let known = self.signs_under.as_ref();
        // INVARIANT: what was found of a certificate holds for the rest of the act, whose instant and key cards stay the same. An act that
        // publishes a card looks at no statement after it.
        if known.is_none_or(|(spki, leaf)| *spki != signed.signer_spki || *leaf != signed.leaf) {
            if !members::has_certificate(&mut self.tx, &self.me.id, &signed.signer_spki).await? {
                return Err(refuse(format!("it is not signed by a key that the key card of `{}` names", self.me.id)));
            }
            leaf::check_name(&signed.leaf, &self.me.id)?;
            leaf::check_time(&signed.leaf, self.now)?;
            self.signs_under = Some((signed.signer_spki, signed.leaf.clone()));
        }
        match signed.statement.stated_at() {
            Some(at) if at > self.now + STATED_AHEAD => Err(refuse(format!(
                "it says that it was made at {at:.0}, more than {} minutes after now, {:.0}; set the clock of the machine that signs \
                 right and sign again",
                STATED_AHEAD.as_mins(),
                self.now
            ))),
            _ => Ok(signed),
        }
    }

    /// Refuses a statement that says it was made long ago. For the member who makes one: others who join it sign what was stated first,
    /// however long they took.
    pub fn require_recent<S: Statement>(&self, signed: &Signed<S>) -> Result<()> {
        match signed.statement.stated_at() {
            Some(at) if at < self.now - STATED_BEHIND => {
                let fault = format!(
                    "it says that it was made at {at:.0}, more than {} hours before now, {:.0}; sign it again",
                    STATED_BEHIND.as_hours(),
                    self.now
                );
                Err(Refusal::Statement { fault }.into())
            }
            _ => Ok(()),
        }
    }
}

/// Refuses an act whose certificate no longer counts, or whose partner takes no part by now.
// INVARIANT: what began under a certificate ends with it. Since the caller was let in, the body may have taken hours. A suspension is read in the
// act's own transaction: what servers know of partners in memory can be a second old.
pub(super) async fn require_standing(
    tx: &mut Tx,
    partner: &PartnerCode,
    credential: Option<&dyn Credential>,
) -> Result<()> {
    if let Some(credential) = credential {
        credential.check().map_err(ServiceError::CertificateRefused)?;
    }
    let suspension = partners::suspension(tx, partner).await?;
    match suspension.filter(|_| !credential.is_some_and(Credential::outlasts_suspension)) {
        Some(suspension) => Err(ServiceError::CertificateRefused(suspension.of(partner))),
        None => Ok(()),
    }
}

/// The permit, or why there is none: a refusal that a declaration of interests would change says so.
pub(super) fn permit(policies: &Engine, me: &MemberFacts, action: Action, resource: Resource<'_>) -> Result<Permit> {
    let outcome = policies.authorize(me, action, resource);
    if matches!(outcome, Authorization::Denied(_))
        && let Some(proposal) = policies.awaits_declaration(me, action, resource)
    {
        return Err(Refusal::NotDeclared { member: me.id.clone(), proposal }.into());
    }
    permitted(outcome)
}

/// An entry of the payload's kind, with its readers, its canonical payload and a fresh salt.
pub(super) fn new_entry(
    exchange: &Exchange,
    subject: Subject,
    actor: Option<MemberId>,
    at: Timestamp,
    payload: &Payload,
) -> entries::EntryRow {
    let kind = payload.kind();
    let mut salt = vec![0; 32];
    exchange.rng.fill(&mut salt);
    entries::EntryRow {
        seq: 0,
        at,
        kind,
        readers: kind.readers(subject.proposal.is_some()),
        actor,
        program: subject.program,
        call: subject.call,
        proposal: subject.proposal,
        payload: payload.canonical(),
        salt,
    }
}
