//! Many decisions under one call: what each line of a file would sign, what stands in the way of some, and all signed after one look.
//!
//! Each line becomes a signature of its own, through the same functions as a single one. A line that was signed before is left as it is, so a
//! batch that was cut off goes on where it stopped.

use super::DecisionPlan;
use crate::{
    client::{Client, ClientError, Result, naming::FoundProposal, ranking::Ranking, verified::VerifiedCall},
    domain::{
        decision::Outcome,
        id::{CallId, PartnerCode, ProposalId},
        proposal::Status,
    },
    wire::{decision::Decision, proposal::Proposal},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
};

/// What somebody wishes to sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionLine {
    pub proposal: FoundProposal,
    pub outcome: Outcome,
    /// Why a final decision is superseded.
    pub reason: Option<String>,
    /// What the file says is granted. It is summed up before anything is signed, and is in no statement.
    pub amount: Option<GrantAmount>,
}

/// An amount of money in hundredths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantAmount {
    hundredths: i64,
    /// Three letters; none where the file has one currency and does not say which.
    currency: Option<String>,
}

impl GrantAmount {
    /// The sums by currency.
    #[must_use]
    pub fn sums(amounts: &[Self]) -> Vec<String> {
        let mut sums: BTreeMap<&Option<String>, i128> = BTreeMap::new();
        for amount in amounts {
            *sums.entry(&amount.currency).or_default() += i128::from(amount.hundredths);
        }
        sums.into_iter().map(|(currency, hundredths)| worded(hundredths, currency.as_deref())).collect()
    }
}

impl FromStr for GrantAmount {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, &'static str> {
        const WANTED: &str = "wanted an amount such as `250000` or `250000.50 USD`, without separators of thousands";
        let (number, currency) = text.trim().split_once(' ').map_or((text.trim(), None), |(a, b)| (a, Some(b.trim())));
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_code = |code: &str| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_number(whole) || !is_number(part) || part.len() > 2 || !currency.is_none_or(is_code) {
            return Err(WANTED);
        }
        let whole: i64 = whole.parse().map_err(|_| WANTED)?;
        let part: i64 = format!("{part:0<2}").parse().map_err(|_| WANTED)?;
        let hundredths = whole.checked_mul(100).and_then(|whole| whole.checked_add(part)).ok_or(WANTED)?;
        Ok(Self { hundredths, currency: currency.map(str::to_owned) })
    }
}

impl fmt::Display for GrantAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&worded(self.hundredths.into(), self.currency.as_deref()))
    }
}

fn worded(hundredths: i128, currency: Option<&str>) -> String {
    let number = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    currency.map_or_else(|| number.clone(), |currency| format!("{number} {currency}"))
}

/// Where a line stands.
#[derive(Debug)]
pub enum LineState {
    /// It would be signed so.
    Sign(Box<DecisionPlan>),
    /// One's own partner has signed it, and the signature counts.
    Signed,
    /// It cannot be signed.
    Held(ClientError),
}

/// The lines of a file, as they would be signed now.
#[derive(Debug)]
pub struct DecisionBatch {
    pub lines: Vec<(DecisionLine, LineState)>,
    /// What is known of the reviews of these proposals.
    pub reviews: BTreeMap<ProposalId, ReviewsMissing>,
}

/// Whose review a proposal's line of the ranking goes without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReviewsMissing {
    pub missing: usize,
    pub set_aside: usize,
    /// Whether the line is older than a review that came or was taken out since.
    pub is_outdated: bool,
}

/// What a member who decides looks at: the ranking, and what each funder signed.
#[derive(Debug)]
pub struct DecisionSheet {
    pub ranking: Ranking,
    /// Whether the ranking is the one that an officer sent, rather than one computed here.
    pub is_sent: bool,
    /// Of each proposal that the member decides on, what each funder signed for, verified; and whether it is final.
    pub signed: BTreeMap<ProposalId, SignedOutcomes>,
    /// Proposals whose decision does not verify or is not shown, and why.
    pub closed: Vec<(ProposalId, ClientError)>,
    pub funders: BTreeSet<PartnerCode>,
    pub own: PartnerCode,
}

/// What funders signed for on one proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignedOutcomes {
    pub by: BTreeMap<PartnerCode, Outcome>,
    pub is_final: bool,
}

impl DecisionBatch {
    /// The plans, with the lines that they are of.
    pub fn plans(&self) -> impl Iterator<Item = (&DecisionLine, &DecisionPlan)> {
        self.lines.iter().filter_map(|(line, state)| match state {
            LineState::Sign(plan) => Some((line, &**plan)),
            LineState::Signed | LineState::Held(_) => None,
        })
    }

    /// The lines that cannot be signed, and why.
    pub fn held(&self) -> impl Iterator<Item = (&DecisionLine, &ClientError)> {
        self.lines.iter().filter_map(|(line, state)| match state {
            LineState::Held(error) => Some((line, error)),
            LineState::Sign(_) | LineState::Signed => None,
        })
    }

    /// How many lines were signed before.
    #[must_use]
    pub fn signed(&self) -> usize {
        self.lines.iter().filter(|(_, state)| matches!(state, LineState::Signed)).count()
    }
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct SignedBatch {
    pub signed: Vec<Decision>,
    pub failed: Vec<(FoundProposal, ClientError)>,
}

impl Client {
    /// What signing these lines would do.
    ///
    /// # Errors
    /// When a line is of another call or one proposal stands in two; and where one is not reached or not signed for.
    pub async fn plan_decisions(&self, id: CallId, lines: Vec<DecisionLine>) -> Result<DecisionBatch> {
        check_distinct(&lines)?;
        let call = self.call(id).await?;
        self.funds(&call).await?;
        let shown: BTreeMap<ProposalId, Proposal> =
            self.api().all_proposals(Some(id)).await?.into_iter().map(|proposal| (proposal.id, proposal)).collect();
        let mut planned = Vec::with_capacity(lines.len());
        for line in lines {
            let Some(proposal) = shown.get(&line.proposal.id) else {
                return Err(ClientError::usage(
                    format!("{} is not a proposal of {} that is shown to you", line.proposal, call.rules.code),
                    "take the line out; a file is for one call",
                ));
            };
            let state = match self.line_state(&line, proposal, &call).await {
                Ok(state) => state,
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => LineState::Held(error),
            };
            planned.push((line, state));
        }
        Ok(DecisionBatch { lines: planned, reviews: self.reviews_missing(id).await })
    }

    async fn line_state(
        &self,
        line: &DecisionLine,
        proposal: &Proposal,
        call: &Arc<VerifiedCall>,
    ) -> Result<LineState> {
        let present = self.api().decision(proposal.id).await?;
        if let Some(present) = &present {
            self.check_decision(&present.body, proposal, call).await?;
            let own = self.member_id().await?.partner().clone();
            if is_signed(&present.body, &own, line) {
                return Ok(LineState::Signed);
            }
        }
        let plan = self.plan_on(proposal, call, present, line.outcome, line.reason.as_deref()).await?;
        Ok(LineState::Sign(Box::new(plan)))
    }

    /// Signs what was planned, line by line, each only if its table is still as it was then.
    ///
    /// # Errors
    /// When the exchange is not reached, or the signer does not sign. What was signed until then stays signed.
    pub async fn decide_all(&self, batch: &DecisionBatch) -> Result<SignedBatch> {
        let mut came = SignedBatch::default();
        for (line, plan) in batch.plans() {
            match self.decide(plan).await {
                Ok(decision) => came.signed.push(decision),
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => came.failed.push((line.proposal.clone(), error)),
            }
        }
        Ok(came)
    }

    /// What there is to decide by: the ranking that was sent, or else one computed here, and what every funder signed.
    pub async fn decision_sheet(&self, id: CallId) -> Result<DecisionSheet> {
        let call = self.call(id).await?;
        let own = self.funds(&call).await?;
        let sent = self.sent_ranking(id).await?;
        let is_sent = !sent.about.is_empty() || !sent.ranking.closed.is_empty();
        let ranking = if is_sent { sent.ranking } else { self.ranking(id).await? };
        let (mut signed, mut closed) = (BTreeMap::new(), Vec::new());
        for proposal in self.api().all_proposals(Some(id)).await? {
            if proposal.status != Status::Submitted || !proposal.mine.is_clear {
                continue;
            }
            match self.signed_outcomes(&proposal, &call).await {
                Ok(outcomes) => {
                    signed.insert(proposal.id, outcomes);
                }
                Err(error) if error.ends_a_series() => return Err(error),
                Err(error) => closed.push((proposal.id, error)),
            }
        }
        Ok(DecisionSheet { ranking, is_sent, signed, closed, funders: call.rules.funders.clone(), own })
    }

    async fn signed_outcomes(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<SignedOutcomes> {
        let Some(shown) = self.api().decision(proposal.id).await?.map(|shown| shown.body) else {
            return Ok(SignedOutcomes::default());
        };
        self.check_decision(&shown, proposal, call).await?;
        Ok(outcomes(&shown))
    }

    /// The caller's partner, if it funds under the call.
    async fn funds(&self, call: &VerifiedCall) -> Result<PartnerCode> {
        let partner = self.member_id().await?.partner().clone();
        if call.rules.funders.contains(&partner) {
            return Ok(partner);
        }
        Err(ClientError::usage(
            format!("`{partner}` does not fund under this call"),
            "only deciders of the funding partners sign",
        ))
    }

    /// Whose reviews are missing or set aside: by the ranking that was sent, as far as one was. A look that fails says nothing of them.
    async fn reviews_missing(&self, id: CallId) -> BTreeMap<ProposalId, ReviewsMissing> {
        let Ok(sent) = self.sent_ranking(id).await else { return BTreeMap::new() };
        let known = sent.ranking.lines.iter().map(|line| {
            let about = sent.about.get(&line.proposal);
            let is_outdated = about.is_some_and(|it| !it.came_since.is_empty() || !it.gone_since.is_empty());
            let (missing, set_aside) = (line.missing.len(), line.set_aside.len());
            (line.proposal, ReviewsMissing { missing, set_aside, is_outdated })
        });
        known.collect()
    }
}

/// Refuses a file with two lines about one proposal, also with the same outcome: one of the lines was meant for another.
fn check_distinct(lines: &[DecisionLine]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match lines.iter().find(|line| !seen.insert(line.proposal.id)) {
        Some(twice) => {
            let what = format!("{} is in two lines", twice.proposal);
            Err(ClientError::usage(what, "take one of them out, or correct the reference in it"))
        }
        None => Ok(()),
    }
}

/// Whether a partner has signed for what a line says, and the signature counts; or the decision is final already.
fn is_signed(shown: &Decision, own: &PartnerCode, line: &DecisionLine) -> bool {
    let says =
        |table: &Decision| table.outcome == line.outcome && (line.reason.is_none() || table.reason == line.reason);
    let is_own = |table: &Decision| table.signatures.get(own).is_some_and(|signature| signature.set_aside.is_none());
    match (shown.final_at, &shown.next) {
        (Some(_), None) => says(shown),
        (Some(_), Some(next)) => says(next) && is_own(next),
        (None, _) => says(shown) && is_own(shown),
    }
}

/// What each funder signed for: on the proposed decision, or else on the one in force.
fn outcomes(shown: &Decision) -> SignedOutcomes {
    let table = shown.next.as_deref().unwrap_or(shown);
    let counting = table.signatures.iter().filter(|(_, signature)| signature.set_aside.is_none());
    SignedOutcomes {
        by: counting.map(|(partner, _)| (partner.clone(), table.outcome)).collect(),
        is_final: table.final_at.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::proposal;
    use serde_json::json;

    fn line(outcome: Outcome, reason: Option<&str>) -> DecisionLine {
        let proposal = FoundProposal::from(&proposal());
        DecisionLine { proposal, outcome, reason: reason.map(str::to_owned), amount: None }
    }

    fn shown(outcome: &str, signed: &[(&str, Option<&str>)], is_final: bool) -> Decision {
        let signature = |(partner, aside): &(&str, Option<&str>)| {
            let at = "2026-06-01T00:00:00Z";
            let signature =
                json!({ "member": format!("{partner}:eve"), "jws": "", "signed_at": at, "set_aside": aside });
            ((*partner).to_owned(), signature)
        };
        let signatures: serde_json::Map<_, _> = signed.iter().map(signature).collect();
        let mut decision = json!({
            "id": "dec_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "proposal": proposal().id, "reference": proposal().reference,
            "revision": 1, "outcome": outcome, "missing": [], "signatures": signatures,
            "manifest_sha256": crate::domain::id::Sha256::of(b"manifest"),
        });
        if is_final {
            decision["final_at"] = json!("2026-06-02T00:00:00Z");
        }
        serde_json::from_value(decision).unwrap()
    }

    #[test]
    fn line_is_signed_once_ones_own_signature_counts_for_the_same() {
        let own: PartnerCode = "ISR".parse().unwrap();
        let is = |shown: &Decision, line: &DecisionLine| is_signed(shown, &own, line);
        let fund = line(Outcome::Fund, None);
        assert!(is(&shown("fund", &[("ISR", None)], false), &fund));
        assert!(!is(&shown("fund", &[("USA", None)], false), &fund), "another funder's");
        assert!(!is(&shown("decline", &[("ISR", None)], false), &fund), "for something else");
        assert!(!is(&shown("fund", &[("ISR", Some("conflict"))], false), &fund), "a colleague signs in its place");
        let final_one = shown("fund", &[("ISR", None), ("USA", None)], true);
        assert!(is(&final_one, &fund));
        assert!(!is(&final_one, &line(Outcome::Fund, Some("more money"))), "another one is meant");
        let next = Box::new(shown("decline", &[("ISR", None)], false));
        let superseding = Decision { next: Some(next), ..final_one };
        assert!(is(&superseding, &line(Outcome::Decline, None)) && !is(&superseding, &fund));
    }

    #[test]
    fn sheet_says_what_each_funder_signed_for_and_counts() {
        let signed = outcomes(&shown("reserve", &[("ISR", Some("role")), ("USA", None)], false));
        assert_eq!(signed, SignedOutcomes { by: [("USA".parse().unwrap(), Outcome::Reserve)].into(), is_final: false });
        assert!(outcomes(&shown("fund", &[("ISR", None), ("USA", None)], true)).is_final);
    }

    #[test]
    fn proposal_that_stands_in_two_lines_is_refused() {
        let lines = [line(Outcome::Fund, None), line(Outcome::Fund, None)];
        assert!(check_distinct(&lines[..1]).is_ok());
        assert_eq!(check_distinct(&lines).unwrap_err().class().code(), 2);
    }

    #[test]
    fn amounts_are_exact_and_have_a_currency() {
        let read = |text: &str| text.parse::<GrantAmount>().map(|amount| amount.to_string());
        assert_eq!(read("250000 USD").unwrap(), "250000.00 USD");
        assert_eq!(read("0.5 EUR").unwrap(), "0.50 EUR");
        assert_eq!(read("1250.05").unwrap(), "1250.05");
        for bad in ["", "1,000 USD", "1.005 USD", "-5 USD", "5 usd", "5 USD x", "99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let amounts = ["0.10 USD", "0.20 USD", "7 EUR"].map(|text| text.parse().unwrap());
        assert_eq!(GrantAmount::sums(&amounts), ["7.00 EUR", "0.30 USD"]);
    }
}
