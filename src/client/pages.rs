//! The way through a list, page after page: it ends, whatever the exchange says.

use super::{ClientError, Result};
use crate::domain::id::Sha256;
use std::collections::HashSet;

/// The way through a list, page after page, which ends whatever the exchange says: no cursor comes twice, and there are not
/// more than [`MAX_PAGES`].
#[derive(Debug, Default)]
pub struct Pages {
    seen: HashSet<Sha256>,
}

/// The most pages of one list that are fetched: ten million items.
pub const MAX_PAGES: usize = 50_000;

impl Pages {
    /// Where to go on: `next` of a page, unless the exchange leads in a circle or on and on.
    pub fn follow(&mut self, next: Option<String>) -> Result<Option<String>> {
        let Some(cursor) = next else { return Ok(None) };
        if !self.seen.insert(Sha256::of(cursor.as_bytes())) {
            let what = "the exchange repeats pages of a list: a page has the same `next` as an earlier one";
            return Err(ClientError::unverified(what, "tell the host's operator"));
        }
        if self.seen.len() >= MAX_PAGES {
            let what = format!("a list has more than {MAX_PAGES} pages");
            return Err(ClientError::unverified(
                what,
                "narrow it down; if there is no more to narrow, tell the host's operator",
            ));
        }
        Ok(Some(cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_that_leads_in_a_circle_or_on_and_on_ends() {
        let mut pages = Pages::default();
        let follow = |pages: &mut Pages, cursor: &str| pages.follow(Some(cursor.to_owned()));
        assert_eq!(follow(&mut pages, "a").unwrap().as_deref(), Some("a"));
        assert_eq!(follow(&mut pages, "b").unwrap().as_deref(), Some("b"));
        assert_eq!(pages.follow(None).unwrap(), None);
        assert_eq!(follow(&mut pages, "a").unwrap_err().class().code(), 4);
        let mut pages = Pages::default();
        let followed = (0..=MAX_PAGES).take_while(|page| follow(&mut pages, &page.to_string()).is_ok()).count();
        assert_eq!(followed, MAX_PAGES - 1);
    }
}
