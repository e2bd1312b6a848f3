//! The ranking of a call, computed here from reviews opened here: the exchange never sees a score.
//!
//! Whose review counts is judged here too, of what was signed: roles, assignments, declarations, key cards. What the exchange says is
//! set aside never counts; that it says so of none counts for nothing. A member who is not an officer is not shown what
//! others declared or were assigned to, and there takes the exchange's word.

mod notes;
mod sent;

pub use notes::MAX_NOTE;
pub use sent::{DoneByProposal, RankingPlan, SentLine, SentRanking};

use notes::check_note;

use super::{
    Client, ClientError, Result,
    facts::{UnverifiedFacts, VerifiedFacts, call_facts, proposal_facts},
    judging::{CallJudging, KnownKind},
    participation::{Interests, Roles},
    reviews::{InvalidReview, OpenedReview, OpenedReviews, missing},
    verified::VerifiedCall,
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId, Slug},
        proposal::Status,
        reference::Reference,
        reopening::Reopening,
        review::{Criterion, Points, Ranked, Reviewed, rank},
        set_aside::SetAside,
    },
    policy::{
        counts::review_set_aside,
        facts::{CallFacts, MemberFacts, ProposalFacts},
    },
    sealing::card::CardStatus,
    wire::{proposal::Proposal, review::Assignment},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

/// The reviews of so many proposals are opened side by side.
const AT_ONCE: usize = 4;

/// The ranking of a call.
#[derive(Debug)]
pub struct Ranking {
    /// Best first; those below a threshold after those with a rank, those without a review last.
    pub lines: Vec<Ranked>,
    /// Reviews that did not verify. They count as missing.
    pub invalid: Vec<InvalidReview>,
    /// Proposals whose reviews are closed to the caller, and why. They are not ranked.
    pub closed: Vec<(ProposalId, ClientError)>,
    /// What people call each of them.
    pub references: BTreeMap<ProposalId, Reference>,
    /// The notes on them: those that are kept on this machine, or that were sent.
    pub notes: BTreeMap<ProposalId, String>,
    /// What the reviews in the numbers say of each criterion, without who says it; none of a ranking that was sent.
    pub comments: BTreeMap<ProposalId, BTreeMap<Slug, Vec<String>>>,
    /// Whose review is in the numbers, and which revision of it.
    pub counted: BTreeMap<ProposalId, BTreeMap<MemberId, u32>>,
}

impl Client {
    /// Opens every review of every submitted proposal that the caller sees, and ranks. What was opened before and has not changed is taken
    /// from this machine.
    pub async fn ranking(&self, id: CallId) -> Result<Ranking> {
        self.ranking_of(&self.judging(id).await?).await
    }

    /// The same of what is shown now.
    pub(super) async fn ranking_of(&self, judging: &CallJudging) -> Result<Ranking> {
        let CallJudging { call, roles, rows, marks } = judging;
        let facts = call_facts(&call.call, &call.rules, roles, self.now());
        let (mut reviewed, mut invalid, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut references, mut counted, mut comments) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut known: BTreeMap<ProposalId, KnownReviews> = self.known(KnownKind::Reviews, marks).await;
        let mut found = BTreeMap::new();
        let submitted = rows.iter().filter(|proposal| proposal.status == Status::Submitted);
        // Made beforehand: what is known takes no request, and the rest is asked for side by side.
        let opening = submitted.map(|proposal| {
            references.insert(proposal.id, proposal.reference.clone());
            let known = known.remove(&proposal.id).map(|known| known.counted(proposal.id));
            let (call, roles, facts) = (call, roles, &facts);
            async move {
                let (is_new, reviews) = match known {
                    Some(known) => (false, Ok(known)),
                    // Boxed, so that what waits for its turn is small.
                    None => (true, Box::pin(self.reviewed(proposal, call, roles, facts)).await),
                };
                (proposal.id, is_new, reviews)
            }
        });
        let opening: Vec<_> = opening.collect();
        let mut opening = pin!(stream::iter(opening).buffered(AT_ONCE));
        while let Some((id, is_new, reviews)) = opening.next().await {
            match reviews {
                Ok(reviews) => {
                    found.extend(KnownReviews::of(&reviews).filter(|_| is_new).map(|known| (id, known)));
                    let CountedReviews { line, revisions, said, invalid: faults } = reviews;
                    counted.insert(line.proposal, revisions);
                    comments.insert(line.proposal, said);
                    reviewed.push(line);
                    invalid.extend(faults);
                }
                Err(error @ ClientError::Transport { .. }) => return Err(error),
                // Also a proposal whose manifest does not verify: the others can be ranked, and it is said why this is not.
                Err(error) => closed.push((id, error)),
            }
        }
        self.keep_known(KnownKind::Reviews, call.call.id, marks, &found).await;
        let lines = rank(&call.rules.criteria, call.rules.total_threshold, &reviewed);
        let notes = self.notes_on(references.keys()).await?;
        Ok(Ranking { lines, invalid, closed, references, notes, comments, counted })
    }

    async fn reviewed(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        roles: &Roles,
        facts: &CallFacts,
    ) -> Result<CountedReviews> {
        let opened = self.open_reviews_of(proposal, call).await?;
        let shown = match self.api().assignments(proposal.id).await {
            // Who decides and is no officer is not shown who is assigned; to them nobody is missing.
            Err(error) if error.slug() == Some("denied") && !facts.officers().contains(&self.member_id().await?) => {
                Vec::new()
            }
            shown => shown?,
        };
        let facts = self.facts_of_reviewers(proposal, call, roles, facts, &shown, &opened).await?;
        let mut set_aside = BTreeMap::new();
        for line in &shown {
            let judged = self.judged(&facts, &line.reviewer).await?;
            set_aside.extend(judged.or(line.set_aside).map(|aside| (line.reviewer.clone(), aside)));
        }
        for review in opened.reviews.iter().map(|opened| &opened.review).chain(&opened.reopened) {
            let judged = self.judged(&facts, &review.reviewer).await?;
            set_aside.extend(judged.or(review.set_aside).map(|aside| (review.reviewer.clone(), aside)));
        }
        let assigned = shown.into_iter().map(|line| line.reviewer).collect();
        assemble(proposal.id, &call.rules.criteria, &assigned, set_aside, opened)
    }

    /// What decides whether reviews count. To an officer the exchange shows everything that was signed, and what it does not show was
    /// not; to others it shows their own part, and the rest is as it says.
    async fn facts_of_reviewers(
        &self,
        proposal: &Proposal,
        verified: &VerifiedCall,
        roles: &Roles,
        call: &CallFacts,
        shown: &[Assignment],
        opened: &OpenedReviews,
    ) -> Result<ProposalFacts> {
        let (assigned, interests): (BTreeSet<MemberId>, Interests) =
            if call.officers().contains(&self.member_id().await?) {
                let verified = self.verify_assignments(proposal.id, proposal.call, roles, shown.to_vec()).await?;
                let assigned = verified.into_iter().map(|line| line.reviewer).collect();
                (assigned, self.interests(proposal, roles).await?)
            } else {
                let reviews = opened.reviews.iter().map(|opened| &opened.review).chain(&opened.reopened);
                let reviewers = reviews.map(|review| review.reviewer.clone());
                (reviewers.chain(shown.iter().map(|line| line.reviewer.clone())).collect(), Interests::default())
            };
        let party_members: BTreeSet<MemberId> = proposal.parties.values().flatten().cloned().collect();
        let verified = VerifiedFacts {
            call: call.clone(),
            assigned,
            interests,
            owners: proposal.parties.keys().cloned().collect(),
            organisations: self.organisations_of(proposal, verified).await?,
            decided: false,
            label: None,
        };
        Ok(proposal_facts(
            proposal.id,
            proposal.status,
            verified,
            UnverifiedFacts { party_members, ..UnverifiedFacts::default() },
        ))
    }

    async fn judged(&self, facts: &ProposalFacts, reviewer: &MemberId) -> Result<Option<SetAside>> {
        let card = &self.recent_member(reviewer).await?.card;
        let organisation = card.organisation.clone();
        let holder = MemberFacts { id: reviewer.clone(), organisation, roles: card.roles.clone(), host: false };
        Ok(review_set_aside(facts, reviewer, Some(&holder).filter(|_| card.status == CardStatus::Active)))
    }
}

/// What a line is made of.
struct CountedReviews {
    line: Reviewed,
    /// Whose review is in it, and which revision.
    revisions: BTreeMap<MemberId, u32>,
    /// What these reviews say of each criterion.
    said: BTreeMap<Slug, Vec<String>>,
    /// Those that did not verify.
    invalid: Vec<InvalidReview>,
}

/// The same as it is kept on this machine. Where a review does not verify, or was reopened, nothing is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownReviews {
    /// Hundredths of a point.
    scores: BTreeMap<MemberId, BTreeMap<Slug, i64>>,
    missing: BTreeSet<MemberId>,
    set_aside: BTreeMap<MemberId, SetAside>,
    revisions: BTreeMap<MemberId, u32>,
    said: BTreeMap<Slug, Vec<String>>,
}

impl KnownReviews {
    fn of(reviews: &CountedReviews) -> Option<Self> {
        let CountedReviews { line, revisions, said, invalid } = reviews;
        if !invalid.is_empty() || !line.reopened.is_empty() {
            return None;
        }
        let hundredths = |scores: &BTreeMap<Slug, Points>| {
            scores.iter().map(|(name, points)| (name.clone(), points.hundredths())).collect()
        };
        Some(Self {
            scores: line.scores.iter().map(|(member, scores)| (member.clone(), hundredths(scores))).collect(),
            missing: line.missing.clone(),
            set_aside: line.set_aside.clone(),
            revisions: revisions.clone(),
            said: said.clone(),
        })
    }

    fn counted(self, proposal: ProposalId) -> CountedReviews {
        let Self { scores, missing, set_aside, revisions, said } = self;
        let points = |scores: BTreeMap<Slug, i64>| {
            scores.into_iter().map(|(name, hundredths)| (name, Points::from_hundredths(hundredths))).collect()
        };
        let scores = scores.into_iter().map(|(member, scores)| (member, points(scores))).collect();
        let line = Reviewed { proposal, scores, missing, set_aside, reopened: BTreeMap::new() };
        CountedReviews { line, revisions, said, invalid: Vec::new() }
    }
}

/// A proposal's line of the ranking, out of what opened.
fn assemble(
    proposal: ProposalId,
    criteria: &[Criterion],
    assigned: &BTreeSet<MemberId>,
    mut set_aside: BTreeMap<MemberId, SetAside>,
    opened: OpenedReviews,
) -> Result<CountedReviews> {
    // A reviewer who is set aside owes no review.
    let mut missing = missing(assigned, &opened);
    missing.retain(|reviewer| !set_aside.contains_key(reviewer));
    let counting = opened.reviews.iter().filter(|opened| !set_aside.contains_key(&opened.review.reviewer));
    let scores = counting.map(|opened| {
        // Checked when it was opened; the arithmetic after this relies on it.
        Ok((opened.review.reviewer.clone(), opened.body.points(criteria)?))
    });
    let scores: BTreeMap<_, _> = scores.collect::<Result<_>>()?;
    let (mut revisions, mut said) = (BTreeMap::new(), BTreeMap::<Slug, Vec<String>>::new());
    for OpenedReview { review, body } in &opened.reviews {
        if scores.contains_key(&review.reviewer) {
            revisions.insert(review.reviewer.clone(), review.revision);
            let comments = body.comments.iter().filter(|(_, text)| !text.trim().is_empty());
            comments.for_each(|(name, text)| said.entry(name.clone()).or_default().push(text.clone()));
        }
    }
    let reopened = opened.reopened.into_iter().filter_map(|review| {
        let reopening = Reopening { at: review.reopened_at?.0, by: review.reopened_by };
        Some((review.reviewer, reopening))
    });
    let reopened: BTreeMap<_, _> = reopened.collect();
    let has_opened = |reviewer: &MemberId| opened.reviews.iter().any(|opened| opened.review.reviewer == *reviewer);
    set_aside.retain(|reviewer, _| has_opened(reviewer) || reopened.contains_key(reviewer));
    let line = Reviewed { proposal, scores, missing, set_aside, reopened };
    Ok(CountedReviews { line, revisions, said, invalid: opened.invalid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{
            reviews::ReviewBody,
            testing::{at, call, proposal},
        },
        domain::{id::Sha256, review::ExactPoints},
        wire::review::Review,
    };

    fn opened(reviewer: &str, merit: f64, impact: f64) -> OpenedReview {
        let scores = [("merit", merit), ("impact", impact)].map(|(name, score)| (name.parse().unwrap(), score));
        let review = Review {
            id: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            proposal: proposal().id,
            reference: proposal().reference,
            reviewer: reviewer.parse().unwrap(),
            revision: 1,
            manifest_sha256: Sha256::of(b"manifest"),
            submitted_at: at("2026-05-01T00:00:00Z").into(),
            reopened_at: None,
            reopened_by: None,
            set_aside: None,
            statement: String::new(),
            ciphertext: None,
        };
        OpenedReview { review, body: ReviewBody { scores: scores.into(), ..ReviewBody::default() } }
    }

    #[test]
    fn ranking_takes_valid_reviews_and_names_who_is_missing() {
        let assigned = ["GBR:ann", "ISR:noa", "KOR:kim"].map(|member| member.parse().unwrap()).into();
        let invalid = InvalidReview {
            id: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            proposal: proposal().id,
            reviewer: "ISR:noa".parse().unwrap(),
            fault: ClientError::unverified("other bytes", "ask"),
        };
        let reviews = OpenedReviews {
            reviews: vec![opened("GBR:ann", 4.0, 3.0)],
            invalid: vec![invalid],
            ..OpenedReviews::default()
        };
        let call = call();
        let CountedReviews { line, revisions, invalid, .. } =
            assemble(proposal().id, &call.rules.criteria, &assigned, BTreeMap::new(), reviews).unwrap();
        let lines = rank(&call.rules.criteria, None, &[line]);
        assert_eq!((lines[0].rank, lines[0].reviews, invalid.len()), (Some(1), 1, 1));
        assert_eq!(revisions, [("GBR:ann".parse().unwrap(), 1)].into());
        assert_eq!(lines[0].missing, ["ISR:noa", "KOR:kim"].map(|member| member.parse().unwrap()).into());
        // (2 × 4 + 1 × 3) / 3 × 2 criteria
        assert_eq!(lines[0].total.map(ExactPoints::rounded), Some(Points::from_hundredths(733)));
    }

    #[test]
    fn review_without_all_scores_never_reaches_the_arithmetic() {
        let mut one = opened("GBR:ann", 4.0, 3.0);
        one.body.scores.pop_last();
        let reviews = OpenedReviews { reviews: vec![one], ..OpenedReviews::default() };
        let set_aside = BTreeMap::new();
        assert!(assemble(proposal().id, &call().rules.criteria, &BTreeSet::new(), set_aside, reviews).is_err());
    }

    #[test]
    fn review_that_is_set_aside_is_in_no_number_and_owed_by_nobody() {
        let assigned = ["GBR:ann", "ISR:noa", "KOR:kim"].map(|member| member.parse().unwrap()).into();
        let aside = |member: &str, why| (member.parse::<MemberId>().unwrap(), why);
        let set_aside = [aside("GBR:ann", SetAside::Conflict), aside("KOR:kim", SetAside::Card)].into();
        let reviews = vec![opened("GBR:ann", 5.0, 5.0), opened("ISR:noa", 1.0, 1.0)];
        let reviews = OpenedReviews { reviews, ..OpenedReviews::default() };
        let call = call();
        let CountedReviews { line, .. } =
            assemble(proposal().id, &call.rules.criteria, &assigned, set_aside, reviews).unwrap();
        let line = rank(&call.rules.criteria, None, &[line]).remove(0);
        assert_eq!((line.total, line.reviews), (Some(Points::from_hundredths(200).into()), 1));
        assert_eq!((line.spread, line.missing.len()), (Points::from_hundredths(0).into(), 0));
        assert_eq!(line.set_aside, [aside("GBR:ann", SetAside::Conflict)].into(), "Kim has handed nothing in");
    }

    #[test]
    fn reopened_review_is_named_and_in_no_number() {
        let assigned = ["GBR:ann", "ISR:noa"].map(|member| member.parse().unwrap()).into();
        let reopened_at = at("2026-05-02T00:00:00Z");
        let reopened = |reviewer: &str| Review {
            reopened_at: Some(reopened_at.into()),
            reopened_by: Some("KOR:office".parse().unwrap()),
            ..opened(reviewer, 5.0, 5.0).review
        };
        let reviews = OpenedReviews {
            reviews: vec![opened("ISR:noa", 1.0, 1.0)],
            reopened: vec![reopened("GBR:ann"), reopened("KOR:kim")],
            ..OpenedReviews::default()
        };
        let (call, ann): (_, MemberId) = (call(), "GBR:ann".parse().unwrap());
        let set_aside = [("KOR:kim".parse().unwrap(), SetAside::Role)].into();
        let CountedReviews { line, .. } =
            assemble(proposal().id, &call.rules.criteria, &assigned, set_aside, reviews).unwrap();
        let line = rank(&call.rules.criteria, None, &[line]).remove(0);
        assert_eq!((line.total, line.reviews), (Some(Points::from_hundredths(200).into()), 1));
        assert_eq!(line.missing, [ann.clone()].into(), "Ann owes another");
        let reopening = Reopening { at: reopened_at, by: Some("KOR:office".parse().unwrap()) };
        assert_eq!((line.reopened.len(), &line.reopened[&ann]), (2, &reopening));
        assert_eq!(line.set_aside.len(), 1, "taking it back would not bring Kim's into the numbers");
    }
}
