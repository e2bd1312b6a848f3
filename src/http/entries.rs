//! The log as a member may read it.

use super::{
    list::{Entries, StrictQuery},
    peer::Peer,
    principal::Caller,
    refusal::EdgeRefusal,
    state::Api,
    waiting_room::WaitingRoom,
};
use crate::{
    domain::entry::EntryKind,
    service::{
        Answer, Result, ServiceError,
        entries::{self, LogQuestion},
        feed::{self, Wait},
    },
    wire::entry::EntryPage,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};

/// The entries of the log that you may read, oldest first.
///
/// The last page has a `bookmark`. Send it as `cursor`, with the same `kind`, to go on from there, whenever there may be something new; with
/// `wait` the answer comes as soon as there is something that you may read, or is an empty page with another bookmark. What you may read only
/// later, because a call opens or you get a role, does not come after a bookmark that has passed it: read the list again then.
#[utoipa::path(get, path = "/v1/entries", tag = "log", params(Entries),
    responses((status = 200, body = EntryPage)))]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    peer: Peer,
    room: WaitingRoom,
    StrictQuery(query): StrictQuery<Entries>,
) -> Result<Answer, LogFault> {
    let (wait, limit) = (Wait::begin(&api, query.wait()?), query.limit()?);
    let kinds = kinds(query.kind.as_deref())?;
    let question = LogQuestion { kinds: &kinds, cursor: query.cursor.as_deref(), limit };
    let mut page = entries::list(&api, &caller, &question).await?;
    if page.items.is_empty() && !wait.is_over() {
        let _place = room.enter()?;
        let cursor = page.bookmark.as_deref().or(page.next.as_deref());
        let question = LogQuestion { cursor, ..question };
        page = feed::wait(&api, &caller, &peer, &question, &wait).await?;
    }
    Ok(Answer::json(200, &page))
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum LogFault {
    Service(ServiceError),
    /// As many requests wait as may.
    Full(Box<EdgeRefusal>),
}

impl From<ServiceError> for LogFault {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<EdgeRefusal> for LogFault {
    fn from(refusal: EdgeRefusal) -> Self {
        Self::Full(Box::new(refusal))
    }
}

impl IntoResponse for LogFault {
    fn into_response(self) -> Response {
        match self {
            Self::Service(error) => error.into_response(),
            Self::Full(refusal) => refusal.into_response(),
        }
    }
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
