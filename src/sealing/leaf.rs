//! What the certificate in a statement says beside its key: whom it names, and when it is valid.
//!
//! It proves nothing by itself, for anybody can make a certificate over their own key; what counts is that a key card names the key.
//! But a certificate that names somebody else, or was out of its time, is not one to sign with, and anyone who holds such a statement up
//! could make others believe that it was.

use super::statement::{StatementError, invalid};
use crate::domain::id::MemberId;
use jiff::Timestamp;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The members that the certificate names.
#[must_use]
pub fn named(leaf: &[u8]) -> Vec<MemberId> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.into_iter().flat_map(|names| names.value.general_names.clone());
    let member = |name| match name {
        GeneralName::URI(uri) => MemberId::from_san_uri(uri).ok(),
        _ => None,
    };
    names.filter_map(member).collect()
}

/// Refuses a certificate that names another member. One that names none is a matter of the key card alone.
pub fn check_name(leaf: &[u8], member: &MemberId) -> Result<(), StatementError> {
    match named(leaf).into_iter().find(|named| named != member) {
        Some(other) => Err(invalid(format_args!(
            "the certificate in it names `{other}`; `{member}` signs with a certificate of their own"
        ))),
        None => Ok(()),
    }
}

/// Refuses a certificate that is not valid at the instant.
pub fn check_time(leaf: &[u8], at: Timestamp) -> Result<(), StatementError> {
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return Err(invalid("the certificate in it cannot be read"));
    };
    let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
    if (from.timestamp()..=until.timestamp()).contains(&at.as_second()) {
        return Ok(());
    }
    Err(invalid(format_args!(
        "the certificate in it is valid from {from} until {until}, and it is {at:.0}; sign with one that is valid"
    )))
}
