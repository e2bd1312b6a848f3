//! A development PKI: the host's server certificate and, per partner, an authority, its revocation list and member
//! certificates, for demonstrations and tests.
//!
//! Decides what these certificates look like: EC P-256, members named by the URI `urn:entente:member:<partner>:<handle>`
//! and good for client authentication only, two partners whose authorities have the same name (it happens, and must be
//! harmless). It must never be used for a real exchange: authorities' private keys lie beside what they sign. Time and
//! serial numbers come from outside; the keys themselves come from aws-lc, which takes no generator.

mod authority;
pub mod cast;
#[cfg(test)]
#[cfg_attr(not(feature = "server"), expect(dead_code, reason = "most of it is for tests of the server"))]
pub(crate) mod testing;

pub use authority::{Authority, CertificateAndKey, CertificatePurpose, LeafProfile};

use self::cast::{
    AVI, BOB, CAROL, Cast, DANA, DemoNation, EMMA, EU, FRANK, GBR, GRACE, HARRY, ISLA, ISR, JIWOO, KOR, LUCA, MINJUN,
    NOA, OLIVIA, POLICY_OFFICERS, SEOYEON, SOFIA, TAMAR, USA, YAEL,
};
use crate::{
    domain::{
        ambient::Rng,
        id::{MemberId, PartnerCode},
    },
    platform,
    sealing::{card::PartnerCard, jws, statement::StatementError},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, fs, io, path::Path};

/// Why a development PKI cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DevPkiError {
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot read back a certificate: {0}")]
    ReadBack(#[from] jws::JwsError),
    #[error("cannot make the partner card: {0}")]
    Card(#[from] StatementError),
    #[error("`{0}` is not a name or time that a certificate can hold")]
    Unsayable(String),
    #[error("`{0}` exists already; choose an empty folder")]
    Exists(String),
    #[error("cannot write `{path}`: {source}")]
    Io { path: String, source: io::Error },
}

type Result<T, E = DevPkiError> = std::result::Result<T, E>;

/// What to make.
#[derive(Debug, Clone)]
pub struct Spec {
    pub valid_from: Timestamp,
    pub valid_until: Timestamp,
    /// DNS names and IP addresses of the server.
    pub server_names: Vec<String>,
    pub partners: Vec<PartnerSpec>,
}

/// A partner and the members to make certificates for.
#[derive(Debug, Clone)]
pub struct PartnerSpec {
    pub code: PartnerCode,
    pub name: String,
    /// IANA time zone.
    pub zone: String,
    /// Common name and organisation of its authority; two partners may have the same.
    pub authority: (String, String),
    /// The member whose key signs key cards.
    pub registrar: MemberId,
    /// The other members.
    pub members: Vec<MemberId>,
}

impl Spec {
    /// The host USA, ISR, KOR, GBR and EU with a registrar and some members each, valid from an hour ago for `days`
    /// days. The authorities of KOR and GBR have the same name.
    ///
    /// # Errors
    /// When the span leaves the calendar.
    pub fn usual(now: Timestamp, days: u16) -> Result<Self> {
        let until = now.checked_add(SignedDuration::from_hours(24 * i64::from(days)));
        let from = now.checked_sub(SignedDuration::from_hours(1));
        let (Ok(valid_from), Ok(valid_until)) = (from, until) else {
            return Err(DevPkiError::Unsayable(format!("{days} days from {now}")));
        };
        let nations = [
            DemoNation { cast: &[DANA, OLIVIA, BOB, CAROL, FRANK], ..USA },
            DemoNation { cast: &[NOA, AVI, TAMAR, YAEL], ..ISR },
            DemoNation { cast: &[JIWOO, MINJUN, SEOYEON], ..KOR },
            DemoNation { cast: &[GRACE, HARRY, ISLA], ..GBR },
            DemoNation { cast: &[EMMA, LUCA, SOFIA], ..EU },
        ];
        let partners = nations.iter().map(|nation| {
            let officers = POLICY_OFFICERS.iter().map(|(handle, _)| *handle);
            let handles: Vec<&str> = officers.chain(nation.cast.iter().map(Cast::handle)).collect();
            PartnerSpec::new(nation.code, nation.name, nation.zone, nation.authority, "registrar", &handles)
        });
        let server_names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        Ok(Self { valid_from, valid_until, server_names, partners: partners.collect::<Result<_>>()? })
    }
}

impl PartnerSpec {
    /// A partner from texts.
    ///
    /// # Errors
    /// When the code or a handle has not the shape of one.
    pub fn new(
        code: &str,
        name: &str,
        zone: &str,
        (common_name, organisation): (&str, &str),
        registrar: &str,
        members: &[&str],
    ) -> Result<Self> {
        let code: PartnerCode = code.parse().map_err(|_| DevPkiError::Unsayable(code.to_owned()))?;
        let member = |handle: &str| {
            MemberId::new(code.clone(), handle).map_err(|_| DevPkiError::Unsayable(format!("{code}:{handle}")))
        };
        Ok(Self {
            registrar: member(registrar)?,
            members: members.iter().map(|handle| member(handle)).collect::<Result<_>>()?,
            name: name.to_owned(),
            zone: zone.to_owned(),
            authority: (common_name.to_owned(), organisation.to_owned()),
            code,
        })
    }
}

/// Everything that was made, in memory.
#[derive(Debug)]
pub struct DevPki {
    /// The authority of the server's certificate.
    pub server_authority: Authority,
    pub server: CertificateAndKey,
    pub partners: BTreeMap<PartnerCode, DevPartner>,
}

/// A partner's authority, card and members.
#[derive(Debug)]
pub struct DevPartner {
    pub authority: Authority,
    /// Names the registrar's key; its fingerprint is what clients pin.
    pub card: PartnerCard,
    /// Revocation list in PEM, with nothing on it.
    pub crl: String,
    /// The registrar among them.
    pub members: BTreeMap<MemberId, CertificateAndKey>,
}

impl DevPki {
    /// Makes everything that `spec` asks for.
    ///
    /// # Errors
    /// When a name or an instant cannot stand in a certificate.
    pub fn generate(spec: &Spec, rng: &dyn Rng) -> Result<Self> {
        let valid = (spec.valid_from, spec.valid_until);
        let server_authority = Authority::new(("Entente Development Server CA", "Entente"), valid, rng)?;
        let server = LeafProfile {
            common_name: spec.server_names.first().cloned().unwrap_or_default(),
            uri: None,
            names: spec.server_names.clone(),
            valid_from: spec.valid_from,
            valid_until: spec.valid_until,
            usage: CertificatePurpose::Server,
        };
        let server = server_authority.issue(&server, rng)?;
        let partners = spec.partners.iter().map(|partner| {
            let (common_name, organisation) = (&*partner.authority.0, &*partner.authority.1);
            let authority = Authority::new((common_name, organisation), valid, rng)?;
            let mut members = BTreeMap::new();
            for member in std::iter::once(&partner.registrar).chain(&partner.members) {
                members.insert(member.clone(), authority.issue(&authority.member(member), rng)?);
            }
            let registrars = [members[&partner.registrar].spki].into();
            let anchors = authority.certificate.as_bytes();
            let card = PartnerCard::new(partner.code.clone(), &partner.name, &partner.zone, anchors, registrars)?;
            let crl = authority.crl(&[], 1)?;
            Ok((partner.code.clone(), DevPartner { authority, card, crl, members }))
        });
        Ok(Self { server_authority, server, partners: partners.collect::<Result<_>>()? })
    }

    /// Writes everything under `dir`, private keys readable by their owner alone:
    /// `server/{ca.crt,ca.key,server.crt,server.key}` and, per partner, `CODE/{ca.crt,ca.key,crl.pem,card.json}` with
    /// `CODE/HANDLE.crt` and `CODE/HANDLE.key` for each member.
    ///
    /// # Errors
    /// When a file exists already or cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let server = dir.join("server");
        self.server_authority.write(&server, "ca")?;
        self.server.write(&server, "server")?;
        for (code, partner) in &self.partners {
            let folder = dir.join(code.as_str());
            partner.authority.write(&folder, "ca")?;
            write_new(&folder.join("crl.pem"), partner.crl.as_bytes(), false)?;
            write_new(&folder.join("card.json"), &partner.card.canonical()?, false)?;
            for (member, credential) in &partner.members {
                credential.write(&folder, member.handle())?;
            }
        }
        Ok(())
    }
}

fn write_new(path: &Path, content: &[u8], is_secret: bool) -> Result<()> {
    let shown = || path.display().to_string();
    let write = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let create = if is_secret { platform::create_private } else { platform::create_public };
        io::Write::write_all(&mut create(path)?, content)
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => DevPkiError::Exists(shown()),
        _ => DevPkiError::Io { path: shown(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ambient::SystemRng;
    use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject};
    use x509_parser::prelude::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn pki() -> DevPki {
        DevPki::generate(&Spec::usual(NOW.parse().unwrap(), 30).unwrap(), &SystemRng).unwrap()
    }

    fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    fn member(text: &str) -> MemberId {
        text.parse().unwrap()
    }

    #[test]
    fn member_certificate_names_its_member_and_serves_clients_only() {
        let pki = pki();
        let partner = &pki.partners[&"ISR".parse().unwrap()];
        let (leaf, ca) = (der(&partner.members[&member("ISR:avi")].certificate), der(&partner.authority.certificate));
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let (_, ca) = X509Certificate::from_der(&ca).unwrap();
        let san = leaf.subject_alternative_name().unwrap().unwrap();
        let [GeneralName::URI(uri)] = san.value.general_names.as_slice() else { panic!("{san:?}") };
        assert_eq!(MemberId::from_san_uri(uri).unwrap(), member("ISR:avi"));
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
        assert!(!leaf.is_ca() && ca.is_ca());
        leaf.verify_signature(Some(ca.public_key())).unwrap();
    }

    #[test]
    fn server_certificate_names_the_loopback_addresses() {
        let leaf = der(&pki().server.certificate);
        let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
        let san = leaf.subject_alternative_name().unwrap().unwrap();
        assert!(san.value.general_names.contains(&GeneralName::DNSName("localhost")));
        assert!(san.value.general_names.contains(&GeneralName::IPAddress(&[127, 0, 0, 1])));
        assert_eq!(san.value.general_names.len(), 3);
        assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    }

    #[test]
    fn two_authorities_bear_one_name_and_different_keys() {
        let pki = pki();
        let authority = |code: &str| der(&pki.partners[&code.parse().unwrap()].authority.certificate);
        let (kor, gbr) = (authority("KOR"), authority("GBR"));
        let (_, kor) = X509Certificate::from_der(&kor).unwrap();
        let (_, gbr) = X509Certificate::from_der(&gbr).unwrap();
        assert_eq!(kor.subject(), gbr.subject());
        assert_ne!(kor.public_key(), gbr.public_key());
    }

    #[test]
    fn card_names_the_registrars_key() {
        let pki = pki();
        for (code, partner) in &pki.partners {
            let registrar = MemberId::new(code.clone(), "registrar").unwrap();
            assert_eq!(partner.card.registrars, [partner.members[&registrar].spki].into());
        }
    }

    #[test]
    fn bad_certificates_can_be_made_for_tests() {
        let pki = pki();
        let usa = &pki.partners[&"USA".parse().unwrap()].authority;
        let now: Timestamp = NOW.parse().unwrap();
        let expired = der(&usa.expired(&member("USA:bob"), now, &SystemRng).unwrap().certificate);
        let (_, expired) = X509Certificate::from_der(&expired).unwrap();
        assert!(expired.validity().not_after.timestamp() < now.as_second());
        let claims = der(&usa.issue(&usa.member(&member("ISR:avi")), &SystemRng).unwrap().certificate);
        let (_, claims) = X509Certificate::from_der(&claims).unwrap();
        assert_eq!(claims.issuer().to_string(), "O=Office of Cooperative Programs, CN=US Research Root CA");

        let bob = &pki.partners[&"USA".parse().unwrap()].members[&member("USA:bob")];
        let crl = usa.crl(&[bob], 2).unwrap();
        let crl = CertificateRevocationListDer::from_pem_slice(crl.as_bytes()).unwrap();
        let (_, crl) = CertificateRevocationList::from_der(&crl).unwrap();
        let serials: Vec<_> = crl.iter_revoked_certificates().map(|revoked| revoked.raw_serial().to_vec()).collect();
        assert_eq!(serials, std::slice::from_ref(&bob.serial));
    }

    #[cfg(unix)]
    #[test]
    fn private_keys_are_written_for_their_owner_alone_and_never_over_others() {
        use std::os::unix::fs::PermissionsExt;
        let (pki, dir) = (pki(), tempfile::tempdir().unwrap());
        pki.write(dir.path()).unwrap();
        for key in ["server/ca.key", "server/server.key", "USA/ca.key", "ISR/avi.key"] {
            assert_eq!(fs::metadata(dir.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
        let card = fs::read(dir.path().join("EU/card.json")).unwrap();
        assert_eq!(PartnerCard::from_json(&card).unwrap(), pki.partners[&"EU".parse().unwrap()].card);
        assert!(matches!(pki.write(dir.path()), Err(DevPkiError::Exists(_))));
    }
}
