//! The log as a member may read it.

use super::{
    list::{Entries, StrictQuery},
    principal::Caller,
    state::Api,
};
use crate::{
    domain::entry::EntryKind,
    service::{Answer, Result, ServiceError, entries},
    wire::{entry::Entry, page::Page},
};
use axum::extract::State;

/// The entries of the log that you may read, oldest first.
#[utoipa::path(get, path = "/v1/entries", tag = "log", params(Entries),
    responses((status = 200, body = Page<Entry>)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    StrictQuery(query): StrictQuery<Entries>,
) -> Result<Answer> {
    let (kinds, cursor) = (kinds(query.kind.as_deref())?, query.cursor.as_deref());
    Ok(Answer::json(200, &entries::list(&api, &caller, &kinds, cursor, query.limit()?).await?))
}

/// The kinds that a filter names. A word that names none is a mistake: nobody waits for what never comes.
fn kinds(filter: Option<&str>) -> Result<Vec<EntryKind>> {
    let mut kinds = Vec::new();
    for word in filter.into_iter().flat_map(|filter| filter.split(',')) {
        let named = EntryKind::named(word);
        if named.is_empty() {
            return Err(ServiceError::Malformed("`kind` names an unknown kind of entry".to_owned()));
        }
        kinds.extend(named);
    }
    kinds.sort_unstable();
    kinds.dedup();
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_names_kinds_and_families_each_once() {
        assert_eq!(kinds(None).unwrap(), []);
        let found = kinds(Some("letter.sent,key_card,letter")).unwrap();
        let letters = [EntryKind::LetterSent, EntryKind::LetterWithdrawn, EntryKind::LetterFetched];
        assert_eq!(found, [&[EntryKind::KeyCardPublished][..], &letters].concat());
        for wrong in ["", "letters", "letter,", "letter, key"] {
            assert!(matches!(kinds(Some(wrong)), Err(ServiceError::Malformed(_))), "{wrong}");
        }
    }
}
