//! What comes with a request to read: identifiers in the path, filters, cursor and limit in the query.
//!
//! A malformed identifier in a path gets the same answer as an unknown one. An invalid filter or an unknown
//! parameter is reported as a mistake: a list that ignores its filter would show too much.

use super::{
    problem::{Fault, without_values},
    state::Api,
};
use crate::{
    domain::{
        call::Phase,
        id::{CallId, IdBeginning, MemberId, PartnerCode, ProgramId, Slug},
        member::CallRole,
        proposal::{Relation, Sort, Status},
        reference::Reference,
    },
    reading::worded,
    service::{Result, ServiceError, preview::CardChange},
    share_table::LONGEST_WAIT,
    wire::{
        page::{DEFAULT_PAGE, MAX_PAGE},
        proposal::Filter,
    },
};
use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::{Uri, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Display, str::FromStr, time::Duration};
use utoipa::IntoParams;

/// The identifiers in the path, read when the handler asks for them: after the body was found to be in order.
#[derive(Debug)]
pub(super) struct PathIds(Vec<(String, String)>);

impl PathIds {
    /// The identifier at `{name}` of the route.
    ///
    /// # Errors
    /// [`ServiceError::Hidden`] when the text is no such identifier.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T> {
        // Escapes that are no UTF-8 leave no parameters at all, and name nothing either.
        let found = self.0.iter().find(|(given, _)| given == name);
        found.and_then(|(_, text)| text.parse().ok()).ok_or(ServiceError::Hidden)
    }
}

impl FromRequestParts<Api> for PathIds {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Self::Rejection> {
        let params = RawPathParams::from_request_parts(parts, api).await;
        let pairs = |params: RawPathParams| {
            params.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect::<Vec<_>>()
        };
        Ok(Self(params.map(pairs).unwrap_or_default()))
    }
}

/// The query of a read. Unknown parameters are refused.
#[derive(Debug)]
pub(super) struct StrictQuery<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Api> for StrictQuery<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Fault> {
        query(&parts.uri).map(Self)
    }
}

/// What the query says.
pub(super) fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Fault> {
    let query = Query::try_from_uri(uri).map_err(|error| {
        let said = error.body_text();
        let said = said.strip_prefix("Failed to deserialize query string: ").unwrap_or(&said);
        let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let (name, fault) = match said.split_once(": ") {
            Some((name, fault)) if is_name(name) => (format!("`{name}`: "), fault),
            _ => (String::new(), said),
        };
        Fault::malformed(format!("the query: {name}{}", without_values(&worded(fault))))
    });
    query.map(|Query(query)| query)
}

macro_rules! lists {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Deserialize, IntoParams)]
        #[into_params(parameter_in = Query)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub(super) $field: Option<$kind>,)*
            /// `next` of the page before.
            pub(super) cursor: Option<String>,
            /// Most items on the page; 50 when left out.
            #[param(minimum = 1, maximum = 200)]
            pub(super) limit: Option<u32>,
        }

        impl $name {
            /// How many items the page may have.
            pub(super) fn limit(&self) -> Result<u32> {
                limit(self.limit)
            }
        }
    )*};
}

lists! {
    /// A list without filters.
    struct Everything {}

    /// Entries of the log, of some kinds or of all.
    struct Entries {
        /// Entries of these kinds alone, separated by commas: `proposal.submitted`, or `proposal` for all that begin so.
        kind: String,
        /// So many seconds the answer waits for something new, if there is nothing yet; 0 when left out.
        #[param(minimum = 0, maximum = 30)]
        wait: u64,
    }

    /// Members, of one partner or of all.
    struct Members {
        /// Members of this partner alone.
        partner: PartnerCode,
    }

    /// Calls, under one program or under all.
    struct Calls {
        /// Calls under this program alone.
        program: ProgramId,
    }

    /// The panel of a call.
    struct PanelQuery {
        /// With every reviewer of the call, and whether you could assign them. A page has fewer proposals then.
        candidates: bool,
    }

    /// Proposals, narrowed by whatever is given.
    struct Proposals {
        /// Proposals to this call alone.
        call: CallId,
        /// To calls in this phase alone.
        phase: Phase,
        /// On this topic alone.
        topic: Slug,
        /// With a party of this partner alone.
        party: PartnerCode,
        /// In this status alone.
        status: Status,
        /// Those you are a member of a `party` of, that are `assigned` to you, or on which you have yet to declare a conflict of interest or
        /// none (`undeclared`), alone.
        mine: Relation,
        /// With this reference alone.
        reference: Reference,
        /// With identifiers that begin with these 4 to 26 letters after `prop_` alone.
        begins: IdBeginning,
        /// `created`, the oldest first, or `-created`; `created` when left out.
        sort: Sort,
    }
}

impl Entries {
    /// How long the answer waits.
    pub(super) fn wait(&self) -> Result<Duration> {
        match self.wait.unwrap_or_default() {
            wait if wait <= LONGEST_WAIT.as_secs() => Ok(Duration::from_secs(wait)),
            other => {
                Err(ServiceError::Malformed(format!("`wait` is 0 to {} seconds, not {other}", LONGEST_WAIT.as_secs())))
            }
        }
    }
}

impl Proposals {
    /// Which proposals are meant.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            call: self.call,
            phase: self.phase,
            topic: self.topic.clone(),
            party: self.party.clone(),
            status: self.status,
            mine: self.mine,
            reference: self.reference.clone(),
            begins: self.begins.clone(),
        }
    }

    /// Which part of the list is: its order, where it goes on and how many it may have.
    pub(super) fn part(&self) -> Result<(Sort, Option<&str>, u32)> {
        Ok((self.sort.unwrap_or(Sort::Created), self.cursor.as_deref(), self.limit()?))
    }
}

/// What to count: the filters of [`Proposals`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CountQuery {
    /// Proposals to this call alone.
    call: Option<CallId>,
    /// To calls in this phase alone.
    phase: Option<Phase>,
    /// On this topic alone.
    topic: Option<Slug>,
    /// With a party of this partner alone.
    party: Option<PartnerCode>,
    /// In this status alone.
    status: Option<Status>,
    /// Those you are a member of a `party` of, that are `assigned` to you, or on which you have yet to declare a conflict of interest or
    /// none (`undeclared`), alone.
    mine: Option<Relation>,
    /// With this reference alone.
    reference: Option<Reference>,
    /// With identifiers that begin with these 4 to 26 letters after `prop_` alone.
    begins: Option<IdBeginning>,
}

impl From<CountQuery> for Filter {
    fn from(query: CountQuery) -> Self {
        let CountQuery { call, phase, topic, party, status, mine, reference, begins } = query;
        Self { call, phase, topic, party, status, mine, reference, begins }
    }
}

/// What is asked to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyQuery {
    /// Whose access; yours when left out.
    pub(super) member: Option<MemberId>,
    /// `View`, `Read` (when left out), `ReadStaff` or `ViewDeliberation`.
    pub(super) action: Option<String>,
    /// With `ReadStaff`: the party whose restricted slots are meant.
    pub(super) owner: Option<PartnerCode>,
}

/// A label as it would be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelQuery {
    /// Partners beside the owners, with commas; empty for the owners alone. Left out: no label.
    releasable_to: Option<String>,
    /// Caveats, with commas; only with `releasable_to`.
    caveats: Option<String>,
}

impl LabelQuery {
    /// Nations beside the owners, and caveats; none for no label.
    pub(super) fn label(&self) -> Result<Option<(BTreeSet<PartnerCode>, BTreeSet<Slug>)>> {
        match (&self.releasable_to, &self.caveats) {
            (None, Some(_)) => Err(ServiceError::Malformed("`caveats` goes with `releasable_to`".into())),
            (None, None) => Ok(None),
            (Some(codes), caveats) => Ok(Some((among(codes)?, among(caveats.as_deref().unwrap_or_default())?))),
        }
    }
}

/// Roles in a call as they would be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RolesQuery {
    /// Every role that the member would have, with commas; empty for none.
    roles: String,
    /// `next` of the answer before.
    pub(super) cursor: Option<String>,
}

impl RolesQuery {
    /// The roles.
    pub(super) fn roles(&self) -> Result<BTreeSet<CallRole>> {
        among(&self.roles)
    }
}

/// A key card as it would be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CardQuery {
    /// `true`: no card would remain in force.
    revoked: Option<bool>,
    /// Where the member would work; as it is when left out.
    organisation: Option<String>,
    /// Every role that the member would have in the partner, with commas, empty for none; as they are when left out.
    roles: Option<String>,
    /// `next` of the answer before.
    pub(super) cursor: Option<String>,
}

impl CardQuery {
    /// What is to become of the card.
    pub(super) fn change(&self) -> Result<CardChange> {
        match (self.revoked.unwrap_or(false), &self.organisation, &self.roles) {
            (true, None, None) => Ok(CardChange::Revoked),
            (false, None, None) | (true, ..) => {
                Err(ServiceError::Malformed("say `revoked=true`, or `organisation`, `roles` or both".into()))
            }
            (false, organisation, roles) => Ok(CardChange::Issued {
                organisation: organisation.clone(),
                roles: roles.as_deref().map(among).transpose()?,
            }),
        }
    }
}

/// What stands between commas.
fn among<T: FromStr<Err: Display> + Ord>(text: &str) -> Result<BTreeSet<T>> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_err(|error| ServiceError::Malformed(format!("{error}")))).collect()
}

/// Where a listing in several answers continues.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CursorQuery {
    /// `next` of the answer before.
    pub(super) cursor: Option<String>,
}

fn limit(given: Option<u32>) -> Result<u32> {
    match given.unwrap_or(DEFAULT_PAGE) {
        limit @ 1..=MAX_PAGE => Ok(limit),
        other => Err(ServiceError::Malformed(format!("`limit` is 1 to {MAX_PAGE}, not {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_has_bounds_and_a_default() {
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(200)).unwrap(), 200);
        for wrong in [0, 201] {
            assert!(matches!(limit(Some(wrong)), Err(ServiceError::Malformed(_))), "{wrong}");
        }
    }

    #[test]
    fn wait_has_a_bound_and_none_is_asked_for_where_none_is_named() {
        let wait = |wait| Entries { kind: None, wait, cursor: None, limit: None }.wait();
        assert_eq!(wait(None).unwrap(), Duration::ZERO);
        assert_eq!(wait(Some(30)).unwrap(), LONGEST_WAIT);
        assert!(matches!(wait(Some(31)), Err(ServiceError::Malformed(_))));
    }

    #[test]
    fn identifier_that_is_none_is_hidden() {
        let ids = PathIds(vec![("call".into(), "call_nonsense".into())]);
        assert!(matches!(ids.id::<CallId>("call"), Err(ServiceError::Hidden)));
        assert!(matches!(PathIds(Vec::new()).id::<CallId>("call"), Err(ServiceError::Hidden)));
    }
}
