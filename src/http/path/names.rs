//! Name constraints (RFC 5280, 4.2.1.10): which names an authority may vouch for.
//!
//! DNS names, IP addresses, e-mail addresses, directory names and the hosts of URIs are compared. Where it cannot be decided whether two
//! names are the same, the answer is the one that refuses; a name of a kind that is constrained and not compared here refuses too.

use super::super::{
    refusal::CertificateRefusal,
    signed::{Element, elements},
};
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;

const DNS: u8 = 0x82;
const EMAIL: u8 = 0x81;
const URI: u8 = 0x86;
const DIRECTORY: u8 = 0xa4;
const IP: u8 = 0x87;
const OTHER: u8 = 0xa0;

/// `emailAddress` in a subject, 1.2.840.113549.1.9.1.
const EMAIL_ATTRIBUTE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
/// An e-mail address beyond ASCII, 1.3.6.1.5.5.7.8.9 (RFC 9598).
const UTF8_MAILBOX: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 9];

/// The constraints of one certificate.
#[derive(Debug)]
pub(super) struct NameConstraints<'a> {
    permitted: Vec<Element<'a>>,
    excluded: Vec<Element<'a>>,
}

impl<'a> NameConstraints<'a> {
    /// Reads the extension's value.
    pub(super) fn read(value: &'a [u8]) -> Result<Self, CertificateRefusal> {
        let (mut permitted, mut excluded) = (Vec::new(), Vec::new());
        for list in elements(inside(value, 0x30).ok_or(UNREADABLE)?).ok_or(UNREADABLE)? {
            let bases = match list.tag {
                0xa0 => &mut permitted,
                0xa1 => &mut excluded,
                _ => return Err(UNREADABLE),
            };
            for subtree in elements(list.contents).ok_or(UNREADABLE)? {
                let parts = elements(subtree.contents).ok_or(UNREADABLE)?;
                // A minimum or maximum, which RFC 5280 does not allow, would be a second part.
                let ([base], 0x30) = (&parts[..], subtree.tag) else { return Err(UNREADABLE) };
                bases.push(*base);
            }
        }
        if permitted.is_empty() && excluded.is_empty() { Err(UNREADABLE) } else { Ok(Self { permitted, excluded }) }
    }

    /// Whether the TLS library knows all of them.
    pub(super) fn is_plain(&self) -> bool {
        self.permitted.iter().chain(&self.excluded).all(|base| matches!(base.tag, DNS | IP))
    }

    /// Refuses names that the certificate's authority may not vouch for.
    pub(super) fn check(&self, names: &CertificateNames<'_>) -> Result<(), CertificateRefusal> {
        names.0.iter().try_for_each(|name| self.check_one(name))
    }

    fn check_one(&self, name: &Element<'_>) -> Result<(), CertificateRefusal> {
        let of_kind = |bases: &[Element<'a>]| -> Vec<Element<'a>> {
            bases.iter().filter(|base| concerns(base, name)).copied().collect()
        };
        let (permitted, excluded) = (of_kind(&self.permitted), of_kind(&self.excluded));
        let refusal = CertificateRefusal::NameConstraint(kind(name.tag));
        if permitted.is_empty() && excluded.is_empty() {
            return Ok(());
        }
        let is_permitted =
            permitted.is_empty() || permitted.iter().any(|base| is_within(name, base, false) == Some(true));
        let is_excluded = excluded.iter().any(|base| is_within(name, base, true) != Some(false));
        if is_permitted && !is_excluded { Ok(()) } else { Err(refusal) }
    }
}

/// All names in a certificate that a constraint could be about.
#[derive(Debug)]
pub(super) struct CertificateNames<'a>(Vec<Element<'a>>);

impl<'a> CertificateNames<'a> {
    pub(super) fn read(certificate: &'a X509Certificate<'a>) -> Result<Self, CertificateRefusal> {
        let mut names = Vec::new();
        let subject = certificate.subject().as_raw();
        let relative = elements(inside(subject, 0x30).ok_or(UNREADABLE)?).ok_or(UNREADABLE)?;
        if !relative.is_empty() {
            names.push(Element { tag: DIRECTORY, contents: subject, whole: subject });
        }
        for set in relative {
            for attribute in elements(set.contents).ok_or(UNREADABLE)? {
                let parts = elements(attribute.contents).ok_or(UNREADABLE)?;
                let [kind, value] = parts[..] else { return Err(UNREADABLE) };
                if kind.contents == EMAIL_ATTRIBUTE {
                    names.push(Element { tag: EMAIL, ..value });
                }
            }
        }
        for extension in
            certificate.extensions().iter().filter(|extension| extension.oid.as_bytes() == [0x55, 0x1d, 17])
        {
            names.extend(elements(inside(extension.value, 0x30).ok_or(UNREADABLE)?).ok_or(UNREADABLE)?);
        }
        Ok(Self(names))
    }
}

const UNREADABLE: CertificateRefusal =
    CertificateRefusal::Malformed("its names or an authority's name constraints cannot be read");

fn kind(tag: u8) -> &'static str {
    match tag {
        DNS => "DNS name",
        EMAIL => "e-mail address",
        URI => "URI",
        DIRECTORY => "directory name",
        IP => "IP address",
        OTHER => "other name",
        _ => "name",
    }
}

/// Whether a name is one within the base; `None` when that cannot be decided.
fn is_within(name: &Element<'_>, base: &Element<'_>, excluding: bool) -> Option<bool> {
    match (name.tag, base.tag) {
        (DNS, DNS) => is_dns_within(ascii(name.contents)?, ascii(base.contents)?),
        (EMAIL, EMAIL) => is_email_within(ascii(name.contents)?, ascii(base.contents)?, excluding),
        (URI, URI) => is_uri_within(ascii(name.contents)?, ascii(base.contents)?),
        (IP, IP) => is_ip_within(name.contents, base.contents),
        (DIRECTORY, DIRECTORY) => is_directory_within(name.contents, base.contents),
        _ => None,
    }
}

/// Whether a constraint is about names like this one. Other names are alike when their types are the same; one of them is an
/// e-mail address in another form.
fn concerns(base: &Element<'_>, name: &Element<'_>) -> bool {
    let kind = |name: &Element<'_>| elements(name.contents)?.first().map(|id| id.contents.to_vec());
    match (base.tag, name.tag) {
        (OTHER, OTHER) => kind(base).is_none_or(|base| kind(name).is_none_or(|name| name == base)),
        (EMAIL, OTHER) => kind(name).is_none_or(|kind| kind == UTF8_MAILBOX),
        (base, name) => base == name,
    }
}

fn is_dns_within(name: &str, base: &str) -> Option<bool> {
    let (name, base) = (name.to_ascii_lowercase(), base.to_ascii_lowercase());
    let is_odd =
        |text: &str| text.ends_with('.') || text.contains("..") || text.contains(|c: char| c.is_ascii_whitespace());
    if name.is_empty() || is_odd(&name) || is_odd(&base) {
        return None;
    }
    if base.is_empty() {
        return Some(true);
    }
    let within = |name: &str, base: &str| match base.strip_prefix('.') {
        Some(_) => name.ends_with(base),
        None => name == base || name.strip_suffix(base).is_some_and(|rest| rest.ends_with('.')),
    };
    match name.strip_prefix("*.") {
        None if name.contains('*') => None,
        None => Some(within(&name, &base)),
        // All of what it stands for, none of it, or some.
        Some(parent) if within(parent, base.trim_start_matches('.')) => Some(true),
        Some(parent) if within(base.trim_start_matches('.'), parent) => None,
        Some(_) => Some(false),
    }
}

fn is_email_within(name: &str, base: &str, excluding: bool) -> Option<bool> {
    let (local, host) = name.rsplit_once('@')?;
    if local.is_empty() || host.is_empty() || name.contains(['"', '\\', ' ']) || local.contains('@') || base.is_empty()
    {
        return None;
    }
    if let Some((base_local, base_host)) = base.rsplit_once('@') {
        let same_local = local == base_local || (excluding && local.eq_ignore_ascii_case(base_local));
        return Some(same_local && host.eq_ignore_ascii_case(base_host));
    }
    Some(match base.strip_prefix('.') {
        Some(_) => host.to_ascii_lowercase().ends_with(&base.to_ascii_lowercase()),
        None => host.eq_ignore_ascii_case(base),
    })
}

/// Whether a URI's host is the base, or below it when it begins with a dot; `None` for a URI without a host that is a DNS name (such as a
/// member's).
fn is_uri_within(name: &str, base: &str) -> Option<bool> {
    let (scheme, rest) = name.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    let is_odd = scheme.contains(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c))
        || user.contains(['@', '\\'])
        || port.contains(|c: char| !c.is_ascii_digit());
    let (host, base) = (host.to_ascii_lowercase(), base.to_ascii_lowercase());
    if is_odd || !is_host(&host) || !is_host(base.strip_prefix('.').unwrap_or(&base)) {
        return None;
    }
    Some(if base.starts_with('.') { host.ends_with(&base) } else { host == base })
}

/// Whether this is a fully qualified DNS name and no address.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let top = name.rsplit('.').next().unwrap_or_default();
    name.contains('.') && name.split('.').all(is_label) && !top.starts_with(|first: char| first.is_ascii_digit())
}

fn is_ip_within(name: &[u8], base: &[u8]) -> Option<bool> {
    let (network, mask) = base.split_at_checked(base.len() / 2)?;
    if !matches!((name.len(), base.len()), (4 | 16, 8 | 32)) {
        return None;
    }
    if let (Ok(bytes), 8) = (<[u8; 16]>::try_from(name), base.len())
        && let IpAddr::V4(inner) = IpAddr::from(bytes).to_canonical()
    {
        return is_ip_within(&inner.octets(), base);
    }
    let same = |((name, network), mask): ((&u8, &u8), &u8)| name & mask == network & mask;
    Some(name.len() == network.len() && name.iter().zip(network).zip(mask).all(same))
}

/// Whether the base is where the name begins. Both are whole `Name`s in DER.
fn is_directory_within(name: &[u8], base: &[u8]) -> Option<bool> {
    let (name, base) = (elements(inside(name, 0x30)?)?, elements(inside(base, 0x30)?)?);
    if base.len() > name.len() {
        return Some(false);
    }
    all(base.iter().zip(&name).map(|(base, name)| is_same_set(base.contents, name.contents)))
}

/// Whether two sets of attributes, one step in a directory, are the same.
fn is_same_set(one: &[u8], other: &[u8]) -> Option<bool> {
    if one == other {
        return Some(true);
    }
    let (one, other) = (elements(one)?, elements(other)?);
    if one.len() != other.len() {
        return Some(false);
    }
    all(one.iter().map(|one| {
        let answers: Vec<_> = other.iter().map(|other| is_same_attribute(one.contents, other.contents)).collect();
        if answers.contains(&Some(true)) {
            return Some(true);
        }
        (!answers.contains(&None)).then_some(false)
    }))
}

fn is_same_attribute(one: &[u8], other: &[u8]) -> Option<bool> {
    let (one, other) = (elements(one)?, elements(other)?);
    let ([one_kind, one], [other_kind, other]) = (&one[..], &other[..]) else { return None };
    if one_kind != other_kind {
        return Some(false);
    }
    if one == other {
        return Some(true);
    }
    // Case and blanks do not distinguish names (RFC 5280, 7.1). Beyond ASCII too many spellings are one.
    Some(folded(one)? == folded(other)?)
}

fn folded(value: &Element<'_>) -> Option<String> {
    let text = match value.tag {
        0x0c | 0x13 | 0x14 | 0x16 => ascii(value.contents)?.to_owned(),
        0x1e => {
            let (units, odd) = value.contents.as_chunks::<2>();
            let text =
                String::from_utf16(&units.iter().map(|unit| u16::from_be_bytes(*unit)).collect::<Vec<_>>()).ok()?;
            (odd.is_empty() && text.is_ascii()).then_some(text)?
        }
        _ => return None,
    };
    Some(text.to_ascii_lowercase().split_ascii_whitespace().collect::<Vec<_>>().join(" "))
}

/// False when one is, else unknown when one is, else true.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_known = true;
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(true)
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii() && !text.contains(|c: char| c.is_ascii_control()))
}

/// The contents of the one element that these bytes are.
fn inside(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match elements(bytes)?[..] {
        [Element { tag: found, contents, .. }] if found == tag => Some(contents),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_are_compared_by_whole_labels() {
        for (name, base, within) in [
            ("a.Example.org", "example.ORG", Some(true)),
            ("example.org", "example.org", Some(true)),
            ("badexample.org", "example.org", Some(false)),
            ("example.org", ".example.org", Some(false)),
            ("a.example.org", ".example.org", Some(true)),
            ("anything", "", Some(true)),
            ("*.example.org", "example.org", Some(true)),
            ("*.example.org", "a.example.org", None),
            ("*.example.org", "other.org", Some(false)),
            ("a*.example.org", "example.org", None),
            ("example.org.", "example.org", None),
        ] {
            assert_eq!(is_dns_within(name, base), within, "{name} in {base}");
        }
    }

    #[test]
    fn e_mail_addresses_are_compared_as_mailbox_host_or_domain() {
        for (name, base, excluding, within) in [
            ("avi@example.org", "avi@EXAMPLE.org", false, Some(true)),
            ("Avi@example.org", "avi@example.org", false, Some(false)),
            ("Avi@example.org", "avi@example.org", true, Some(true)),
            ("avi@Example.org", "example.org", false, Some(true)),
            ("avi@a.example.org", "example.org", false, Some(false)),
            ("avi@a.example.org", ".example.org", false, Some(true)),
            ("avi@example.org", ".example.org", false, Some(false)),
            ("\"avi@evil.org\"@example.org", "example.org", false, None),
            ("nobody", "example.org", false, None),
        ] {
            assert_eq!(is_email_within(name, base, excluding), within, "{name} in {base}");
        }
    }

    #[test]
    fn uris_are_compared_by_host() {
        for (name, base, within) in [
            ("https://example.org/a", "example.ORG", Some(true)),
            ("https://avi@Example.org:8443?q", "example.org", Some(true)),
            ("https://a.example.org", "example.org", Some(false)),
            ("https://a.example.org", ".example.org", Some(true)),
            ("https://example.org", ".example.org", Some(false)),
            ("https://badexample.org", ".example.org", Some(false)),
            ("https://evil.org/@example.org", "example.org", Some(false)),
            ("https://evil.org#@example.org", "example.org", Some(false)),
            ("https://evil.org\\@example.org", "example.org", None),
            ("https://a@evil.org@example.org", "example.org", None),
            ("https://example.org:x", "example.org", None),
            ("https://evil.org%2f.example.org", ".example.org", None),
            ("https://example.org.", "example.org", None),
            ("https://10.1.2.3/", "example.org", None),
            ("https://[::1]/", "example.org", None),
            ("https://localhost/", "localhost", None),
            ("urn:entente:member:ISR:avi", "example.org", None),
            ("urn:a://example.org", "example.org", None),
            ("https:/example.org", "example.org", None),
            ("https://example.org", "", None),
        ] {
            assert_eq!(is_uri_within(name, base), within, "{name} in {base}");
        }
    }

    #[test]
    fn addresses_are_compared_by_network() {
        let base = [10, 1, 0, 0, 255, 255, 0, 0];
        assert_eq!(is_ip_within(&[10, 1, 9, 9], &base), Some(true));
        assert_eq!(is_ip_within(&[10, 2, 9, 9], &base), Some(false));
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 9, 9];
        assert_eq!(is_ip_within(&mapped, &base), Some(true));
        assert_eq!(is_ip_within(&[10, 1], &base), None);
    }

    /// A `Name` of these attributes, each a step: last byte of 2.5.4, tag and value.
    fn name(steps: &[(u8, u8, &[u8])]) -> Vec<u8> {
        let element = |tag: u8, contents: &[u8]| [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat();
        let step = |(kind, tag, value): &(u8, u8, &[u8])| {
            let kind = [6, 3, 0x55, 4, *kind];
            element(0x31, &element(0x30, &[&kind[..], &element(*tag, value)].concat()))
        };
        element(0x30, &steps.iter().map(step).collect::<Vec<_>>().concat())
    }

    #[test]
    fn directory_names_are_compared_step_by_step_and_doubt_is_told() {
        let base = name(&[(6, 0x13, b"IL"), (10, 0x0c, b"Institute  of Science")]);
        let within = |steps: &[(u8, u8, &[u8])]| is_directory_within(&name(steps), &base);
        assert_eq!(within(&[(6, 0x13, b"IL"), (10, 0x0c, b"Institute  of Science"), (3, 0x0c, b"Avi")]), Some(true));
        assert_eq!(within(&[(6, 0x0c, b"il"), (10, 0x13, b"institute of science ")]), Some(true));
        let utf16: Vec<u8> = "INSTITUTE OF SCIENCE".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(within(&[(6, 0x13, b"IL"), (10, 0x1e, &utf16)]), Some(true));
        assert_eq!(within(&[(6, 0x13, b"IL")]), Some(false));
        assert_eq!(within(&[(6, 0x13, b"KR"), (10, 0x0c, b"Institute of Science")]), Some(false));
        assert_eq!(within(&[(10, 0x0c, b"Institute of Science"), (6, 0x13, b"IL")]), Some(false));
        let wide = "Ｉnstitute of Science".as_bytes();
        assert_eq!(within(&[(6, 0x13, b"IL"), (10, 0x0c, wide)]), None, "may be the same in another spelling");
        assert_eq!(
            is_directory_within(&name(&[(6, 0x13, b"IL")]), &name(&[])),
            Some(true),
            "the empty name is everything"
        );
    }
}
