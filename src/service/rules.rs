//! The policies in force at an instant: an engine, made from the versions that policy officers signed.
//!
//! A version counts only while its text, its columns and both signatures agree. One that does not is left out, which permits less, never
//! more: a partner without policies releases nothing and reads nothing, and without guardrails nobody does anything. The engine is cached
//! until the database has a change or the next version takes effect.

use super::{Result, ServiceError};
use crate::{
    domain::{
        Refusal,
        id::{MemberId, PartnerCode, Sha256},
        member::PartnerRole,
        policy::{PolicyOwner, PolicyVersion, in_force, next_change},
    },
    policy::{Engine, GUARDRAILS, Guardrails, PartnerRules, PolicyError},
    remembered::Remembered,
    sealing::{
        card::{KeyCard, PartnerCard},
        statement::{PolicyApproval, PolicyStatement, Signed, Statement, verify_signed},
    },
    storage::{
        Tx, members, partners,
        policies::{self, PolicyRow},
    },
};
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// The policies of an exchange, as far as they were read.
#[derive(Debug, Default)]
pub struct Rules {
    loaded: ArcSwapOption<Loaded>,
    /// Parsed texts by their digests, so a change of one owner does not parse all others again.
    partners: Remembered<PartnerCode, (Sha256, Arc<PartnerRules>), PARTNERS>,
    guardrails: Mutex<Option<(Sha256, Arc<Guardrails>)>>,
    foreseen: Mutex<VecDeque<Foreseen>>,
}

/// Policies in force with one owner's text replaced. A preview needs them many times.
#[derive(Debug)]
struct Foreseen {
    now: Arc<Engine>,
    owner: PolicyOwner,
    text: Sha256,
    then: Arc<Engine>,
}

/// How many partners' policies are kept parsed: more than there are nations.
const PARTNERS: usize = 1024;

/// How many foreseen policies are kept.
const FORESEEN: usize = 4;

/// The policies from one instant on.
#[derive(Debug)]
struct Loaded {
    generation: i64,
    from: Timestamp,
    /// When the next version takes effect, if one is scheduled.
    until: Option<Timestamp>,
    engine: Arc<Engine>,
    faults: Vec<PolicyFault>,
}

/// A version that should be in force and does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    pub owner: PolicyOwner,
    pub version: u32,
    pub what: String,
}

impl Rules {
    /// The policies in force at `now`, as this snapshot of the database has them.
    pub async fn at(&self, tx: &mut Tx, host: &PartnerCode, now: Timestamp) -> Result<Arc<Engine>> {
        Ok(Arc::clone(&self.loaded(tx, host, now).await?.engine))
    }

    /// The same where they were read before; none where all versions would have to be read and verified, which takes too long for a turn at
    /// writing.
    pub async fn known(&self, tx: &mut Tx, now: Timestamp) -> Result<Option<Arc<Engine>>> {
        let generation = policies::generation(tx).await?;
        Ok(self.reading_of(generation, now).map(|loaded| Arc::clone(&loaded.engine)))
    }

    /// The versions that should be in force and do not count, of a kept reading or a new one.
    pub async fn faults(&self, tx: &mut Tx, host: &PartnerCode, now: Timestamp) -> Result<Vec<PolicyFault>> {
        Ok(self.loaded(tx, host, now).await?.faults.clone())
    }

    /// The policies with this text in the place of its owner's: what would be, were it in force.
    pub async fn with(&self, now: &Arc<Engine>, owner: &PolicyOwner, text: &str) -> Result<Arc<Engine>> {
        let digest = Sha256::of(text.as_bytes());
        let foreseen = || self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&Foreseen| Arc::ptr_eq(&known.now, now) && known.owner == *owner && known.text == digest;
        if let Some(found) = foreseen().iter().find(is_it) {
            return Ok(Arc::clone(&found.then));
        }
        let (engine, of, text) = (Arc::clone(now), owner.clone(), text.to_owned());
        let then = super::aside(move || {
            let refused = |error: PolicyError| Refusal::PolicyInvalid { fault: error.to_string() };
            Ok::<_, Refusal>(match of {
                PolicyOwner::Guardrails => {
                    engine.with_guardrails(Guardrails::shared("guardrails", &text).map_err(refused)?)
                }
                PolicyOwner::Partner(code) => {
                    engine.with_partner(PartnerRules::shared(code.as_str(), &code, &text).map_err(refused)?)
                }
            })
        });
        let then = Arc::new(then.await??);
        let mut known = foreseen();
        if known.len() >= FORESEEN {
            known.pop_front();
        }
        known.push_back(Foreseen { now: Arc::clone(now), owner: owner.clone(), text: digest, then: Arc::clone(&then) });
        Ok(then)
    }

    /// Reads and verifies everything again at the next question.
    pub fn forget(&self) {
        self.loaded.store(None);
    }

    async fn loaded(&self, tx: &mut Tx, host: &PartnerCode, now: Timestamp) -> Result<Arc<Loaded>> {
        let generation = policies::generation(tx).await?;
        if let Some(loaded) = self.reading_of(generation, now) {
            return Ok(loaded);
        }
        let loaded = Arc::new(self.load(tx, host, generation, now).await?);
        for fault in &loaded.faults {
            tracing::error!(owner = %fault.owner, version = fault.version, what = %fault.what, "a version of policies does not count");
        }
        self.loaded.store(Some(Arc::clone(&loaded)));
        Ok(loaded)
    }

    fn reading_of(&self, generation: i64, now: Timestamp) -> Option<Arc<Loaded>> {
        let fits = |loaded: &Arc<Loaded>| {
            loaded.generation == generation && loaded.from <= now && loaded.until.is_none_or(|until| now < until)
        };
        self.loaded.load_full().filter(fits)
    }

    async fn load(&self, tx: &mut Tx, host: &PartnerCode, generation: i64, now: Timestamp) -> Result<Loaded> {
        let (mut guardrails, mut partners, mut faults, mut until) = (None, Vec::new(), Vec::new(), None);
        let mut guardrails_fault = false;
        for owner in policies::owners(tx).await? {
            let standing = policies::standing(tx, &owner, now).await?;
            until = [until, next_change(&standing, now)].into_iter().flatten().min();
            let Some(version) = in_force(&standing, now) else { continue };
            let row = policies::find(tx, &owner, version.number).await?.ok_or(ServiceError::Hidden)?;
            let read = match verify(tx, host, &row).await? {
                Ok(()) => match &owner {
                    PolicyOwner::Guardrails => {
                        self.read_guardrails(&row.text).await?.map(|read| guardrails = Some(read))
                    }
                    PolicyOwner::Partner(code) => {
                        self.read_partner(code, &row.text).await?.map(|read| partners.push(read))
                    }
                },
                Err(what) => Err(what),
            };
            if let Err(what) = read {
                guardrails_fault |= owner == PolicyOwner::Guardrails;
                faults.push(PolicyFault { owner, version: version.number, what });
            }
        }
        let guardrails = match guardrails {
            Some(guardrails) => guardrails,
            // INVARIANT: guardrails that do not count are not replaced by milder ones.
            None if guardrails_fault => Arc::new(Guardrails::none()),
            None => self.read_guardrails(GUARDRAILS).await?.map_err(ServiceError::Malformed)?,
        };
        let engine = Arc::new(Engine::new(guardrails, partners));
        Ok(Loaded { generation, from: now, until, engine, faults })
    }

    /// The guardrails, or what is wrong with them.
    async fn read_guardrails(&self, text: &str) -> Result<Result<Arc<Guardrails>, String>> {
        let digest = Sha256::of(text.as_bytes());
        let known = || self.guardrails.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, read)) = known().as_ref().filter(|(known, _)| *known == digest) {
            return Ok(Ok(Arc::clone(read)));
        }
        let text = text.to_owned();
        let read = super::aside(move || Guardrails::shared("guardrails", &text)).await?;
        let read = read.map_err(|error| error.to_string());
        Ok(read.inspect(|read| *known() = Some((digest, Arc::clone(read)))))
    }

    /// A partner's policies, or what is wrong with them.
    async fn read_partner(&self, code: &PartnerCode, text: &str) -> Result<Result<Arc<PartnerRules>, String>> {
        let digest = Sha256::of(text.as_bytes());
        if let Some(read) = self.partners.get_at(code, &digest) {
            return Ok(Ok(read));
        }
        let (of, text) = (code.clone(), text.to_owned());
        let read = super::aside(move || PartnerRules::shared(of.as_str(), &of, &text)).await?;
        let read = read.map_err(|error| error.to_string());
        Ok(read.inspect(|read| self.partners.insert(code.clone(), (digest, Arc::clone(read)))))
    }
}

/// Whether a version's columns are what two policy officers of the partner signed. The inner error says what is not.
pub(super) async fn verify(tx: &mut Tx, host: &PartnerCode, row: &PolicyRow) -> Result<Result<(), String>> {
    let partner = row.owner.written_by(host);
    let PolicyVersion { number, statement, proposed_by, active_at, .. } = &row.version;
    let Ok(proposal) = verify_signed::<PolicyStatement>(&row.statement) else {
        return Ok(Err("its statement is not signed".to_owned()));
    };
    let says = &proposal.statement;
    if says.owner != row.owner || says.version != *number || says.active_at != *active_at {
        return Ok(Err("its statement is for another version or time".to_owned()));
    }
    if proposal.payload_sha256 != *statement || says.text_sha256 != Sha256::of(row.text.as_bytes()) {
        return Ok(Err("its text is not the one that was signed".to_owned()));
    }
    let Some(second) = &row.approval else { return Ok(Err("nobody approved it".to_owned())) };
    let Ok(approval) = verify_signed::<PolicyApproval>(&second.statement) else {
        return Ok(Err("its approval is not signed".to_owned()));
    };
    let says = &approval.statement;
    if says.owner != row.owner || says.version != *number || says.policy_sha256 != *statement {
        return Ok(Err("its approval is for another version".to_owned()));
    }
    if second.by == *proposed_by || proposal.signer_spki == approval.signer_spki {
        return Ok(Err("one policy officer signed twice".to_owned()));
    }
    if proposed_by.partner() != partner || second.by.partner() != partner {
        return Ok(Err("it is signed by another partner's members".to_owned()));
    }
    let signed = is_signer(tx, &proposal, proposed_by).await? && is_signer(tx, &approval, &second.by).await?;
    let fault = "it is signed by keys that no key card of a policy officer names";
    Ok(if signed { Ok(()) } else { Err(fault.to_owned()) })
}

/// The most key cards of a member that are looked through.
const CARDS: u32 = 200;

/// Whether the registrar vouched for the signer as a policy officer, in the present key card or an earlier one that nothing took back:
/// who leaves the office, or renews a certificate, leaves the policies in force that they signed.
async fn is_signer<T: Statement>(tx: &mut Tx, signed: &Signed<T>, member: &MemberId) -> Result<bool> {
    let Some(partner) = partners::find(tx, member.partner()).await? else { return Ok(false) };
    let Ok(partner) = PartnerCard::from_json(partner.card.as_bytes()) else { return Ok(false) };
    for row in members::key_cards(tx, member, None, CARDS).await? {
        let Ok(card) = KeyCard::verify_issued(&row.key_card, &partner).map(|signed| signed.statement) else { break };
        if card.member != *member || card.takes_back() {
            break;
        }
        if card.pins(&signed.signer_spki) && card.roles.contains(&PartnerRole::PolicyOfficer) {
            return Ok(true);
        }
    }
    Ok(false)
}
