//! Words that nobody can guess: of an address, a session and its forms.

use crate::domain::ambient::Rng;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::fmt;

/// How many bytes of randomness are in one.
const BYTES: usize = 18;

/// A word that is given to one reader and compared with what comes back.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(rng: &dyn Rng) -> Self {
        let mut bytes = [0; BYTES];
        rng.fill(&mut bytes);
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The word, to be given to its reader.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is this word; takes as long however much of it is right.
    pub(super) fn is(&self, word: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), word.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
