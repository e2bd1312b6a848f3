//! The key of a blob.

use super::error::StoreError;
use crate::domain::ambient::Rng;
use std::{fmt, str::FromStr};

/// The key of a blob: 32 hexadecimal digits nobody can guess, kept in the database as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(pub(super) String);

impl BlobKey {
    pub(super) fn random(rng: &dyn Rng) -> Self {
        let mut random = [0; 16];
        rng.fill(&mut random);
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }
}

impl FromStr for BlobKey {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(StoreError::corrupt("blob key", "32 hexadecimal digits"))
        }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
