//! The subject of a change that its address names, although the body says it, too. A body of more than 64 KiB is accepted only if policy
//! permits its sender the act, and that is asked before the body is read: so the address of a large one must say what it is about.
//!
//! Naming it permits nothing. The act goes by the body, which must be about the same.

use super::{list::query, problem::Fault};
use crate::{
    domain::id::{CallId, ProgramId},
    policy::Action,
    service::first_look::About,
    wire::problem::Kind,
};
use axum::http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;

/// What a change is about, by its address or by its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedSubject {
    /// The call to which a proposal is begun.
    Call(CallId),
    /// The program under which a call is drafted.
    Program(ProgramId),
}

/// The query of a new proposal.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BegunIn {
    /// The call that the body names. Required for a body of more than 64 KiB or of unknown length.
    call: Option<CallId>,
}

/// The query of a new call.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftedIn {
    /// The program that the body names. Required for a body of more than 64 KiB or of unknown length.
    program: Option<ProgramId>,
}

impl NamedSubject {
    /// The call that the query of a new proposal names, if it does.
    pub(super) fn call(uri: &Uri) -> Result<Option<Self>, Fault> {
        query::<BegunIn>(uri).map(|query| query.call.map(Self::Call))
    }

    /// The program that the query of a new call names, if it does.
    pub(super) fn program(uri: &Uri) -> Result<Option<Self>, Fault> {
        query::<DraftedIn>(uri).map(|query| query.program.map(Self::Program))
    }

    /// What to ask of policy before the body is read.
    pub(super) fn about(self) -> About {
        match self {
            Self::Call(call) => About::Call(call, &[Action::CreateProposal]),
            Self::Program(program) => About::Draft(program),
        }
    }

    /// Refuses a body that is about something else than its address says.
    pub(super) fn check(self, named: Option<Self>) -> Result<(), Fault> {
        if named.is_none_or(|named| named == self) {
            return Ok(());
        }
        let detail = format!("the address and the body name two {}s", self.noun());
        Err(Fault::new(Kind::SubjectDiffers, detail))
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Program(_) => "program",
        }
    }
}

/// The refusal of a large body whose address does not say what it is about.
pub(super) fn not_named() -> Fault {
    let detail =
        "a body of more than 64 KiB, or of unknown length, is accepted only if the address says what it is about";
    Fault::new(Kind::SubjectRequired, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "call_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    fn kind_of<T>(result: Result<T, Fault>) -> Option<Kind> {
        match result {
            Ok(_) => None,
            Err(Fault::Request(kind, _)) => Some(kind),
            Err(Fault::Service(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn address_names_the_subject_or_nothing_and_is_malformed_otherwise() {
        let read = |address: &str| NamedSubject::call(&address.parse().unwrap());
        let call = NamedSubject::Call(CALL.parse().unwrap());
        assert_eq!(read(&format!("/v1/proposals?call={CALL}")).unwrap(), Some(call));
        assert_eq!(read("/v1/proposals").unwrap(), None);
        for wrong in ["?call=", "?call=x", "?program=x", "?cal=x"] {
            assert_eq!(kind_of(read(&format!("/v1/proposals{wrong}"))), Some(Kind::Malformed), "{wrong}");
        }
    }

    #[test]
    fn body_is_about_what_its_address_names() {
        let call = NamedSubject::Call(CALL.parse().unwrap());
        let other = NamedSubject::Call("call_01J9ZQ4N6M8V7X5T3R2P1K0HGG".parse().unwrap());
        assert_eq!(kind_of(call.check(None)), None);
        assert_eq!(kind_of(call.check(Some(call))), None);
        assert_eq!(kind_of(call.check(Some(other))), Some(Kind::SubjectDiffers));
    }
}
