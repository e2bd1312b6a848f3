//! The names that people say on the telephone: the code of a call (`BIRD26`) and the reference of a proposal (`BIRD26-48179`).
//!
//! A reference is read with its check digit: one that was mistyped is found here, before anybody is asked about it. A number is drawn by
//! chance and never follows from what it names, so it tells neither how many proposals there are nor which came first.

use super::{ambient::Rng, id::IdError};
use std::{fmt, str::FromStr};

/// The code of a call, which its officers choose: 3 to 12 capital letters or digits, a letter first (`BIRD26`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallCode(String);

/// The reference of a proposal: the code of its call, a dash, and a number that ends with a check digit (`BIRD26-48179`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    code: CallCode,
    number: String,
}

/// The text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has not the shape of one.
    #[error(transparent)]
    Shape(#[from] IdError),
    /// It has the shape, and a digit is wrong or two have changed places.
    #[error(
        "`{reference}` is mistyped: its digits do not fit together; compare it with the reference that you were told"
    )]
    Mistyped { reference: String },
    /// Without a dash it could be several.
    #[error("`{text}` can be read in several ways; write a dash between the code of the call and the number")]
    NoDash { text: String },
}

/// A number has so many digits at the least, the check digit among them.
const LEAST_DIGITS: usize = 5;
/// And so many at the most.
const MOST_DIGITS: usize = 12;
/// How many numbers of one length are drawn before longer ones are.
const DRAWS: u32 = 16;

impl CallCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The code as people type it: in any case, with blanks around it.
    ///
    /// # Errors
    /// When it has not the shape of one.
    pub fn typed(text: &str) -> Result<Self, IdError> {
        text.trim().to_ascii_uppercase().parse().map_err(|_| code_error(text))
    }
}

impl FromStr for CallCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let shaped = (3..=12).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && text.as_bytes()[0].is_ascii_uppercase();
        if shaped { Ok(Self(text.to_owned())) } else { Err(code_error(text)) }
    }
}

impl Reference {
    /// The reference with these digits, to which the check digit is added.
    ///
    /// # Panics
    /// When there are too few or too many of them, or something else among them.
    #[must_use]
    pub fn new(code: &CallCode, digits: &str) -> Self {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
        assert!(
            is_number && (LEAST_DIGITS..=MOST_DIGITS).contains(&(digits.len() + 1)),
            "a number without its check digit"
        );
        let number = format!("{digits}{}", state_after(code, digits));
        Self { code: code.clone(), number }
    }

    /// The reference with a number that was kept with the proposal.
    #[must_use]
    pub fn kept(code: &CallCode, number: &str) -> Self {
        Self { code: code.clone(), number: number.to_owned() }
    }

    /// The `draw`th reference to try for a new proposal, from 0: by chance, and longer after each 16 that were taken.
    #[must_use]
    pub fn drawn(code: &CallCode, draw: u32, rng: &dyn Rng) -> Self {
        let longer = usize::try_from(draw / DRAWS).unwrap_or(MOST_DIGITS);
        let digits = (LEAST_DIGITS + longer).min(MOST_DIGITS) - 1;
        let mut random = [0; 16];
        rng.fill(&mut random);
        // Of 128 bits, so that no number is likelier than another by more than one in 10^26.
        let number = u128::from_be_bytes(random) % 10_u128.pow(u32::try_from(digits).expect("a few digits"));
        Self::new(code, &format!("{number:0digits$}"))
    }

    /// The code of the call.
    #[must_use]
    pub fn code(&self) -> &CallCode {
        &self.code
    }

    /// The number within the call, its check digit last.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// The reference as people type it: in any case, with blanks around it or around the dash, with a longer dash, and without one where it
    /// can be read in one way only.
    ///
    /// # Errors
    /// When it has not the shape of one, when its digits do not fit together, or when there is more than one way to read it.
    pub fn typed(text: &str) -> Result<Self, ReferenceError> {
        let plain: String =
            text.trim().chars().map(|c| if is_dash(c) { '-' } else { c.to_ascii_uppercase() }).collect();
        // A blank alone divides as a dash does.
        let parted = plain.split_once('-').or_else(|| plain.split_once(char::is_whitespace));
        if let Some((code, number)) = parted {
            return of_parts(code.trim(), number.trim()).unwrap_or_else(|| Err(reference_error(text).into()));
        }
        let trailing = plain.bytes().rev().take_while(u8::is_ascii_digit).count();
        let ways = (LEAST_DIGITS..=trailing.min(MOST_DIGITS)).map(|digits| plain.split_at(plain.len() - digits));
        let mut ways = ways.filter_map(|(code, number)| of_parts(code, number));
        match (ways.next(), ways.next()) {
            (Some(only), None) => only,
            (Some(_), Some(_)) => Err(ReferenceError::NoDash { text: plain }),
            (None, _) => Err(reference_error(text).into()),
        }
    }
}

/// A code and a number; none where they have not the shape of them.
fn of_parts(code: &str, number: &str) -> Option<Result<Reference, ReferenceError>> {
    let is_number = (LEAST_DIGITS..=MOST_DIGITS).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    let code: CallCode = code.parse().ok().filter(|_| is_number)?;
    let fits = state_after(&code, number) == 0;
    let reference = Reference { code, number: number.to_owned() };
    Some(if fits { Ok(reference) } else { Err(ReferenceError::Mistyped { reference: reference.to_string() }) })
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// In the one form that it is written in.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let parts = text.split_once('-').and_then(|(code, number)| of_parts(code, number));
        parts.unwrap_or_else(|| Err(reference_error(text).into()))
    }
}

impl fmt::Display for CallCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.code, self.number))
    }
}

impl fmt::Debug for CallCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn code_error(text: &str) -> IdError {
    IdError::new(text, "a code such as `BIRD26`: 3 to 12 letters or digits, a letter first")
}

fn reference_error(text: &str) -> IdError {
    IdError::new(text, "a reference such as `BIRD26-48179`")
}

/// What keyboards and word processors put where a dash is meant: hyphens, figure, en and em dash, and the minus sign.
fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// The quasigroup of order 10 of H. Michael Damm, *Total anti-symmetrische Quasigruppen*, dissertation, Philipps-Universität Marburg 2004,
/// page 111. It is totally anti-symmetric with zeros in its diagonal: so a check by it finds each single wrong digit and each two neighbours
/// that have changed places, the check digit among them.
const DAMM: [[u8; 10]; 10] = [
    [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
    [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
    [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
    [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
    [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
    [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
    [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
    [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
    [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
    [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
];

/// The state of the check after code and digits: the check digit that follows them, and 0 if that stands last already.
///
/// A letter counts as the two digits of its place after 10 (`A` 10, `Z` 35), a digit as itself. So the promise of the quasigroup holds for
/// the digits of the code and of the number; of ten wrong letters one is not found, since ten check digits cannot tell 26 letters apart.
fn state_after(code: &CallCode, digits: &str) -> u8 {
    code.0.bytes().chain(digits.bytes()).fold(0, |state, byte| {
        let step = |state: u8, digit: u8| DAMM[usize::from(state)][usize::from(digit)];
        if byte.is_ascii_digit() {
            return step(state, byte - b'0');
        }
        let place = byte - b'A' + 10;
        step(step(state, place / 10), place % 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn code(text: &str) -> CallCode {
        text.parse().unwrap()
    }

    fn samples() -> impl Iterator<Item = String> {
        let codes = ["BIRD26", "KORIL", "A1B", "W99", "ABCDEFGHIJKL", "X12345678901"];
        let digits = ["0000", "0417", "4817", "9999", "10203", "9876543210"];
        codes.into_iter().flat_map(move |name| digits.map(|digits| Reference::new(&code(name), digits).to_string()))
    }

    #[test]
    fn quasigroup_is_totally_anti_symmetric() {
        for (state, row) in DAMM.iter().enumerate() {
            assert_eq!(row[state], 0, "the diagonal");
            let mut sorted = *row;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "no single wrong digit leads to the same state");
            for x in 0..10 {
                for y in (0..10).filter(|y| *y != x) {
                    let after = |one: usize, other: usize| DAMM[usize::from(DAMM[state][one])][other];
                    assert_ne!(after(x, y), after(y, x), "{state}: {x} and {y}");
                }
            }
        }
    }

    #[test]
    fn reference_reads_back_from_its_text() {
        for text in samples() {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(Reference::typed(&text), Ok(reference));
        }
    }

    #[test]
    fn every_single_wrong_digit_is_found() {
        for text in samples() {
            for place in (0..text.len()).filter(|place| text.as_bytes()[*place].is_ascii_digit()) {
                for digit in ('0'..='9').filter(|digit| *digit != char::from(text.as_bytes()[place])) {
                    let wrong = format!("{}{digit}{}", &text[..place], &text[place + 1..]);
                    assert_eq!(Reference::typed(&wrong), Err(ReferenceError::Mistyped { reference: wrong.clone() }));
                }
            }
        }
    }

    #[test]
    fn every_two_neighbouring_digits_that_changed_places_are_found() {
        for text in samples() {
            let is_digit = |place: usize| text.as_bytes()[place].is_ascii_digit();
            // The last digit of the code and the first of the number are neighbours, too.
            let next = |place: usize| if text.as_bytes()[place + 1] == b'-' { place + 2 } else { place + 1 };
            let pairs = (0..text.len() - 1).filter(|place| is_digit(*place)).map(|place| (place, next(place)));
            for (one, other) in pairs {
                let mut swapped = text.clone().into_bytes();
                swapped.swap(one, other);
                let swapped = String::from_utf8(swapped).unwrap();
                if is_digit(other) && swapped != text {
                    assert_eq!(
                        swapped.parse::<Reference>(),
                        Err(ReferenceError::Mistyped { reference: swapped.clone() }),
                        "{text}"
                    );
                }
            }
        }
    }

    #[test]
    fn reference_is_read_as_people_type_it() {
        let reference = Reference::new(&code("BIRD26"), "4817");
        let (head, number) = ("bird26", reference.number());
        for dash in ["-", "–", "—", "\u{2011}", "−", " - ", " – ", " "] {
            assert_eq!(Reference::typed(&format!("  {head}{dash}{number}\n")), Ok(reference.clone()), "`{dash}`");
        }
        assert!(reference.to_string().to_lowercase().parse::<Reference>().is_err(), "one text each on the wire");
    }

    #[test]
    fn dash_is_left_out_only_where_there_is_one_way_to_read_it() {
        let letters = Reference::new(&code("KORIL"), "0417");
        assert_eq!(Reference::typed(&format!("koril{}", letters.number())), Ok(letters));
        let digits = Reference::new(&code("BIRD26"), "4817");
        let text = format!("BIRD26{}", digits.number());
        assert_eq!(Reference::typed(&text), Err(ReferenceError::NoDash { text }));
    }

    #[test]
    fn text_of_another_shape_is_no_reference() {
        for text in
            ["", "-", "BIRD26", "BIRD26-", "BIRD26-481", "1BIRD-48179", "BI-48179", "BIRD26-48a70", "prop_01J9ZQ4N6M"]
        {
            assert!(matches!(Reference::typed(text), Err(ReferenceError::Shape(_))), "{text}");
        }
    }

    #[test]
    fn code_has_letters_and_digits_in_any_case_and_a_letter_first() {
        assert_eq!(CallCode::typed(" bird26 "), Ok(code("BIRD26")));
        for text in ["", "AB", "1AB", "BIRD-26", "BIRD 26", "ÉTÉ26", "ABCDEFGHIJKLM"] {
            assert!(CallCode::typed(text).is_err(), "{text}");
        }
        assert!("bird26".parse::<CallCode>().is_err(), "one text each on the wire");
    }

    /// Gives the same byte each time, one higher in each call.
    #[derive(Debug, Default)]
    struct Steps(AtomicU8);

    impl Rng for Steps {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn numbers_are_drawn_by_chance_and_grow_longer_when_many_are_taken() {
        let (rng, code) = (Steps::default(), code("BIRD26"));
        for draw in 0..200 {
            let drawn = Reference::drawn(&code, draw, &rng);
            assert_eq!(drawn.to_string().parse(), Ok(drawn.clone()));
            assert_eq!(drawn.number().len(), (5 + usize::try_from(draw).unwrap() / 16).min(12), "draw {draw}");
        }
        assert_ne!(Reference::drawn(&code, 0, &rng), Reference::drawn(&code, 0, &rng));
    }
}
