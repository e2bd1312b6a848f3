//! An officer's notes on proposals for the ranking: each in a file of its own on the officer's machine, sealed to the officer.
//!
//! The exchange never sees one. A note leaves the machine only within a ranking that its writer seals and sends.

use crate::{
    client::{Client, ClientError, Result, blocking, files},
    domain::id::ProposalId,
    sealing::seal::{open_bytes, seal_bytes},
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The longest note, in characters: a line of a table, not a review.
pub const MAX_NOTE: usize = 500;

/// With this begins what stands in the place of a note that was removed. No sealed note does.
const REMOVED: &str = "removed ";

/// What the file about a proposal holds.
#[derive(Debug, PartialEq, Eq)]
enum KeptNote {
    Sealed(Vec<u8>),
    /// When the note was removed, if the file says when.
    Removed(Option<Timestamp>),
}

impl KeptNote {
    fn of(content: Vec<u8>) -> Self {
        match content.strip_prefix(REMOVED.as_bytes()) {
            Some(at) => Self::Removed(str::from_utf8(at).ok().and_then(|at| at.parse().ok())),
            None => Self::Sealed(content),
        }
    }
}

impl Client {
    /// Keeps a note on a proposal that the caller may know of, in the place of an earlier one.
    pub async fn note_for_ranking(&self, id: ProposalId, text: &str) -> Result<()> {
        check_note(text)?;
        let (me, text) = (self.member(&self.member_id().await?).await?, Zeroizing::new(text.as_bytes().to_vec()));
        let sealed = blocking(move || Ok(seal_bytes(me.recipients(), &text)?)).await?;
        files::write(&self.home().note_path(&self.profile().name, id), &sealed)
    }

    /// Removes the note on a proposal, and lets one that was sent with the ranking go when it is sent the next time; whether there was
    /// one on this machine.
    pub fn remove_note(&self, id: ProposalId) -> Result<bool> {
        let kept = self.kept_note(id)?;
        let removed = format!("{REMOVED}{}", self.exchange_now());
        files::write(&self.home().note_path(&self.profile().name, id), removed.as_bytes())?;
        Ok(matches!(kept, Some(KeptNote::Sealed(_))))
    }

    /// When the note on a proposal was removed on this machine, if it was: what others wrote since stays.
    pub(super) fn note_removed_at(&self, id: ProposalId) -> Result<Option<Timestamp>> {
        Ok(match self.kept_note(id)? {
            Some(KeptNote::Removed(at)) => at,
            Some(KeptNote::Sealed(_)) | None => None,
        })
    }

    /// The notes that are kept on this machine on any of these proposals.
    pub(super) async fn notes_on(
        &self,
        proposals: impl IntoIterator<Item = &ProposalId>,
    ) -> Result<BTreeMap<ProposalId, String>> {
        let mut sealed = Vec::new();
        for id in proposals {
            if let Some(KeptNote::Sealed(note)) = self.kept_note(*id)? {
                sealed.push((*id, note));
            }
        }
        if sealed.is_empty() {
            return Ok(BTreeMap::new());
        }
        let keyring = self.keyring().await?;
        blocking(move || {
            let identities = keyring.identities();
            let open = |(id, note): (ProposalId, Vec<u8>)| {
                let opened = open_bytes(&identities, &note, 4 * MAX_NOTE)?;
                let text = str::from_utf8(&opened).map_err(|_| {
                    let help = "write it again with `entente ranking note`, or take it out with `--remove`";
                    ClientError::local(format!("the note on `{id}` is not text"), help)
                })?;
                Ok((id, text.to_owned()))
            };
            sealed.into_iter().map(open).collect()
        })
        .await
    }

    fn kept_note(&self, id: ProposalId) -> Result<Option<KeptNote>> {
        Ok(files::read(&self.home().note_path(&self.profile().name, id))?.map(KeptNote::of))
    }
}

/// Refuses what is no line of a table.
pub(super) fn check_note(text: &str) -> Result<()> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > MAX_NOTE || text.chars().any(char::is_control) {
        return Err(ClientError::usage(
            format!("a note is one line of 1 to {MAX_NOTE} characters"),
            "shorten it; what needs more room stands in a review or a letter",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_a_sealed_note_or_says_when_one_was_removed() {
        let sealed = b"age-encryption.org/v1\n-> X25519".to_vec();
        assert_eq!(KeptNote::of(sealed.clone()), KeptNote::Sealed(sealed));
        let at: Timestamp = "2026-05-01T09:30:00Z".parse().unwrap();
        assert_eq!(KeptNote::of(format!("{REMOVED}{at}").into_bytes()), KeptNote::Removed(Some(at)));
        for unclear in [&b"removed some day"[..], b"removed \xff", b"removed "] {
            assert_eq!(KeptNote::of(unclear.to_vec()), KeptNote::Removed(None), "{unclear:?}");
        }
    }

    #[test]
    fn note_is_one_line_with_something_in_it() {
        for good in ["strong team", "비용이 높음", &"é".repeat(MAX_NOTE)] {
            assert!(check_note(good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "two\nlines", "a\u{1b}[2J", &"x".repeat(MAX_NOTE + 1)] {
            assert_eq!(check_note(bad).unwrap_err().class().code(), 2, "{bad:?}");
        }
    }
}
