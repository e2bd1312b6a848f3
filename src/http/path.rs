//! The way from a member's certificate to an anchor: found among what was sent along, and judged by RFC 5280, 6.1.
//!
//! Certificates that lead elsewhere do not disturb: every way is tried, within a budget, and one that holds is enough. What an
//! authority forbids is kept: names, policies, lengths, purposes and dates; a critical extension that is not known here refuses the
//! certificate by its name. rustls, which knows fewer extensions, must agree wherever it can read the path: two judges are harder to
//! fool than one.

mod names;
mod policies;

use super::{
    anchor::{Anchor, extension_name, instant, signs_lists},
    refusal::CertificateRefusal,
    revocation::Issuer,
    signed::SignedDer,
};
use crate::domain::id::{PartnerCode, Sha256};
use jiff::Timestamp;
use names::{CertificateNames, NameConstraints};
use policies::Policies;
use rustls::pki_types::CertificateDer;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{ParsedExtension, X509Extension},
    oid_registry::{Oid, asn1_rs::oid},
    x509::X509Version,
};

/// More certificates than any sensible chain has; bounds the work a stranger can ask for.
pub(super) const MAX_INTERMEDIATES: usize = 6;
/// Signatures that are verified for one certificate and anchor.
const MAX_SIGNATURES: u32 = 40;

/// Which partner beside the one in question has a key as its anchor.
pub(super) type OtherHolder<'n> = &'n dyn Fn(&Sha256) -> Option<PartnerCode>;

/// A certificate, read.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) der: &'a CertificateDer<'a>,
    pub(super) read: X509Certificate<'a>,
    pub(super) spki_sha256: Sha256,
    signed: SignedDer<'a>,
}

/// The certificates that a client presented.
#[derive(Debug)]
pub(super) struct PresentedCertificates<'a> {
    pub(super) leaf: Link<'a>,
    pub(super) others: Vec<Link<'a>>,
}

/// A way that holds.
#[derive(Debug)]
pub(super) struct Path<'s, 'a> {
    /// From the member's certificate upwards, without the anchor.
    pub(super) between: Vec<&'s Link<'a>>,
    /// Whether the TLS library can read all of it.
    pub(super) is_plain: bool,
    /// The first end of a certificate on it, the member's included.
    pub(super) not_after: Timestamp,
}

impl<'a> Link<'a> {
    fn read(der: &'a CertificateDer<'a>, what: &'static str) -> Result<Self, CertificateRefusal> {
        let malformed = CertificateRefusal::Malformed(what);
        let (rest, read) = x509_parser::parse_x509_certificate(der).map_err(|_| malformed.clone())?;
        let signed = SignedDer::read(der).filter(|_| rest.is_empty()).ok_or(malformed)?;
        Ok(Self { der, spki_sha256: Sha256::of(read.public_key().raw), read, signed })
    }

    /// What a revocation list of this authority would be checked by.
    pub(super) fn as_issuer(&self) -> Result<Issuer<'_>, CertificateRefusal> {
        let signs_lists = signs_lists(&self.read).map_err(twice)?;
        Ok(Issuer { subject_der: self.read.subject().as_raw(), spki_der: self.read.public_key().raw, signs_lists })
    }

    fn is_self_issued(&self) -> bool {
        self.read.subject().as_raw() == self.read.issuer().as_raw()
    }
}

impl<'a> PresentedCertificates<'a> {
    pub(super) fn read(
        leaf: &'a CertificateDer<'a>,
        others: &'a [CertificateDer<'a>],
    ) -> Result<Self, CertificateRefusal> {
        if others.len() > MAX_INTERMEDIATES {
            return Err(CertificateRefusal::PathTooLong);
        }
        let others = others.iter().map(|der| Link::read(der, "an intermediate's encoding is wrong"));
        Ok(Self { leaf: Link::read(leaf, "its encoding is wrong")?, others: others.collect::<Result<_, _>>()? })
    }

    /// A way to this anchor that holds at `now`, or why the one that came farthest does not.
    pub(super) fn path_to(
        &self,
        anchor: &Anchor,
        other_holder: OtherHolder<'_>,
        now: Timestamp,
    ) -> Result<Path<'_, 'a>, CertificateRefusal> {
        let (signatures, farthest) = (MAX_SIGNATURES, CertificateRefusal::UnknownIssuer);
        let mut search = Search { shown: self, anchor, other_holder, now, signatures, farthest };
        match search.upwards(&self.leaf, &mut Vec::new()) {
            Some(path) => Ok(path),
            None => Err(search.farthest),
        }
    }
}

struct Search<'s, 'a, 'n> {
    shown: &'s PresentedCertificates<'a>,
    anchor: &'n Anchor,
    other_holder: OtherHolder<'n>,
    now: Timestamp,
    signatures: u32,
    farthest: CertificateRefusal,
}

impl<'s, 'a> Search<'s, 'a, '_> {
    fn upwards(&mut self, head: &'s Link<'a>, between: &mut Vec<&'s Link<'a>>) -> Option<Path<'s, 'a>> {
        if head.read.issuer().as_raw() == self.anchor.subject_der && self.is_signed(head, &self.anchor.spki_der) {
            match self.judge(between) {
                Ok(path) => return Some(path),
                Err(refusal) => self.note(refusal),
            }
        }
        for next in &self.shown.others {
            let leads_on = next.read.subject().as_raw() == head.read.issuer().as_raw()
                // The anchor itself, or another authority's word for its key, is no step towards it.
                && next.spki_sha256 != self.anchor.spki_sha256
                && next.spki_sha256 != self.shown.leaf.spki_sha256
                && between.iter().all(|before| before.spki_sha256 != next.spki_sha256);
            if leads_on && self.is_signed(head, next.read.public_key().raw) {
                between.push(next);
                let path = self.upwards(next, between);
                between.pop();
                if path.is_some() {
                    return path;
                }
            }
        }
        None
    }

    fn is_signed(&mut self, head: &Link<'_>, spki: &[u8]) -> bool {
        let Some(left) = self.signatures.checked_sub(1) else { return false };
        self.signatures = left;
        let is_signed = head.signed.is_by(spki);
        if !is_signed {
            self.note(CertificateRefusal::BadSignature);
        }
        is_signed
    }

    fn note(&mut self, refusal: CertificateRefusal) {
        if refusal.rank() > self.farthest.rank() {
            self.farthest = refusal;
        }
    }

    /// Judges a way whose signatures hold, from the anchor down.
    fn judge(&self, between: &[&'s Link<'a>]) -> Result<Path<'s, 'a>, CertificateRefusal> {
        let malformed = CertificateRefusal::Malformed("the anchor's encoding is wrong");
        let (_, anchor) = x509_parser::parse_x509_certificate(&self.anchor.der).map_err(|_| malformed)?;
        let mut policies = Policies::begin(&anchor)?;
        let mut constraints = Vec::new();
        let mut may_follow = self.anchor.path_len.map_or(MAX_INTERMEDIATES, |limit| limit as usize);
        // What an anchor may be like was judged when it was enrolled; rustls looks at its name constraints alone.
        for extension in anchor.extensions().iter().filter(|extension| extension.oid == NAME_CONSTRAINTS) {
            constraints.push(NameConstraints::read(extension.value)?);
        }
        let mut is_plain = constraints.iter().all(NameConstraints::is_plain);
        let mut not_after = Timestamp::MAX;
        for authority in between.iter().rev() {
            is_plain &= check_extensions(authority, &mut constraints, &mut not_after, self.now)?;
            may_follow = check_authority(authority, may_follow)?;
            policies.pass(&authority.read, authority.is_self_issued())?;
        }
        let leaf = &self.shown.leaf;
        // INVARIANT: no partner's members come as another's because that one's authority vouches for theirs.
        let other = [leaf].iter().chain(between).find_map(|link| (self.other_holder)(&link.spki_sha256));
        if let Some(other) = other {
            return Err(CertificateRefusal::OtherPartnersAnchor { other });
        }
        is_plain &= check_extensions(leaf, &mut constraints, &mut not_after, self.now)?;
        policies.end(&leaf.read)?;
        Ok(Path { between: between.to_vec(), is_plain, not_after })
    }
}

/// Dates, names and extensions of one certificate; what it forbids those below it is added.
fn check_extensions<'l>(
    link: &'l Link<'_>,
    constraints: &mut Vec<NameConstraints<'l>>,
    not_after: &mut Timestamp,
    now: Timestamp,
) -> Result<bool, CertificateRefusal> {
    let certificate = &link.read;
    if certificate.signature_algorithm != certificate.signature {
        return Err(CertificateRefusal::Malformed("its two signature algorithms differ"));
    }
    certificate.extensions_map().map_err(twice)?;
    let date = |time| instant(time).map_err(|_| CertificateRefusal::Malformed("a date is out of range"));
    let end = date(certificate.validity().not_after)?;
    if now > end {
        return Err(CertificateRefusal::Expired);
    }
    if now < date(certificate.validity().not_before)? {
        return Err(CertificateRefusal::NotYetValid);
    }
    *not_after = end.min(*not_after);
    if !constraints.is_empty() {
        let names = CertificateNames::read(certificate)?;
        constraints.iter().try_for_each(|constraints| constraints.check(&names))?;
    }
    gather(certificate.extensions(), constraints)
}

/// Adds the name constraints among these extensions, refuses what is critical and unknown, and says whether the TLS library would
/// know them all.
fn gather<'l>(
    extensions: &'l [X509Extension<'_>],
    constraints: &mut Vec<NameConstraints<'l>>,
) -> Result<bool, CertificateRefusal> {
    let mut is_plain = true;
    for extension in extensions {
        let is_read = !matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
        if !is_read && (extension.critical || is_in(&extension.oid, KNOWN)) {
            return Err(CertificateRefusal::Malformed("an extension cannot be read"));
        }
        if extension.oid == NAME_CONSTRAINTS {
            let read = NameConstraints::read(extension.value)?;
            is_plain &= read.is_plain();
            constraints.push(read);
        }
        if extension.critical {
            if !is_in(&extension.oid, KNOWN) {
                return Err(CertificateRefusal::CriticalExtension(extension_name(&extension.oid)));
            }
            is_plain &= is_in(&extension.oid, PLAIN);
        }
    }
    Ok(is_plain)
}

const NAME_CONSTRAINTS: Oid<'static> = oid!(2.5.29.30);
/// Critical extensions that rustls knows, by their last arc under 2.5.29: keyUsage, subjectAltName, basicConstraints,
/// nameConstraints, cRLDistributionPoints, extKeyUsage.
const PLAIN: &[u8] = &[15, 17, 19, 30, 31, 37];
/// Those and what is processed here: certificatePolicies, policyMappings, policyConstraints, inhibitAnyPolicy.
const KNOWN: &[u8] = &[15, 17, 19, 30, 31, 37, 32, 33, 36, 54];

fn is_in(oid: &Oid<'_>, arcs: &[u8]) -> bool {
    matches!(oid.as_bytes(), [0x55, 0x1d, arc] if arcs.contains(arc))
}

/// Whether a certificate may issue others, and how many authorities may follow it.
fn check_authority(link: &Link<'_>, may_follow: usize) -> Result<usize, CertificateRefusal> {
    let certificate = &link.read;
    let constraints = certificate.basic_constraints().map_err(twice)?.filter(|constraints| constraints.value.ca);
    let Some(constraints) = constraints.filter(|_| certificate.version() == X509Version::V3) else {
        return Err(CertificateRefusal::NotAuthority);
    };
    if certificate.key_usage().map_err(twice)?.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(CertificateRefusal::NotAuthority);
    }
    if certificate.extended_key_usage().map_err(twice)?.is_some_and(|purposes| !purposes.value.client_auth) {
        return Err(CertificateRefusal::NoClientAuth);
    }
    let left = if link.is_self_issued() { Some(may_follow) } else { may_follow.checked_sub(1) };
    let own = constraints.value.path_len_constraint.map_or(usize::MAX, |limit| limit as usize);
    Ok(left.ok_or(CertificateRefusal::PathTooLong)?.min(own))
}

fn twice(_: x509_parser::error::X509Error) -> CertificateRefusal {
    CertificateRefusal::Malformed("it has an extension twice")
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
