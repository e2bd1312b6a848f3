//! Names of distribution points, in lists and in certificates (RFC 5280, 4.2.1.13, 5.2.5 and 6.3.3 b).
//!
//! Names of every kind are compared byte by byte: two spellings of one directory name are two names, and a certificate that no list
//! covers is refused.

use super::super::signed::{Element, elements};
use x509_parser::{certificate::X509Certificate, oid_registry::asn1_rs::oid};

/// A general name: its tag, and its contents; of a directory name the steps, so that relative ones can be completed.
pub(in crate::http) type PointName = (u8, Vec<u8>);

const DIRECTORY: u8 = 0xa4;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// The names in the issuing distribution point of a list by this issuer, in order; nothing when they cannot be read.
pub(super) fn of_list(name: &[u8], issuer_der: &[u8]) -> Option<Vec<PointName>> {
    let mut names = read(name, issuer_der)?;
    names.sort();
    Some(names)
}

/// The names of the distribution points that hold every reason for revoking this certificate, from its own issuer.
pub(super) fn of_certificate(certificate: &X509Certificate<'_>) -> Vec<PointName> {
    let issuer = certificate.issuer().as_raw();
    let extension = certificate.extensions().iter().find(|extension| extension.oid == oid!(2.5.29.31));
    let points = extension.and_then(|extension| elements(only(extension.value, SEQUENCE)?)).unwrap_or_default();
    points
        .iter()
        .filter_map(|point| match elements(point.contents)?[..] {
            // A second part would be some reasons alone, or another issuer.
            [Element { tag: 0xa0, contents, .. }] => read(contents, issuer),
            _ => None,
        })
        .flatten()
        .collect()
}

/// Reads a `DistributionPointName`: full names, or one relative to the issuer's.
fn read(name: &[u8], issuer_der: &[u8]) -> Option<Vec<PointName>> {
    let [choice] = elements(name)?[..] else { return None };
    let parts = elements(choice.contents).filter(|parts| !parts.is_empty())?;
    match choice.tag {
        0xa0 => parts.iter().map(general_name).collect(),
        0xa1 => {
            let mut step = choice.whole.to_vec();
            step[0] = SET;
            Some(vec![(DIRECTORY, [only(issuer_der, SEQUENCE)?, &step].concat())])
        }
        _ => None,
    }
}

fn general_name(name: &Element<'_>) -> Option<PointName> {
    let contents = if name.tag == DIRECTORY { only(name.contents, SEQUENCE)? } else { name.contents };
    Some((name.tag, contents.to_vec()))
}

/// The contents of the one element that these bytes are.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match elements(bytes)?[..] {
        [Element { tag: found, contents, .. }] if found == tag => Some(contents),
        _ => None,
    }
}
