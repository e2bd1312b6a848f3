//! A condition on a proposal as data: what is left of the policies once the member and the action are known.
//!
//! Two-valued throughout: an atom about a topic that a proposal does not have is false, so a negation is true, as in no
//! database unless the query says so. Negation stands at the atoms alone. What is simplified here must mean the same before and
//! after; nothing here knows policies, tables or engines.

use super::{small_map::SmallMap, steps};
use crate::domain::{
    id::{IdBeginning, ProposalId},
    member::CallRole,
};
use std::{
    collections::{BTreeSet, HashSet},
    fmt,
};

/// So often at most a condition is gone through for what its parts settle of each other. What is left after that is longer than it could
/// be and means the same.
const MAX_ROUNDS: usize = 16;

/// Something that is true or false of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    Flag(Flag),
    /// The proposal has a topic.
    HasTopic,
    /// A text is this one.
    Equals(Text, String),
    /// Two texts are the same.
    Same(Text, Text),
    /// A text fits a pattern, letter case and all.
    Like(Text, Vec<Piece>),
    /// A set holds a value.
    Contains(Set, Value),
    /// Every member of a set is among these.
    Within(Set, BTreeSet<String>),
    /// A set of members holds the one who asks.
    Mine(Members),
    /// What a status comes down to at an instant; no policy speaks of these.
    Row(RowFact),
}

/// A yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// The call is a draft.
    Draft,
    /// The call's last deadline and grace have passed.
    Opened,
    /// The call is closed. Filters of lists ask for it, and no policy can.
    Closed,
    /// Every funder has signed a decision.
    Decided,
    /// A label restricts the proposal.
    Labelled,
}

/// A single text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Text {
    /// The call's phase.
    Phase,
    /// The lead of the call's program, a partner code.
    Lead,
    Status,
    /// May be absent.
    Topic,
}

/// A set of partner codes, of organisations or of caveats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// The partners of the call's program.
    Participants,
    /// Those whose members may be parties under the call.
    Eligible,
    Funders,
    /// Those that an officer of the call is of.
    OfficerPartners,
    Parties,
    /// Where the party members work, folded.
    Organisations,
    /// Those that the label names; none without a label.
    ReleasableTo,
    /// The label's.
    Caveats,
}

/// A set of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Members {
    /// The members with a role in the call.
    With(CallRole),
    PartyMembers,
    Conflicts,
    Assigned,
    DeclaredClear,
    Reviewed,
}

impl Members {
    /// Whether it is a set of the call's and not of the proposal's.
    #[must_use]
    pub fn is_of_call(self) -> bool {
        matches!(self, Self::With(_))
    }
}

/// What a set is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Written(String),
    Of(Text),
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    /// This very character.
    Letter(char),
    /// Any number of any characters.
    Anything,
}

impl Piece {
    /// Whether a text fits a pattern as a whole, as Cedar's `like` has it.
    #[must_use]
    pub fn fit(pattern: &[Self], text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut read) = (0, 0);
        // Where to go on when the last `Anything` has to take one letter more.
        let mut again: Option<(usize, usize)> = None;
        while read < text.len() {
            match pattern.get(at) {
                Some(Self::Letter(letter)) if *letter == text[read] => (at, read) = (at + 1, read + 1),
                Some(Self::Anything) => {
                    again = Some((at, read));
                    at += 1;
                }
                _ => {
                    let Some((anything, from)) = again else { return false };
                    again = Some((anything, from + 1));
                    (at, read) = (anything + 1, from + 1);
                }
            }
        }
        pattern[at..].iter().all(|piece| *piece == Self::Anything)
    }
}

/// What the row of a proposal says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowFact {
    Withdrawn,
    /// A version under this text of the call, or a later one, has every party's signature.
    CommittedSince(u32),
    /// The same, with every byte it names.
    CompleteSince(u32),
    OneOf(BTreeSet<ProposalId>),
    /// Its identifier begins so.
    Begins(IdBeginning),
}

/// A condition.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Predicate {
    Const(bool),
    Is(Atom),
    IsNot(Atom),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl From<Atom> for Predicate {
    fn from(atom: Atom) -> Self {
        Self::Is(atom)
    }
}

impl From<bool> for Predicate {
    fn from(value: bool) -> Self {
        Self::Const(value)
    }
}

impl Predicate {
    /// True when all parts are.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(parts, true)
    }

    /// True when some part is.
    pub fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        Self::joined(parts, false)
    }

    /// True when this is false.
    #[must_use]
    pub fn negated(&self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Is(atom) => Self::IsNot(atom.clone()),
            Self::IsNot(atom) => Self::Is(atom.clone()),
            // What was simplified stays so under De Morgan.
            Self::All(parts) => Self::Any(parts.iter().map(Self::negated).collect()),
            Self::Any(parts) => Self::All(parts.iter().map(Self::negated).collect()),
        }
    }

    /// True when both are true or both false.
    #[must_use]
    pub fn same(left: &Self, right: &Self) -> Self {
        Self::any([Self::all([left.clone(), right.clone()]), Self::all([left.negated(), right.negated()])])
    }

    /// What two conditions share, and what is left of each: `left` is the first and the second of what is returned, `right` the
    /// first and the third.
    #[must_use]
    pub fn apart(left: &Self, right: &Self) -> [Self; 3] {
        fn parts(of: &Predicate) -> &[Predicate] {
            match of {
                Predicate::All(parts) => parts,
                Predicate::Const(true) => &[],
                other => std::slice::from_ref(other),
            }
        }
        let (left, right) = (parts(left), parts(right));
        let (in_left, in_right): (HashSet<_>, HashSet<_>) = (left.iter().collect(), right.iter().collect());
        let (shared, left): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|part| in_right.contains(part));
        let right: Vec<_> = right.iter().filter(|part| !in_left.contains(part)).cloned().collect();
        [shared, left, right].map(|mut parts| match parts.len() {
            0 => Self::Const(true),
            1 => parts.swap_remove(0),
            _ => Self::All(parts),
        })
    }

    /// How many values it names: what it costs to evaluate it, and to send it to a database.
    #[must_use]
    pub fn size(&self) -> usize {
        let mut size = 0;
        self.each_atom(&mut |atom, _| {
            size += match atom {
                Atom::Within(_, values) => values.len().max(1),
                Atom::Row(RowFact::OneOf(ids)) => ids.len().max(1),
                _ => 1,
            };
        });
        size
    }

    /// The same condition with some atoms replaced by what is known of them.
    #[must_use]
    pub fn replaced(&self, known: &mut dyn FnMut(&Atom) -> Option<Self>) -> Self {
        steps::add(1);
        match self {
            Self::Const(value) => Self::Const(*value),
            Self::Is(atom) => known(atom).unwrap_or_else(|| self.clone()),
            Self::IsNot(atom) => known(atom).map_or_else(|| self.clone(), |known| known.negated()),
            Self::All(parts) => Self::all(parts.iter().map(|part| part.replaced(known)).collect::<Vec<_>>()),
            Self::Any(parts) => Self::any(parts.iter().map(|part| part.replaced(known)).collect::<Vec<_>>()),
        }
    }

    /// Whether it could be true of anything of which this much is known. May say yes too often, never no.
    pub fn could_hold(&self, known: &mut dyn FnMut(&Atom) -> Option<bool>) -> bool {
        self.value(known) != Some(false)
    }

    /// Its value if what is known settles it, after Kleene.
    pub fn value(&self, known: &mut dyn FnMut(&Atom) -> Option<bool>) -> Option<bool> {
        let (parts, neutral) = match self {
            Self::Const(value) => return Some(*value),
            Self::Is(atom) => return known(atom),
            Self::IsNot(atom) => return known(atom).map(|value| !value),
            Self::All(parts) => (parts, true),
            Self::Any(parts) => (parts, false),
        };
        let mut settled = Some(neutral);
        for part in parts {
            match part.value(known) {
                Some(value) if value != neutral => return Some(value),
                Some(_) => {}
                None => settled = None,
            }
        }
        settled
    }

    /// Calls `seen` with every atom and whether it is without a negation, in order, as often as it occurs.
    pub fn each_atom<'a>(&'a self, seen: &mut dyn FnMut(&'a Atom, bool)) {
        match self {
            Self::Const(_) => {}
            Self::Is(atom) => seen(atom, true),
            Self::IsNot(atom) => seen(atom, false),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each_atom(seen)),
        }
    }

    /// Joins parts by `and` if `all`, else by `or`, simplified: it flattens, drops duplicates and constants, and takes out what
    /// other parts settle. Next to `a`, an inner `a` is true and an inner `not a` false.
    ///
    /// A part that became simpler may settle others, so there are several rounds. Each goes through every part once.
    fn joined(parts: impl IntoIterator<Item = Self>, all: bool) -> Self {
        let mut flat = Vec::new();
        parts.into_iter().for_each(|part| part.add_to(&mut flat, all));
        for round in 1..=MAX_ROUNDS {
            let Some(fates) = Self::fates(&flat, all, round < MAX_ROUNDS) else { return Self::Const(!all) };
            let is_done = !fates.iter().any(|fate| matches!(fate, Fate::Simpler(_)));
            let mut kept = Vec::with_capacity(flat.len());
            for (part, fate) in flat.into_iter().zip(fates) {
                match fate {
                    Fate::Dropped => {}
                    Fate::Kept => kept.push(part),
                    Fate::Simpler(part) => part.add_to(&mut kept, all),
                }
            }
            flat = kept;
            if is_done {
                break;
            }
        }
        match flat.len() {
            0 => Self::Const(all),
            1 => flat.swap_remove(0),
            _ if all => Self::All(flat),
            _ => Self::Any(flat),
        }
    }

    /// What becomes of each part beside the others; nothing if the whole is constant: false under `and`, true under `or`.
    /// Joined parts are made simpler only if `simplify`, for that makes another round necessary.
    fn fates(flat: &[Self], all: bool, simplify: bool) -> Option<Vec<Fate>> {
        steps::add(flat.len());
        // The atoms that are parts themselves, with the value that the other parts can presume.
        let (mut settled, mut seen) = (SmallMap::new(), SmallMap::new());
        let mut fates = Vec::with_capacity(flat.len());
        for part in flat {
            let (atom, value) = match part {
                Self::Const(value) if *value == all => {
                    fates.push(Fate::Dropped);
                    continue;
                }
                Self::Const(_) => return None,
                Self::Is(atom) => (atom, all),
                Self::IsNot(atom) => (atom, !all),
                part => {
                    fates.push(if seen.insert(part, ()).is_none() { Fate::Kept } else { Fate::Dropped });
                    continue;
                }
            };
            match settled.insert(atom, value) {
                None => fates.push(Fate::Kept),
                Some(before) if before == value => fates.push(Fate::Dropped),
                Some(_) => return None,
            }
        }
        if !simplify || settled.is_empty() {
            return Some(fates);
        }
        for (part, fate) in flat.iter().zip(&mut fates) {
            if let (Fate::Kept, Some(simpler)) = (&*fate, part.settled_by(&settled)) {
                *fate = Fate::Simpler(simpler);
            }
        }
        Some(fates)
    }

    /// What is left of a joined part where others settle some of its atoms; nothing if they settle none.
    fn settled_by(&self, settled: &SmallMap<&Atom, bool>) -> Option<Self> {
        if !matches!(self, Self::All(_) | Self::Any(_)) {
            return None;
        }
        let mut is_touched = false;
        self.each_atom(&mut |atom, _| {
            steps::add(1);
            is_touched |= settled.get(atom).is_some();
        });
        is_touched.then(|| self.replaced(&mut |atom| settled.get(atom).map(Self::Const)))
    }

    fn add_to(self, flat: &mut Vec<Self>, all: bool) {
        match self {
            Self::All(inner) if all => flat.extend(inner),
            Self::Any(inner) if !all => flat.extend(inner),
            part => flat.push(part),
        }
    }
}

/// What becomes of a part beside others.
enum Fate {
    Dropped,
    Kept,
    Simpler(Predicate),
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(value) => write!(f, "{value}"),
            Self::Is(atom) => write!(f, "{atom:?}"),
            Self::IsNot(atom) => write!(f, "!{atom:?}"),
            Self::All(parts) => f.debug_tuple("All").field(parts).finish(),
            Self::Any(parts) => f.debug_tuple("Any").field(parts).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        prelude::{Strategy, any, prop_oneof, proptest},
        sample::subsequence,
    };

    const ATOMS: [Atom; 4] = [
        Atom::HasTopic,
        Atom::Mine(Members::With(CallRole::Officer)),
        Atom::Mine(Members::Assigned),
        Atom::Flag(Flag::Opened),
    ];

    /// A condition as somebody would write it, before anything is simplified.
    #[derive(Debug, Clone)]
    enum Raw {
        Const(bool),
        Atom(usize),
        Not(Box<Self>),
        All(Vec<Self>),
        Any(Vec<Self>),
    }

    impl Raw {
        fn eval(&self, world: u8) -> bool {
            match self {
                Self::Const(value) => *value,
                Self::Atom(n) => world >> n & 1 == 1,
                Self::Not(inner) => !inner.eval(world),
                Self::All(parts) => parts.iter().all(|part| part.eval(world)),
                Self::Any(parts) => parts.iter().any(|part| part.eval(world)),
            }
        }

        fn built(&self) -> Predicate {
            match self {
                Self::Const(value) => Predicate::Const(*value),
                Self::Atom(n) => ATOMS[*n].clone().into(),
                Self::Not(inner) => inner.built().negated(),
                Self::All(parts) => Predicate::all(parts.iter().map(Self::built).collect::<Vec<_>>()),
                Self::Any(parts) => Predicate::any(parts.iter().map(Self::built).collect::<Vec<_>>()),
            }
        }
    }

    fn raw() -> impl Strategy<Value = Raw> {
        let leaf = prop_oneof![1 => any::<bool>().prop_map(Raw::Const), 6 => (0..ATOMS.len()).prop_map(Raw::Atom)];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|inner| Raw::Not(Box::new(inner))),
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Raw::All),
                proptest::collection::vec(inner, 0..4).prop_map(Raw::Any),
            ]
        })
    }

    fn bit(world: u8, atom: &Atom) -> bool {
        world >> position(atom) & 1 == 1
    }

    proptest! {
        #[test]
        fn what_is_put_apart_means_the_same_together(left in raw(), right in raw()) {
            let (left, right) = (left.built(), right.built());
            let [shared, of_left, of_right] = Predicate::apart(&left, &right);
            for world in 0..16 {
                let value = |of: &Predicate| of.value(&mut |atom| Some(bit(world, atom))).unwrap();
                assert_eq!(value(&shared) && value(&of_left), value(&left));
                assert_eq!(value(&shared) && value(&of_right), value(&right));
            }
        }

        #[test]
        fn simplified_means_the_same(raw in raw(), known in subsequence(vec![0, 1, 2, 3], 0..=4)) {
            let built = raw.built();
            for world in 0..16 {
                let wanted = raw.eval(world);
                assert_eq!(built.value(&mut |atom| Some(bit(world, atom))), Some(wanted));
                let mut known_value = |atom: &Atom| known.contains(&position(atom)).then(|| bit(world, atom));
                let partly = built.replaced(&mut |atom| known_value(atom).map(Predicate::Const));
                assert_eq!(partly.value(&mut |atom| Some(bit(world, atom))), Some(wanted));
                // What is settled by a part of the truth is settled for good.
                if let Some(settled) = built.value(&mut known_value) {
                    assert_eq!(settled, wanted);
                }
                assert!(!wanted || built.could_hold(&mut known_value));
            }
        }
    }

    fn position(atom: &Atom) -> usize {
        ATOMS.iter().position(|known| known == atom).unwrap()
    }

    #[test]
    fn patterns_fit_the_whole_text_letter_by_letter() {
        let pattern = |text: &str| -> Vec<Piece> {
            text.chars().map(|letter| if letter == '*' { Piece::Anything } else { Piece::Letter(letter) }).collect()
        };
        for (written, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("re*", "review", true),
            ("re*", "Review", false),
            ("*ew", "review", true),
            ("*e*e*", "review", true),
            ("*e*e*e*", "review", false),
            ("r*w", "review", true),
            ("r%w", "review", false),
            ("*aab", "aaaaab", true),
            ("a*", "ba", false),
        ] {
            assert_eq!(Piece::fit(&pattern(written), text), fits, "`{written}` and `{text}`");
        }
    }

    #[test]
    fn a_guarded_part_is_settled_by_its_guard() {
        let topic = || Predicate::from(Atom::Equals(Text::Topic, "ai".into()));
        let has = || Predicate::from(Atom::HasTopic);
        let guarded = Predicate::all([has(), Predicate::any([topic(), has().negated()])]);
        assert_eq!(guarded, Predicate::All(vec![has(), topic()]));
        assert_eq!(Predicate::all([has(), topic(), has().negated()]), Predicate::Const(false));
        assert_eq!(Predicate::any([topic(), topic().negated()]), Predicate::Const(true));
    }
}
