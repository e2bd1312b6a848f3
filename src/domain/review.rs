//! Criteria, scores and the ranking that follows from them.
//!
//! Everything here is arithmetic on opened reviews and runs on the reviewer's and the officer's own machine; the server
//! never sees a score.

use super::{
    Refusal,
    id::{MemberId, ProposalId, Slug},
    reopening::Reopening,
    set_aside::SetAside,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A score or threshold in hundredths of a point, so that sums and comparisons are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Points(i64);

impl Points {
    /// So many hundredths of a point.
    #[must_use]
    pub const fn from_hundredths(hundredths: i64) -> Self {
        Self(hundredths)
    }

    /// Reads a JSON number; `None` unless it is a multiple of 0.01 between 0 and 10,000.
    #[must_use]
    pub fn from_number(number: f64) -> Option<Self> {
        let hundredths = (number * 100.0).round();
        let exact = (hundredths / 100.0 - number).abs() < 1e-9 && (0.0..=1_000_000.0).contains(&hundredths);
        #[expect(clippy::cast_possible_truncation, reason = "checked to be within a million")]
        exact.then_some(Self(hundredths as i64))
    }

    /// The number as JSON and people write it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most a million hundredths times a small weight")]
    pub fn to_number(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// Hundredths of a point.
    #[must_use]
    pub const fn hundredths(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2}", self.to_number()))
    }
}

/// A number of points as it follows from scores, which need not be a whole number of hundredths. Two are compared as they are; rounded is
/// only what people read.
#[derive(Debug, Clone, Copy)]
pub struct ExactPoints {
    /// Hundredths of a point, divided by the next number.
    hundredths: i64,
    /// Positive.
    divisor: i64,
}

impl ExactPoints {
    /// So many hundredths of a point, divided by a positive number.
    #[must_use]
    pub fn new(hundredths: i64, divisor: i64) -> Self {
        assert!(divisor > 0, "nothing is divided by less than one reviewer or weight");
        Self { hundredths, divisor }
    }

    /// The same of numbers that somebody else wrote.
    #[must_use]
    pub fn of_parts((hundredths, divisor): (i64, i64)) -> Option<Self> {
        (divisor > 0 && hundredths >= 0).then_some(Self { hundredths, divisor })
    }

    /// The hundredths, and by what they are divided.
    #[must_use]
    pub fn parts(self) -> (i64, i64) {
        (self.hundredths, self.divisor)
    }

    /// To whole hundredths, half of one upwards.
    #[must_use]
    pub fn rounded(self) -> Points {
        let (hundredths, divisor) = (i128::from(self.hundredths), i128::from(self.divisor));
        let rounded = (2 * hundredths + divisor).div_euclid(2 * divisor);
        Points(i64::try_from(rounded).expect("no more than before it was divided"))
    }
}

impl Ord for ExactPoints {
    fn cmp(&self, other: &Self) -> Ordering {
        let crossed = |one: &Self, other: &Self| i128::from(one.hundredths) * i128::from(other.divisor);
        crossed(self, other).cmp(&crossed(other, self))
    }
}

impl PartialOrd for ExactPoints {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ExactPoints {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ExactPoints {}

impl From<Points> for ExactPoints {
    fn from(points: Points) -> Self {
        Self::new(points.0, 1)
    }
}

impl fmt::Display for ExactPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rounded().fmt(f)
    }
}

/// One thing that reviewers score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    pub name: Slug,
    pub title: String,
    /// Highest score; the lowest is 0.
    pub max: Points,
    /// Scores are whole multiples of it.
    pub step: Points,
    /// Share in the total; the total is the weighted sum divided by the sum of weights, times the number of criteria.
    pub weight: u32,
    /// Least average score that a proposal needs here.
    pub threshold: Option<Points>,
}

/// Largest weight of a criterion.
pub const MAX_WEIGHT: u32 = 1000;

impl Criterion {
    /// Checks that the scale makes sense.
    pub fn validate(&self) -> Result<(), Refusal> {
        let fault = |what: &str| Err(Refusal::CallText { fault: format!("criterion `{}`: {what}", self.name) });
        if self.max.0 <= 0 || self.step.0 <= 0 || self.max.0 % self.step.0 != 0 {
            return fault("the highest score must be a positive multiple of the step");
        }
        if self.weight == 0 || self.weight > MAX_WEIGHT {
            return fault("the weight is a whole number from 1 to 1000");
        }
        if self.threshold.is_some_and(|t| t > self.max || t.0 < 0) {
            return fault("the threshold lies beyond the scale");
        }
        Ok(())
    }

    /// Whether `score` is on the scale.
    #[must_use]
    pub fn admits(&self, score: Points) -> bool {
        (0..=self.max.0).contains(&score.0) && score.0 % self.step.0 == 0
    }
}

/// What is wrong with a set of scores.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoreFault {
    #[error("criterion `{name}` has no score")]
    Missing { name: Slug },
    #[error("the call has no criterion `{name}`")]
    Unknown { name: Slug },
    #[error("`{name}` is scored {score}, off the scale of 0 to {max} in steps of {step}")]
    OffScale { name: Slug, score: Points, max: Points, step: Points },
}

/// Checks that there is exactly one score per criterion, each on its scale.
pub fn check_scores(criteria: &[Criterion], scores: &BTreeMap<Slug, Points>) -> Result<(), ScoreFault> {
    let known: BTreeSet<&Slug> = criteria.iter().map(|c| &c.name).collect();
    if let Some(name) = scores.keys().find(|name| !known.contains(name)) {
        return Err(ScoreFault::Unknown { name: name.clone() });
    }
    for Criterion { name, max, step, .. } in criteria {
        let Some(&score) = scores.get(name) else { return Err(ScoreFault::Missing { name: name.clone() }) };
        let criterion = criteria.iter().find(|c| c.name == *name).expect("iterating over the same list");
        if !criterion.admits(score) {
            return Err(ScoreFault::OffScale { name: name.clone(), score, max: *max, step: *step });
        }
    }
    Ok(())
}

/// The opened reviews of one proposal.
#[derive(Debug, Clone)]
pub struct Reviewed {
    pub proposal: ProposalId,
    /// Valid scores by reviewer.
    pub scores: BTreeMap<MemberId, BTreeMap<Slug, Points>>,
    /// Assigned reviewers whose review is not in, or did not verify.
    pub missing: BTreeSet<MemberId>,
    /// Members whose review is on record and no longer counts.
    pub set_aside: BTreeMap<MemberId, SetAside>,
    /// Members whose newest review was reopened.
    pub reopened: BTreeMap<MemberId, Reopening>,
}

/// A line of the ranking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    pub proposal: ProposalId,
    /// 1 for the best; equal totals share a rank. `None` when below a threshold or without any review.
    pub rank: Option<u32>,
    /// Whether another one has the same rank.
    pub is_tied: bool,
    /// Weighted total of the averages; `None` without any review.
    pub total: Option<ExactPoints>,
    /// The reviewer's weighted total in the middle, or halfway between the two there; `None` without any review.
    pub median: Option<ExactPoints>,
    /// Average per criterion, rounded to hundredths.
    pub averages: BTreeMap<Slug, Points>,
    /// Difference between the highest and the lowest reviewer's weighted total.
    pub spread: ExactPoints,
    /// Criteria whose threshold is missed; `total` stands for the call's total threshold.
    pub below: BTreeSet<String>,
    pub missing: BTreeSet<MemberId>,
    /// Whose review is on record and is in none of these numbers.
    pub set_aside: BTreeMap<MemberId, SetAside>,
    /// Whose newest review was reopened: it is in none of these numbers either, and if it is still owed, it is missing too.
    pub reopened: BTreeMap<MemberId, Reopening>,
    pub reviews: u32,
}

/// Whether the highest scores reach a least total. Both sides are multiplied by the sum of the weights, so that nothing is rounded.
#[must_use]
pub fn is_within_reach(least: Points, criteria: &[Criterion]) -> bool {
    let weights: i64 = criteria.iter().map(|c| i64::from(c.weight)).sum();
    let best: i64 = criteria.iter().map(|c| c.max.0 * i64::from(c.weight)).sum();
    let share = i64::try_from(criteria.len()).expect("at most 20 criteria");
    least.0 * weights <= best * share
}

/// Ranks proposals: thresholds first, then weighted totals, best first. Ties keep the order of identifiers.
#[must_use]
pub fn rank(criteria: &[Criterion], total_threshold: Option<Points>, reviewed: &[Reviewed]) -> Vec<Ranked> {
    let mut lines = reviewed.iter().map(|r| line(criteria, total_threshold, r)).collect();
    put_in_order(&mut lines);
    lines
}

/// Puts lines in the order of a ranking and gives each its rank among these, whatever ranks they had among others.
pub fn put_in_order(lines: &mut Vec<Ranked>) {
    lines.sort_by(|a, b| {
        let key = |l: &Ranked| (l.total.is_none(), !l.below.is_empty());
        key(a).cmp(&key(b)).then(b.total.cmp(&a.total)).then(a.proposal.cmp(&b.proposal))
    });
    let (mut previous, mut place) = (None, 0);
    let mut holders: BTreeMap<u32, u32> = BTreeMap::new();
    for ranked in lines.iter_mut() {
        (ranked.rank, ranked.is_tied) = (None, false);
        let Some(total) = ranked.total.filter(|_| ranked.below.is_empty()) else { continue };
        place += 1;
        let rank = previous.filter(|(t, _)| *t == total).map_or(place, |(_, rank)| rank);
        ranked.rank = Some(rank);
        previous = Some((total, rank));
        *holders.entry(rank).or_default() += 1;
    }
    for ranked in lines {
        ranked.is_tied = ranked.rank.is_some_and(|rank| holders[&rank] > 1);
    }
}

fn line(criteria: &[Criterion], total_threshold: Option<Points>, reviewed: &Reviewed) -> Ranked {
    let count = i64::try_from(reviewed.scores.len()).expect("fewer reviewers than 2^63");
    let mut ranked = Ranked {
        proposal: reviewed.proposal,
        rank: None,
        is_tied: false,
        total: None,
        median: None,
        averages: BTreeMap::new(),
        spread: Points(0).into(),
        below: BTreeSet::new(),
        missing: reviewed.missing.clone(),
        set_aside: reviewed.set_aside.clone(),
        reopened: reviewed.reopened.clone(),
        reviews: u32::try_from(count).expect("fewer reviewers than 2^32"),
    };
    if count == 0 {
        return ranked;
    }
    let sum = |name: &Slug| -> i64 { reviewed.scores.values().map(|s| s[name].0).sum() };
    for criterion in criteria {
        let sum = sum(&criterion.name);
        ranked.averages.insert(criterion.name.clone(), Points(div_round(sum, count)));
        // Compared as a product, so that rounding never lifts a proposal over a threshold.
        if criterion.threshold.is_some_and(|t| sum < t.0 * count) {
            ranked.below.insert(criterion.name.to_string());
        }
    }
    let weights: i64 = criteria.iter().map(|c| i64::from(c.weight)).sum();
    let share = i64::try_from(criteria.len()).expect("at most 20 criteria");
    let weighted = |of: &dyn Fn(&Slug) -> i64| -> i64 {
        criteria.iter().map(|c| of(&c.name) * i64::from(c.weight)).sum::<i64>() * share
    };
    let total = weighted(&sum);
    ranked.total = Some(ExactPoints::new(total, weights * count));
    if total_threshold.is_some_and(|t| total < t.0 * weights * count) {
        ranked.below.insert("total".into());
    }
    let mut each: Vec<i64> = reviewed.scores.values().map(|s| weighted(&|name| s[name].0)).collect();
    each.sort_unstable();
    let (low, high) = (each[0], each[each.len() - 1]);
    ranked.spread = ExactPoints::new(high - low, weights);
    // The same one twice where there is one in the middle.
    let (before, after) = (each[(each.len() - 1) / 2], each[each.len() / 2]);
    ranked.median = Some(ExactPoints::new(before + after, 2 * weights));
    ranked
}

fn div_round(numerator: i64, denominator: i64) -> i64 {
    (numerator + denominator / 2).div_euclid(denominator)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(text: &str) -> Slug {
        text.parse().unwrap()
    }

    fn criterion(name: &str, weight: u32, threshold: Option<i64>) -> Criterion {
        Criterion {
            name: slug(name),
            title: name.into(),
            max: Points(500),
            step: Points(50),
            weight,
            threshold: threshold.map(Points),
        }
    }

    fn reviewed(last: char, scores: &[(&str, [i64; 2])]) -> Reviewed {
        let scores = scores
            .iter()
            .map(|(who, [a, b])| {
                (who.parse().unwrap(), BTreeMap::from([(slug("merit"), Points(*a)), (slug("impact"), Points(*b))]))
            })
            .collect();
        let proposal = format!("prop_01J9ZQ4N6M8V7X5T3R2P1K0HG{last}").parse().unwrap();
        Reviewed { proposal, scores, missing: BTreeSet::new(), set_aside: BTreeMap::new(), reopened: BTreeMap::new() }
    }

    #[test]
    fn score_off_the_scale_is_refused() {
        let criteria = [criterion("merit", 1, None)];
        for (score, good) in [(0, true), (450, true), (500, true), (550, false), (425, false), (-50, false)] {
            let scores = BTreeMap::from([(slug("merit"), Points(score))]);
            assert_eq!(check_scores(&criteria, &scores).is_ok(), good, "{score}");
        }
        assert!(matches!(check_scores(&criteria, &BTreeMap::new()), Err(ScoreFault::Missing { .. })));
        let unknown = BTreeMap::from([(slug("merit"), Points(0)), (slug("style"), Points(0))]);
        assert!(matches!(check_scores(&criteria, &unknown), Err(ScoreFault::Unknown { .. })));
    }

    #[test]
    fn ranking_weighs_averages_and_sets_apart_what_misses_a_threshold() {
        let criteria = [criterion("merit", 2, Some(300)), criterion("impact", 1, None)];
        let lines = rank(
            &criteria,
            Some(Points(600)),
            &[
                reviewed('A', &[("ISR:a", [400, 300]), ("USA:b", [500, 400])]),
                reviewed('B', &[("ISR:a", [250, 500]), ("USA:b", [300, 500])]),
                reviewed('C', &[]),
                reviewed('D', &[("ISR:a", [450, 350]), ("USA:b", [450, 350])]),
            ],
        );
        let order: Vec<(Option<u32>, char)> =
            lines.iter().map(|l| (l.rank, l.proposal.to_string().pop().unwrap())).collect();
        assert_eq!(order, [(Some(1), 'A'), (Some(1), 'D'), (None, 'B'), (None, 'C')]);
        // (2 × 4.5 + 1 × 3.5) / 3 × 2 criteria
        assert_eq!(lines[0].total, Some(ExactPoints::new(2500, 3)));
        assert_eq!(lines[0].total.unwrap().rounded(), Points(833));
        assert_eq!((lines[0].spread, lines[0].is_tied), (Points(200).into(), true));
        assert_eq!(lines[2].below, BTreeSet::from(["merit".to_owned()]));
    }

    fn ranked(lines: &[Ranked]) -> Vec<(char, Option<u32>, bool)> {
        lines.iter().map(|l| (l.proposal.to_string().pop().unwrap(), l.rank, l.is_tied)).collect()
    }

    #[test]
    fn totals_that_round_to_the_same_number_are_no_tie() {
        let mut merit = criterion("merit", 1, None);
        merit.step = Points(1);
        let criteria = [merit];
        let of = |last, scores: &[(&str, i64)]| {
            let both: Vec<_> = scores.iter().map(|(who, score)| (*who, [*score, 0])).collect();
            let mut reviewed = reviewed(last, &both);
            reviewed.scores.values_mut().for_each(|scores| scores.retain(|name, _| *name == slug("merit")));
            reviewed
        };
        // 3.33, 3.3333…, and the same with six reviewers; 3.335 is rounded up, and before 3.34 in no order.
        let lines = rank(
            &criteria,
            None,
            &[
                of('A', &[("ISR:a", 333)]),
                of('B', &[("ISR:a", 333), ("ISR:b", 333), ("ISR:c", 334)]),
                of(
                    'C',
                    &["ISR:a", "ISR:b", "ISR:c", "ISR:d", "ISR:e", "ISR:f"]
                        .map(|who| (who, if who < "ISR:c" { 334 } else { 333 })),
                ),
                of('D', &[("ISR:a", 333), ("ISR:b", 334)]),
                of('E', &[("ISR:a", 334)]),
            ],
        );
        let wanted = [('E', Some(1), false), ('D', Some(2), false), ('B', Some(3), true), ('C', Some(3), true)];
        assert_eq!(ranked(&lines[..4]), wanted);
        assert_eq!(ranked(&lines[4..]), [('A', Some(5), false)]);
        let shown: Vec<String> = lines.iter().map(|line| line.total.unwrap().to_string()).collect();
        assert_eq!(shown, ["3.34", "3.34", "3.33", "3.33", "3.33"]);
    }

    #[test]
    fn median_is_in_the_middle_of_the_reviewers_totals() {
        let criteria = [criterion("merit", 2, None), criterion("impact", 1, None)];
        let of = |scores: &[(&str, [i64; 2])]| rank(&criteria, None, &[reviewed('A', scores)]).remove(0);
        let (low, middle, high) = (("ISR:a", [100, 100]), ("ISR:b", [400, 100]), ("ISR:c", [500, 500]));
        assert_eq!(of(&[low, middle, high]).median, Some(Points(600).into()), "(2 × 4 + 1) / 3 × 2");
        assert_eq!(of(&[high, low]).median, Some(Points(600).into()));
        assert_eq!(of(&[low, middle]).median, Some(Points(400).into()));
        assert_eq!((of(&[]).median, of(&[]).spread), (None, Points(0).into()));
    }

    #[test]
    fn lines_among_fewer_have_the_ranks_that_they_have_there() {
        let criteria = [criterion("merit", 1, None), criterion("impact", 1, None)];
        let of = |last, score| reviewed(last, &[("ISR:a", [score, score])]);
        let mut lines = rank(&criteria, None, &[of('A', 500), of('B', 450), of('C', 450), of('D', 300)]);
        assert_eq!(ranked(&lines)[3], ('D', Some(4), false));
        lines.retain(|line| line.proposal.to_string().ends_with(['B', 'D']));
        lines.reverse();
        put_in_order(&mut lines);
        assert_eq!(ranked(&lines), [('B', Some(1), false), ('D', Some(2), false)]);
    }

    #[test]
    fn numbers_keep_two_decimals_exactly() {
        assert_eq!(Points::from_number(4.35), Some(Points(435)));
        assert_eq!(Points::from_number(4.355), None);
        assert_eq!(Points::from_number(f64::NAN), None);
        assert_eq!(Points::from_number(-1.0), None);
    }
}
