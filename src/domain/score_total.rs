//! What one reviewer's scores come to while they are given: the weighted total so far, and which thresholds they miss.
//!
//! The ranking averages over reviewers (`review`); this is for a reviewer who has not handed in yet.

use super::{
    id::Slug,
    review::{Criterion, Points},
};
use std::collections::{BTreeMap, BTreeSet};

/// What the scores of one reviewer come to. Criteria without a score count nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreTotal {
    /// How many criteria have a score, and how many there are.
    pub scored: usize,
    pub criteria: usize,
    /// Weighted as in the ranking, rounded to hundredths.
    pub total: Points,
    /// The total of the highest scores.
    pub best: Points,
    /// Criteria scored below their threshold. `total` stands for the call's total threshold once every criterion has a score.
    pub below: BTreeSet<String>,
}

impl ScoreTotal {
    /// The total of these scores, each on its scale.
    #[must_use]
    pub fn of(criteria: &[Criterion], total_threshold: Option<Points>, scores: &BTreeMap<Slug, Points>) -> Self {
        let weights: i64 = criteria.iter().map(|criterion| i64::from(criterion.weight)).sum();
        let share = i64::try_from(criteria.len()).expect("at most 20 criteria");
        let weighted = |of: &dyn Fn(&Criterion) -> i64| -> i64 {
            criteria.iter().map(|criterion| of(criterion) * i64::from(criterion.weight)).sum::<i64>() * share
        };
        let score = |criterion: &Criterion| scores.get(&criterion.name).copied();
        let sum = weighted(&|criterion| score(criterion).map_or(0, Points::hundredths));
        let scored = criteria.iter().filter(|criterion| score(criterion).is_some()).count();
        let is_below = |criterion: &&Criterion| {
            score(criterion).zip(criterion.threshold).is_some_and(|(score, threshold)| score < threshold)
        };
        let mut below: BTreeSet<String> =
            criteria.iter().filter(is_below).map(|criterion| criterion.name.to_string()).collect();
        // Compared as a product, so that rounding never lifts a total over the threshold.
        if scored == criteria.len() && total_threshold.is_some_and(|least| sum < least.hundredths() * weights) {
            below.insert("total".into());
        }
        let rounded = |sum: i64| Points::from_hundredths((sum + weights / 2).div_euclid(weights.max(1)));
        let best = weighted(&|criterion| criterion.max.hundredths());
        Self { scored, criteria: criteria.len(), total: rounded(sum), best: rounded(best), below }
    }

    /// Whether every criterion has a score.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.scored == self.criteria
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        id::ProposalId,
        review::{ExactPoints, Reviewed, rank},
    };

    fn criteria() -> [Criterion; 2] {
        let criterion = |name: &str, weight, threshold: Option<i64>| Criterion {
            name: name.parse().unwrap(),
            title: name.into(),
            max: Points::from_hundredths(500),
            step: Points::from_hundredths(50),
            weight,
            threshold: threshold.map(Points::from_hundredths),
        };
        [criterion("merit", 2, Some(300)), criterion("impact", 1, None)]
    }

    fn total(scores: &[(&str, i64)]) -> ScoreTotal {
        let scores = scores.iter().map(|(name, score)| (name.parse().unwrap(), Points::from_hundredths(*score)));
        ScoreTotal::of(&criteria(), Some(Points::from_hundredths(600)), &scores.collect())
    }

    #[test]
    fn total_runs_as_criteria_are_scored() {
        let none = total(&[]);
        assert_eq!((none.scored, none.total, none.below.len()), (0, Points::from_hundredths(0), 0));
        let half = total(&[("merit", 250)]);
        assert_eq!((half.total, half.best), (Points::from_hundredths(333), Points::from_hundredths(1000)));
        assert_eq!(half.below, ["merit".to_owned()].into(), "the total is not judged before all is scored");
        let low = total(&[("merit", 300), ("impact", 250)]);
        assert!(low.is_complete() && low.below == ["total".to_owned()].into(), "{low:?}");
        assert!(total(&[("merit", 300), ("impact", 300)]).below.is_empty(), "the threshold itself is enough");
    }

    #[test]
    fn total_of_one_reviewer_is_that_of_the_ranking() {
        for (merit, impact) in [(450, 350), (300, 300), (250, 500), (0, 0), (500, 450)] {
            let scores = [("merit", merit), ("impact", impact)]
                .map(|(name, score)| (name.parse().unwrap(), Points::from_hundredths(score)));
            let proposal: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
            let reviewed = Reviewed {
                proposal,
                scores: [("ISR:a".parse().unwrap(), scores.into())].into(),
                missing: [].into(),
                set_aside: [].into(),
                reopened: [].into(),
            };
            let ranked = &rank(&criteria(), Some(Points::from_hundredths(600)), &[reviewed])[0];
            let own = total(&[("merit", merit), ("impact", impact)]);
            let total = ranked.total.map(ExactPoints::rounded);
            assert_eq!((Some(own.total), &own.below), (total, &ranked.below), "{merit} {impact}");
        }
    }
}
