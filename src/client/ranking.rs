//! The ranking of a call, computed here from reviews opened here: the exchange never sees a score.

use super::{
    Client, ClientError, Result,
    calls::VerifiedCall,
    reviews::{InvalidReview, OpenedReviews, missing},
};
use crate::{
    domain::{
        id::{CallId, MemberId, ProposalId},
        proposal::Status,
        review::{Criterion, Ranked, Reviewed, rank},
    },
    wire::proposal::Proposal,
};
use std::collections::BTreeSet;

/// The ranking of a call.
#[derive(Debug)]
pub struct Ranking {
    /// Best first; those below a threshold after those with a rank, those without a review last.
    pub lines: Vec<Ranked>,
    /// Reviews that did not verify. They count as missing.
    pub invalid: Vec<InvalidReview>,
    /// Proposals whose reviews are closed to the caller, and why. They are not ranked.
    pub closed: Vec<(ProposalId, ClientError)>,
}

impl Client {
    /// Opens every review of every submitted proposal that the caller sees, and ranks.
    pub async fn ranking(&self, id: CallId) -> Result<Ranking> {
        let call = self.call(id).await?;
        let (mut reviewed, mut invalid, mut closed) = (Vec::new(), Vec::new(), Vec::new());
        for proposal in self.api().all_proposals(Some(id)).await? {
            if proposal.status != Status::Submitted {
                continue;
            }
            match self.reviewed(&proposal, &call).await {
                Ok((line, faults)) => {
                    reviewed.push(line);
                    invalid.extend(faults);
                }
                Err(error @ ClientError::Transport { .. }) => return Err(error),
                // Also a proposal whose manifest does not verify: the others can be ranked, and it is said why this is not.
                Err(error) => closed.push((proposal.id, error)),
            }
        }
        let lines = rank(&call.rules.criteria, call.rules.total_threshold, &reviewed);
        Ok(Ranking { lines, invalid, closed })
    }

    async fn reviewed(&self, proposal: &Proposal, call: &VerifiedCall) -> Result<(Reviewed, Vec<InvalidReview>)> {
        let opened = self.open_reviews_of(proposal, call).await?;
        let assigned = self.api().assignments(proposal.id).await?.into_iter().map(|line| line.reviewer).collect();
        assemble(proposal.id, &call.rules.criteria, &assigned, opened)
    }
}

/// A proposal's line of the ranking, out of what opened.
fn assemble(
    proposal: ProposalId,
    criteria: &[Criterion],
    assigned: &BTreeSet<MemberId>,
    opened: OpenedReviews,
) -> Result<(Reviewed, Vec<InvalidReview>)> {
    let missing = missing(assigned, &opened);
    let scores = opened.reviews.iter().map(|opened| {
        // Checked when it was opened; the arithmetic after this relies on it.
        Ok((opened.review.reviewer.clone(), opened.body.points(criteria)?))
    });
    Ok((Reviewed { proposal, scores: scores.collect::<Result<_>>()?, missing }, opened.invalid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{
            reviews::{OpenedReview, ReviewBody},
            testing::{at, call, proposal},
        },
        domain::{id::Sha256, review::Points},
        wire::review::Review,
    };

    fn opened(reviewer: &str, merit: f64, impact: f64) -> OpenedReview {
        let scores = [("merit", merit), ("impact", impact)].map(|(name, score)| (name.parse().unwrap(), score));
        let review = Review {
            id: "rev_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            proposal: proposal().id,
            reviewer: reviewer.parse().unwrap(),
            revision: 1,
            manifest_sha256: Sha256::of(b"manifest"),
            submitted_at: at("2026-05-01T00:00:00Z").into(),
            reopened_at: None,
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
        let reviews = OpenedReviews { reviews: vec![opened("GBR:ann", 4.0, 3.0)], invalid: vec![invalid] };
        let call = call();
        let (line, invalid) = assemble(proposal().id, &call.rules.criteria, &assigned, reviews).unwrap();
        let lines = rank(&call.rules.criteria, None, &[line]);
        assert_eq!((lines[0].rank, lines[0].reviews, invalid.len()), (Some(1), 1, 1));
        assert_eq!(lines[0].missing, ["ISR:noa", "KOR:kim"].map(|member| member.parse().unwrap()).into());
        // (2 × 4 + 1 × 3) / 3 × 2 criteria
        assert_eq!(lines[0].total, Some(Points::from_hundredths(733)));
    }

    #[test]
    fn review_without_all_scores_never_reaches_the_arithmetic() {
        let mut one = opened("GBR:ann", 4.0, 3.0);
        one.body.scores.pop_last();
        let reviews = OpenedReviews { reviews: vec![one], invalid: Vec::new() };
        assert!(assemble(proposal().id, &call().rules.criteria, &BTreeSet::new(), reviews).is_err());
    }
}
