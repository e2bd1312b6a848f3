//! Letters to the parties of many proposals, made of a template: one for each decision that is final and has no letter yet, or one for each
//! party that has none where the call's text says so, each looked at beforehand, and sent after one yes.
//!
//! Each goes by the decision as its signatures verify it, at the look and once more when it is sent. What the template does not ask for is
//! not opened.

mod template;

pub use template::{LetterTemplate, is_template};

use super::{
    Client, ClientError, Result,
    decisions::{LetterAbout, is_about},
    judging::{CallJudging, KnownKind},
    log::{LogFilter, LogReader},
    naming::FoundProposal,
    participation::Roles,
    ranking::Ranking,
    titles::Titles,
    verified::{VerifiedCall, VersionChoice},
    verify::{check_reference, digest},
};
use crate::{
    domain::{
        decision::Outcome,
        entry::EntryKind,
        id::{CallId, DocumentId, MemberId, PartnerCode, ProposalId, Sha256},
        proposal::Status,
    },
    sealing::statement::{LetterStatement, Signed, verify_signed},
    wire::{
        decision::{Decision, Letter},
        entry::payloads::LetterNamed,
        proposal::Proposal,
    },
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use template::Field;
use zeroize::Zeroizing;

/// The longest letter that a template makes, in bytes.
const MAX_FILLED: usize = 500_000;

/// A letter that is about to be sent.
pub struct PlannedLetter {
    pub proposal: FoundProposal,
    pub title: Option<String>,
    pub outcome: Outcome,
    /// The party that it is for, under a call whose letters are for one party alone.
    pub party: Option<PartnerCode>,
    /// The members of the party or the parties, who can open it.
    pub to: BTreeSet<MemberId>,
    pub text: Zeroizing<String>,
    /// Of the decision that it is about.
    pub decision_sha256: Sha256,
}

impl PlannedLetter {
    /// What it is about, and the party that it is for alone.
    #[must_use]
    pub fn name(&self) -> String {
        let party = self.party.as_ref().map(|party| format!(", to {party}")).unwrap_or_default();
        format!("{}{party}", self.proposal)
    }
}

impl std::fmt::Debug for PlannedLetter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedLetter").field("proposal", &self.proposal).finish_non_exhaustive()
    }
}

/// The letters that a template makes now.
#[derive(Debug, Default)]
pub struct LetterBatch {
    pub letters: Vec<PlannedLetter>,
    /// Proposals whose decision in force has a letter already.
    pub sent_before: Vec<FoundProposal>,
    /// Proposals on which no decision is in force.
    pub undecided: Vec<FoundProposal>,
    /// Proposals that get none, and why.
    pub held: Vec<(FoundProposal, ClientError)>,
}

/// What came of sending.
#[derive(Debug, Default)]
pub struct SentLetters {
    pub sent: Vec<Letter>,
    /// By the proposal, and the party that the letter is for alone.
    pub failed: Vec<(String, ClientError)>,
}

/// A letter of a call, and who fetched it by the exchange's log. Whether anybody read it, nobody knows.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterWithReaders {
    pub letter: Letter,
    pub fetched_by: BTreeMap<MemberId, Timestamp>,
}

/// What fields are filled in with, beside the proposal itself.
struct Known<'k> {
    call: &'k VerifiedCall,
    titles: &'k Titles,
    ranking: Option<&'k Ranking>,
}

impl Client {
    /// The letters that a template makes for the final decisions of a call, each filled in.
    pub async fn plan_letters(&self, id: CallId, template: &LetterTemplate, titles: &Titles) -> Result<LetterBatch> {
        let judging = self.judging(id).await?;
        let CallJudging { call, roles, rows, marks } = &judging;
        let is_of_reviews = |field: &Field| {
            matches!(field, Field::Total | Field::Scores | Field::Comments | Field::Score(_) | Field::Comment(_))
        };
        let ranking = if template.asks_for(is_of_reviews) { Some(self.ranking_of(&judging).await?) } else { None };
        let known = Known { call, titles, ranking: ranking.as_ref() };
        let mut decided: BTreeMap<ProposalId, KnownDecision> = self.known(KnownKind::Decision, marks).await;
        let (mut batch, mut new) = (LetterBatch::default(), BTreeMap::new());
        for proposal in rows {
            let found = FoundProposal::from(proposal);
            if proposal.status != Status::Submitted {
                continue;
            }
            if proposal.decided.is_none() {
                batch.undecided.push(found);
                continue;
            }
            let decision = match decided.remove(&proposal.id) {
                Some(known) => Ok(Some(known)),
                None => self.verified_decision(proposal, call, roles).await.inspect(|decision| {
                    new.extend(decision.clone().map(|decision| (proposal.id, decision)));
                }),
            };
            let planned = match decision {
                Ok(Some(decision)) => self.planned_letters(proposal, template, &known, decision).await,
                Ok(None) => {
                    batch.undecided.push(found);
                    continue;
                }
                Err(error) => Err(error),
            };
            match planned {
                Ok(letters) if letters.is_empty() => batch.sent_before.push(found),
                Ok(letters) => batch.letters.extend(letters),
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => batch.held.push((found, error)),
            }
        }
        self.keep_known(KnownKind::Decision, id, marks, &new).await;
        Ok(batch)
    }

    /// The final decision on a proposal, by its signatures, and what a letter about it goes by; nothing if none is in force.
    async fn verified_decision(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        roles: &Roles,
    ) -> Result<Option<KnownDecision>> {
        check_reference(proposal, call)?;
        let shown = self.api().decision(proposal.id).await?.map(|shown| shown.body);
        let Some(decision) = shown.filter(|shown| shown.final_at.is_some() && shown.outcome != Outcome::Rescind) else {
            return Ok(None);
        };
        self.check_decision(&decision, proposal, call).await?;
        Ok(Some(KnownDecision {
            outcome: decision.outcome,
            sha256: digest(&decision),
            reached: if proposal.letters > 0 {
                self.reached_parties(proposal, call, &decision, roles).await?
            } else {
                BTreeSet::new()
            },
            organisations: self.organisations_by_party(proposal, call).await?,
        }))
    }

    /// The letters about a decision that are to be sent yet.
    async fn planned_letters(
        &self,
        proposal: &Proposal,
        template: &LetterTemplate,
        known: &Known<'_>,
        decision: KnownDecision,
    ) -> Result<Vec<PlannedLetter>> {
        let KnownDecision { outcome, sha256: decision_sha256, reached, organisations } = decision;
        check_reference(proposal, known.call)?;
        let left = proposal.parties.keys().filter(|party| !reached.contains(*party));
        let audiences: Vec<Option<&PartnerCode>> = if known.call.rules.letters.is_all_parties() {
            left.take(1).map(|_| None).collect()
        } else {
            left.map(Some).collect()
        };
        if audiences.is_empty() {
            return Ok(Vec::new());
        }
        if !template.has(outcome) {
            return Err(ClientError::usage(
                format!("the decision is `{outcome}`, and the template has no such section"),
                format!("add a section `=== {outcome} ===`"),
            ));
        }
        let title = match known.titles.title(proposal.id) {
            // What lists keep of a long title is cut.
            Some(cut) if cut.ends_with('…') => {
                Some(self.read_summary(proposal.id, VersionChoice::Standing).await?.title)
            }
            title => title.map(str::to_owned),
        };
        let mut letters = Vec::new();
        for party in audiences {
            let is_for = |other: &PartnerCode| party.is_none_or(|party| party == other);
            let employers: BTreeSet<String> =
                organisations.iter().filter(|(other, _)| is_for(other)).flat_map(|(_, names)| names.clone()).collect();
            let values = |field: &Field| value(field, proposal, outcome, title.as_deref(), &employers, known);
            let text = template.filled(outcome, values).map_err(|field| {
                let help = match field {
                    Field::Title => "open its summary once: `entente proposal list --titles`; or leave the field out",
                    _ => "see `entente ranking show`; or leave the field out",
                };
                ClientError::usage(format!("nothing is known for `{{{}}}`", field.name()), help)
            })?;
            if text.len() > MAX_FILLED {
                return Err(ClientError::usage(
                    "the letter would be longer than 500,000 bytes",
                    "shorten the template",
                ));
            }
            let members = proposal.parties.iter().filter(|(other, _)| is_for(other));
            letters.push(PlannedLetter {
                proposal: FoundProposal::from(proposal),
                title: title.clone(),
                outcome,
                party: party.cloned(),
                to: members.flat_map(|(_, members)| members.clone()).collect(),
                text: Zeroizing::new(text),
                decision_sha256,
            });
        }
        Ok(letters)
    }

    /// The parties to which an officer of the call has signed a letter about the decision that stands.
    async fn reached_parties(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        decision: &Decision,
        roles: &Roles,
    ) -> Result<BTreeSet<PartnerCode>> {
        let mut reached = BTreeSet::new();
        for letter in self.api().letters(proposal.id).await? {
            let Ok(signed): Result<Signed<LetterStatement>, _> = verify_signed(&letter.statement) else { continue };
            let LetterStatement { proposal: about, party, .. } = &signed.statement;
            let is_meant = *about == proposal.id
                && is_about(&signed.statement, decision)
                && call.rules.letters.admits(party.as_ref());
            if is_meant
                && roles.was_officer(&letter.sent_by)
                && self.check_signed_by(&signed, &letter.sent_by, letter.sent_at.0).await.is_ok()
            {
                let all = || proposal.parties.keys().cloned().collect();
                reached.append(&mut party.clone().map_or_else(all, |party| BTreeSet::from([party])));
            }
        }
        Ok(reached)
    }

    /// Seals and sends the letters of a batch, each only if the decision is still the one that it is about.
    ///
    /// # Errors
    /// When the exchange is not reached, or the signer does not sign. What was sent until then is sent.
    pub async fn send_letters(&self, batch: &LetterBatch) -> Result<SentLetters> {
        let mut came = SentLetters::default();
        for letter in &batch.letters {
            let about = LetterAbout { party: letter.party.as_ref(), outcome: Some(letter.outcome) };
            let planned = Some(letter.decision_sha256);
            match self.send_letter_as_planned(letter.proposal.id, about, &letter.text, planned).await {
                Ok(sent) => came.sent.push(sent),
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => came.failed.push((letter.name(), error)),
            }
        }
        Ok(came)
    }

    /// The letters of a call, with the members who fetched each, as far as the log says it to the caller.
    pub async fn letters_of_call(&self, call: CallId) -> Result<Vec<LetterWithReaders>> {
        let filter =
            LogFilter { kinds: [EntryKind::LetterFetched].into(), calls: [call].into(), ..LogFilter::default() };
        let read = LogReader::new(filter, None).rest(self.api(), usize::MAX, Duration::ZERO).await?;
        let mut fetched: BTreeMap<DocumentId, BTreeMap<MemberId, Timestamp>> = BTreeMap::new();
        for entry in read.entries {
            let Ok(LetterNamed { letter }) = serde_json::from_str(&entry.payload) else { continue };
            if let Some(actor) = entry.actor {
                fetched.entry(letter).or_default().entry(actor).or_insert(entry.at.0);
            }
        }
        let mut letters = Vec::new();
        for proposal in self.api().all_proposals(Some(call)).await?.into_iter().filter(|it| it.letters > 0) {
            for letter in self.api().letters(proposal.id).await? {
                let fetched_by = fetched.remove(&letter.id).unwrap_or_default();
                letters.push(LetterWithReaders { letter, fetched_by });
            }
        }
        Ok(letters)
    }
}

/// A decision in force as its signatures verified it, and what a letter about it goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownDecision {
    outcome: Outcome,
    sha256: Sha256,
    /// The parties to which an officer has sent a letter about it.
    reached: BTreeSet<PartnerCode>,
    /// Where each party's members worked at the deadline.
    organisations: BTreeMap<PartnerCode, BTreeSet<String>>,
}

/// What a field stands for in the letter about a proposal.
fn value(
    field: &Field,
    proposal: &Proposal,
    outcome: Outcome,
    title: Option<&str>,
    organisations: &BTreeSet<String>,
    known: &Known<'_>,
) -> Option<String> {
    let criteria = &known.call.rules.criteria;
    let line = || known.ranking?.lines.iter().find(|line| line.proposal == proposal.id && line.total.is_some());
    let comments = || known.ranking?.comments.get(&proposal.id);
    match field {
        Field::Reference => Some(proposal.reference.to_string()),
        Field::Title => title.map(str::to_owned),
        Field::Organisations => Some(organisations.iter().cloned().collect::<Vec<_>>().join(", ")),
        Field::Code => Some(known.call.rules.code.to_string()),
        Field::Call => Some(known.call.rules.title.clone()),
        Field::Outcome => Some(outcome.to_string()),
        Field::Total => line()?.total.map(|total| total.to_string()),
        Field::Score(name) => line()?.averages.get(name).map(ToString::to_string),
        Field::Scores => {
            let averages = &line()?.averages;
            let of = |name| averages.get(name).map(ToString::to_string).unwrap_or_default();
            let said = criteria.iter().map(|it| format!("{}: {} of {}", it.title, of(&it.name), it.max));
            Some(said.collect::<Vec<_>>().join("\n"))
        }
        Field::Comment(name) => Some(comments()?.get(name).map(|said| paragraphs(said)).unwrap_or_default()),
        Field::Comments => {
            let all = comments()?;
            let said = criteria
                .iter()
                .filter_map(|it| all.get(&it.name).map(|said| format!("{}\n\n{}", it.title, paragraphs(said))));
            Some(said.collect::<Vec<_>>().join("\n\n"))
        }
    }
}

/// What several reviewers said, none of them named.
fn paragraphs(said: &[String]) -> String {
    said.iter().map(|text| text.trim()).collect::<Vec<_>>().join("\n\n")
}
