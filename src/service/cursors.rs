//! Cursors: sealed, so that they reveal nothing of where they point, and count for the question alone that they came from.
//!
//! A list that leaves out hidden things examines a bounded number of things for one page, and may have to continue from a hidden one. A
//! cursor under other filters would leave out in silence what it passes. So each is a position, encrypted and authenticated for one list,
//! with its filters and order, and one member. The key is derived from the mark of the database ([`crate::storage::mark`]), which nobody can
//! guess and no member is shown: so every server of one database reads it, and a restart changes nothing. Equal positions have equal
//! cursors, by which a client notices a list that leads in a circle.
//!
//! A next page after an empty one reveals that the list passed [`EXAMINED`] hidden things, nothing more. A bookmark, which a client keeps and
//! compares with a later one, reveals not even that: equal positions have unequal bookmarks, all of one length.

use super::{Exchange, Result, ServiceError};
use crate::{
    domain::{ambient::Rng, id::MemberId},
    wire::page::MAX_PAGE,
};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{fmt::Display, str::FromStr};

/// How many things a list examines for one page, if it leaves out the hidden ones one by one.
pub(super) const EXAMINED: usize = 2 * MAX_PAGE as usize;

/// The cursors of one list for one member.
#[derive(Debug)]
pub(super) struct SealedCursors {
    key: LessSafeKey,
    /// What they count for.
    scope: String,
}

impl SealedCursors {
    /// Those of a list, by its name here.
    pub(super) fn of(exchange: &Exchange, list: &'static str, member: &MemberId) -> Self {
        Self::under(&exchange.blobs.mark().to_string(), list, member)
    }

    pub(super) fn under(secret: &str, list: &'static str, member: &MemberId) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let key = hmac::sign(&secret, b"entente cursors 1");
        let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_ref()).expect("a digest of SHA-256 is as long as a key");
        Self { key: LessSafeKey::new(key), scope: format!("{list} {member}") }
    }

    /// The same for a list with one more parameter: a filter, the order, or what the path names. How long a page may be is none.
    pub(super) fn within(self, parameter: &'static str, value: &impl Display) -> Self {
        let (Self { key, scope }, value) = (self, value.to_string());
        // The length tells where the value ends, whatever it contains.
        Self { key, scope: format!("{scope} {parameter}={}:{value}", value.len()) }
    }

    /// The cursor of a position.
    pub(super) fn seal(&self, position: impl Display) -> String {
        // INVARIANT: this cipher alone stands that its nonce is used again; all it then tells is that two positions are equal.
        BASE64_URL_SAFE_NO_PAD.encode(self.sealed([0; NONCE_LEN], position))
    }

    /// A bookmark at a position, which is opened as a cursor is. Two of them do not show whether the position has moved, if all positions
    /// are written equally long.
    pub(super) fn bookmark(&self, position: impl Display, rng: &dyn Rng) -> String {
        let mut nonce = [0; NONCE_LEN];
        rng.fill(&mut nonce);
        BASE64_URL_SAFE_NO_PAD.encode([&nonce[..], &self.sealed(nonce, position)].concat())
    }

    fn sealed(&self, nonce: [u8; NONCE_LEN], position: impl Display) -> Vec<u8> {
        let (nonce, mut sealed) = (Nonce::assume_unique_for_key(nonce), position.to_string().into_bytes());
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(self.scope.as_bytes()), &mut sealed)
            .expect("a position is short");
        sealed
    }

    /// The position that a cursor stands for, if there is a cursor.
    ///
    /// # Errors
    /// [`ServiceError::BadCursor`] for any that was not made here, for this list with the same parameters and this member.
    pub(super) fn open<T: FromStr>(&self, cursor: Option<&str>) -> Result<Option<T>> {
        let open = |cursor: &str| {
            let sealed = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let bookmarked = || {
                let (nonce, sealed) = sealed.split_first_chunk()?;
                self.opened(*nonce, sealed)
            };
            self.opened([0; NONCE_LEN], &sealed).or_else(bookmarked)?.parse().ok()
        };
        cursor.map(|cursor| open(cursor).ok_or(ServiceError::BadCursor)).transpose()
    }

    fn opened(&self, nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<String> {
        let (nonce, mut sealed) = (Nonce::assume_unique_for_key(nonce), sealed.to_vec());
        let position = self.key.open_in_place(nonce, Aad::from(self.scope.as_bytes()), &mut sealed).ok()?;
        Some(str::from_utf8(position).ok()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ambient::SystemRng, id::CallId};

    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    fn cursors(secret: &str, list: &'static str, member: &str) -> SealedCursors {
        SealedCursors::under(secret, list, &member.parse().unwrap())
    }

    #[test]
    fn cursor_tells_nothing_of_its_position_and_is_read_back() {
        let (mine, call) = (cursors("a", "calls", "ISR:avi"), CALL.parse::<CallId>().unwrap());
        let cursor = mine.seal(call);
        assert_eq!(mine.open(Some(&cursor)).unwrap(), Some(call));
        assert_eq!(mine.open::<CallId>(None).unwrap(), None);
        assert_eq!(mine.seal(call), cursor, "by this a client notices a circle");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        let plain = CALL.as_bytes();
        assert!(!bytes.windows(4).any(|part| plain.windows(4).any(|plain| part == plain)));
    }

    #[test]
    fn bookmarks_at_one_position_differ_and_are_as_long_as_any_other() {
        let mine = cursors("a", "log", "ISR:avi");
        let bookmark = |position: u64| mine.bookmark(format_args!("{position:020}"), &SystemRng);
        let (first, again, later) = (bookmark(7), bookmark(7), bookmark(u64::MAX));
        assert_ne!(first, again);
        assert_eq!(first.len(), later.len());
        for (bookmark, position) in [(first, 7), (again, 7), (later, u64::MAX)] {
            assert_eq!(mine.open::<u64>(Some(&bookmark)).unwrap(), Some(position));
            let others = cursors("a", "log", "ISR:gal").open::<u64>(Some(&bookmark));
            assert!(matches!(others, Err(ServiceError::BadCursor)));
        }
    }

    #[test]
    fn cursor_of_another_list_member_or_exchange_is_refused_and_so_is_a_changed_one() {
        let (mine, call) = (cursors("a", "calls", "ISR:avi"), CALL.parse::<CallId>().unwrap());
        let others = [("a", "programs", "ISR:avi"), ("a", "calls", "USA:dana"), ("b", "calls", "ISR:avi")];
        let mut wrong: Vec<String> =
            others.iter().map(|(secret, list, member)| cursors(secret, list, member).seal(call)).collect();
        let mut changed = BASE64_URL_SAFE_NO_PAD.decode(mine.seal(call)).unwrap();
        changed[7] ^= 1;
        wrong.push(BASE64_URL_SAFE_NO_PAD.encode(changed));
        wrong.extend([String::new(), "!".into(), BASE64_URL_SAFE_NO_PAD.encode(CALL), mine.seal("prop_x")]);
        let with = |value: &str| cursors("a", "calls", "ISR:avi").within("program", &value);
        wrong.extend([with("p").seal(call), with("q").within("topic", &"t").seal(call)]);
        for cursor in &wrong {
            assert!(matches!(mine.open::<CallId>(Some(cursor)), Err(ServiceError::BadCursor)), "{cursor}");
        }
        assert_eq!(with("p").open(Some(&with("p").seal(call))).unwrap(), Some(call));
        wrong.extend([mine.seal(call), with("q").seal(call), with("p topic=1:t").seal(call)]);
        for cursor in &wrong[others.len()..] {
            let narrowed = with("p").within("topic", &"t");
            assert!(matches!(narrowed.open::<CallId>(Some(cursor)), Err(ServiceError::BadCursor)), "{cursor}");
        }
    }
}
