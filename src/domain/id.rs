//! Names of things: partner codes, member names and typed identifiers with a text prefix.
//!
//! A bare string never travels past the edge: it is parsed here, or refused with the shape it should have had.

use super::ambient::{Clock, Rng};
use std::{fmt, str::FromStr};

/// What was wrong with the text of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct IdError {
    text: String,
    wanted: &'static str,
}

impl IdError {
    pub(super) fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), wanted }
    }
}

/// A partner's code: two to eight capital letters or digits, a letter first (`USA`, `ISR`, `EU`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartnerCode(String);

impl PartnerCode {
    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PartnerCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let shaped = (2..=8).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            && text.as_bytes()[0].is_ascii_uppercase();
        if shaped { Ok(Self(text.to_owned())) } else { Err(IdError::new(text, "a partner code such as `ISR`")) }
    }
}

/// A member of a partner, written `ISR:avi.levi`. The handle has 1 to 64 characters of `a-z 0-9 . _ -`, a letter or digit first.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId {
    partner: PartnerCode,
    handle: String,
}

impl MemberId {
    /// The member `handle` of `partner`.
    ///
    /// # Errors
    /// When the handle has not the shape of one.
    pub fn new(partner: PartnerCode, handle: &str) -> Result<Self, IdError> {
        let shaped = (1..=64).contains(&handle.len())
            && handle.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
            && handle.as_bytes()[0].is_ascii_alphanumeric();
        if shaped {
            Ok(Self { partner, handle: handle.to_owned() })
        } else {
            Err(IdError::new(handle, "a member handle such as `avi.levi`"))
        }
    }

    /// Parses the SAN URI of a member certificate, `urn:entente:member:<partner>:<handle>`.
    ///
    /// # Errors
    /// When the URI is another one or names a malformed member.
    pub fn from_san_uri(uri: &str) -> Result<Self, IdError> {
        uri.strip_prefix("urn:entente:member:")
            .ok_or_else(|| IdError::new(uri, "a member URI such as `urn:entente:member:ISR:avi.levi`"))?
            .parse()
    }

    /// The SAN URI a certificate of this member has.
    #[must_use]
    pub fn san_uri(&self) -> String {
        format!("urn:entente:member:{}:{}", self.partner, self.handle)
    }

    /// The nation or organisation that vouches for the member.
    #[must_use]
    pub fn partner(&self) -> &PartnerCode {
        &self.partner
    }

    /// The name within the partner.
    #[must_use]
    pub fn handle(&self) -> &str {
        &self.handle
    }
}

impl FromStr for MemberId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (partner, handle) =
            text.split_once(':').ok_or_else(|| IdError::new(text, "a member such as `ISR:avi.levi`"))?;
        Self::new(partner.parse()?, handle)
    }
}

/// A short name inside a call: of a slot, a criterion or a topic. 1 to 40 characters of `a-z 0-9 -`, a letter first.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

impl Slug {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let shaped = (1..=40).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.as_bytes()[0].is_ascii_lowercase();
        if shaped { Ok(Self(text.to_owned())) } else { Err(IdError::new(text, "a short name such as `work-plan`")) }
    }
}

/// SHA-256 of some bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest of `data`.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, data);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wanted = "a SHA-256 of 64 lower-case hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err(IdError::new(text, wanted));
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = str::from_utf8(pair).expect("checked to be ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("checked to be hexadecimal");
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for PartnerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partner, self.handle)
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Typed identifiers: a prefix that says what they name and a ULID, so that they sort by the time they were made.
macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// What its text begins with, the underscore included.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// A new identifier, from the given time and randomness.
            #[must_use]
            pub fn new(clock: &dyn Clock, rng: &dyn Rng) -> Self {
                Self(new_ulid(clock, rng))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let wanted = concat!("an identifier such as `", $prefix, "_01J9ZQ4N6M8V7X5T3R2P1K0HGF`");
                let ulid = text.strip_prefix(concat!($prefix, "_")).ok_or_else(|| IdError::new(text, wanted))?;
                let parsed = ulid::Ulid::from_string(ulid).map_err(|_| IdError::new(text, wanted))?;
                // INVARIANT: one text per identifier; Crockford's base 32 would also read lower case and look-alikes.
                if parsed.to_string() == ulid { Ok(Self(parsed)) } else { Err(IdError::new(text, wanted)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        debug_as_display!($name);
    )*};
}

macro_rules! debug_as_display {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

debug_as_display!(PartnerCode, MemberId, Slug, Sha256);

typed_ids! {
    /// An agreement or forum that calls run under.
    ProgramId = "prog";
    /// A call for proposals.
    CallId = "call";
    /// A joint proposal.
    ProposalId = "prop";
    /// A sealed document in a slot of a proposal, or a sealed letter.
    DocumentId = "doc";
    /// An upload that can be resumed: what is to become a document once its last byte is here.
    UploadId = "upl";
    /// A key pair whose identity exists only wrapped.
    VaultId = "vault";
    /// A vault's identity, encrypted to one recipient.
    WrappedKeyId = "key";
    /// A reviewer's assessment of one version of one proposal.
    ReviewId = "rev";
    /// A funding decision on one proposal.
    DecisionId = "dec";
}

/// The beginning of an identifier, without its prefix: 4 to 26 letters of Crockford's base 32.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdBeginning(String);

impl IdBeginning {
    /// The beginning as people type it: in any case, with the prefix (`prop_`) or without, and with the letters that look like digits.
    ///
    /// # Errors
    /// When it has not the shape of one.
    pub fn typed(prefix: &str, text: &str) -> Result<Self, IdError> {
        let typed = text.trim().to_ascii_uppercase();
        let letters = typed.strip_prefix(&prefix.to_ascii_uppercase()).unwrap_or(&typed);
        let read = |letter| match letter {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        letters.chars().map(read).collect::<String>().parse().map_err(|_| beginning_error(text.trim()))
    }

    /// Whether the identifier with this text begins so.
    #[must_use]
    pub fn begins(&self, id: &str) -> bool {
        id.split_once('_').is_some_and(|(_, letters)| letters.starts_with(&self.0))
    }
}

impl FromStr for IdBeginning {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let is_letter = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase() && !b"ILOU".contains(&b);
        if (4..=26).contains(&text.len()) && text.bytes().all(is_letter) {
            Ok(Self(text.to_owned()))
        } else {
            Err(beginning_error(text))
        }
    }
}

impl fmt::Display for IdBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

debug_as_display!(IdBeginning);

fn beginning_error(text: &str) -> IdError {
    IdError::new(text, "the beginning of an identifier: 4 to 26 of the letters after its `_`")
}

/// Identifiers that members choose themselves, since what they sign names them: the last letters say whose they are. So nobody can find
/// out, by presenting an identifier of somebody else's making, whether there is something by that name.
macro_rules! ids_of_their_makers {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new identifier that `member` alone can make something with.
            #[must_use]
            pub fn new_of(member: &MemberId, clock: &dyn Clock, rng: &dyn Rng) -> Self {
                let id = Self::new(clock, rng);
                Self(ulid::Ulid::from(u128::from(id.0) & !CHECKED | id.check(member)))
            }

            /// Whether the member made it.
            #[must_use]
            pub fn is_of(self, member: &MemberId) -> bool {
                u128::from(self.0) & CHECKED == self.check(member)
            }

            /// What its last letters are if `member` made it: the beginning of the SHA-256 of all others, a blank and the member.
            fn check(self, member: &MemberId) -> u128 {
                let text = self.to_string();
                let digest = Sha256::of(format!("{} {member}", &text[..text.len() - CHECK]).as_bytes());
                digest.as_bytes()[..5].iter().fold(0, |check, byte| check << 8 | u128::from(*byte))
            }
        }
    )*};
}

/// How many letters at the end of such an identifier say whose it is; five bits each.
const CHECK: usize = 8;
const CHECKED: u128 = (1 << (5 * CHECK)) - 1;

ids_of_their_makers! { ProposalId VaultId }

fn new_ulid(clock: &dyn Clock, rng: &dyn Rng) -> ulid::Ulid {
    let mut random = [0; 16];
    rng.fill(&mut random[6..]);
    let millis = u64::try_from(clock.now().as_millisecond()).expect("the clock stands after 1970");
    ulid::Ulid::from_parts(millis, u128::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifier_that_members_choose_is_of_the_one_who_made_it() {
        use crate::domain::ambient::{SystemClock, SystemRng};
        let (avi, tamar): (MemberId, MemberId) = ("ISR:avi".parse().unwrap(), "ISR:tamar".parse().unwrap());
        let id = ProposalId::new_of(&avi, &SystemClock, &SystemRng);
        assert!(id.is_of(&avi) && !id.is_of(&tamar), "{id}");
        assert_eq!(id.to_string().parse(), Ok(id));
        // As a shell makes it: docs/api.md.
        let written: ProposalId = "prop_01J9ZQ4N6M8V7X5T3RGY5RS8GG".parse().unwrap();
        assert!(written.is_of(&avi));
        let vault = VaultId::new_of(&avi, &SystemClock, &SystemRng);
        assert!(vault.is_of(&avi) && !vault.is_of(&tamar), "{vault}");
    }

    #[test]
    fn member_reads_back_from_text_and_certificate_uri() {
        let member: MemberId = "ISR:avi.levi".parse().unwrap();
        assert_eq!(member.to_string(), "ISR:avi.levi");
        assert_eq!(MemberId::from_san_uri(&member.san_uri()).unwrap(), member);
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in ["", "ISR", "isr:avi", "ISR:", "ISR:Avi", "ISR:.x", "I:avi", "ISR:a b", "ISR:a:b", "1SR:a"] {
            assert!(text.parse::<MemberId>().is_err(), "{text}");
        }
        for text in ["", "1a", "Work", "work_plan", "-a"] {
            assert!(text.parse::<Slug>().is_err(), "{text}");
        }
    }

    #[test]
    fn identifier_has_one_text_only() {
        let text = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";
        assert_eq!(text.parse::<ProposalId>().unwrap().to_string(), text);
        for other in
            [&text.to_lowercase(), "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF", "prop_01J9ZQ4N6M8V7X5T3R2P1K0HG", "prop_"]
        {
            assert!(other.parse::<ProposalId>().is_err(), "{other}");
        }
    }

    #[test]
    fn beginning_of_an_identifier_is_read_as_people_type_it() {
        let id: ProposalId = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap();
        for text in ["01J9", " 01j9zq ", "prop_01J9ZQ4N", "PROP_oij9", &id.to_string()] {
            assert!(IdBeginning::typed(ProposalId::PREFIX, text).unwrap().begins(&id.to_string()), "{text}");
        }
        assert!(!IdBeginning::typed(ProposalId::PREFIX, "01J8").unwrap().begins(&id.to_string()));
        for text in ["", "01J", "prop_01J", "call_01J9ZQ", "01J9-ZQ"] {
            assert!(IdBeginning::typed(ProposalId::PREFIX, text).is_err(), "{text}");
        }
        assert!("01j9".parse::<IdBeginning>().is_err(), "one text each on the wire");
    }

    #[test]
    fn digest_reads_back_from_its_text() {
        let digest = Sha256::of(b"abc");
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse::<Sha256>().unwrap(), digest);
        assert!(digest.to_string().to_uppercase().parse::<Sha256>().is_err());
    }
}
