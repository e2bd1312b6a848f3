//! Which certificates are accepted, and whose they are.
//!
//! Each anchor of each partner has a verifier of its own; they are never merged, because rustls does not tell which root
//! matched and a merged store would let one partner's CA issue names of another. A [`Registry`] never changes: new trust
//! is a new registry with a higher generation, and connections accepted by an older one are judged again.
//!
//! What cannot be used is shut out, never skipped: a partner with one unreadable anchor or list keeps what it had if its
//! anchors are unchanged, and is refused otherwise. One partner's fault never delays another partner's revocation.
//!
//! Revocation: as soon as a partner has one list, each issuer of its leaves needs a current one of its own key; expired
//! and foreign lists refuse. Only leaves are looked up (national intermediates rarely publish a list each; an
//! intermediate is withdrawn by withdrawing its anchor).

use super::{
    anchor::{Anchor, AnchorFault},
    crl::{CrlFault, CrlFiles, RevocationList, read_crls},
    metrics,
    peer::{Leaf, PeerIdentity, read_intermediate},
    refusal::Refusal,
    tls::provider,
};
use crate::domain::{
    ambient::Clock,
    id::{PartnerCode, Sha256},
};
use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use rustls::{
    DistinguishedName, RootCertStore,
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// More certificates than any sensible chain has; bounds the work a stranger can ask for.
const MAX_INTERMEDIATES: usize = 6;

/// A partner as storage knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerTrust {
    pub code: PartnerCode,
    /// Its CA certificates.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Revocation lists from elsewhere than the folder.
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Something about a partner's trust that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    #[error("an anchor of `{partner}` {fault}")]
    Anchor { partner: PartnerCode, fault: AnchorFault },
    #[error("`{partner}` has no anchor")]
    NoAnchor { partner: PartnerCode },
    #[error("`{partner}` and `{other}` have an anchor with the same key")]
    SharedKey { partner: PartnerCode, other: PartnerCode },
    #[error("a revocation list of `{partner}`{} {fault}", in_file(.file.as_ref()))]
    Crl { partner: PartnerCode, file: Option<PathBuf>, fault: CrlFault },
    #[error("`{}` cannot be read: {error}", .file.display())]
    Unreadable { partner: PartnerCode, file: PathBuf, error: String },
    #[error("`{partner}` had revocation lists and has none any more")]
    CrlsGone { partner: PartnerCode },
    #[error("`{}` belongs to no enrolled partner", .file.display())]
    Stray { file: PathBuf },
}

/// Partners could not be learnt at all; the trust there was stays in force.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot load the partners: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot read the folder of revocation lists `{}`: {error}", .folder.display())]
    Folder { folder: PathBuf, error: std::io::Error },
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    pub generation: u64,
    /// False when everything was as before, and the generation too.
    pub changed: bool,
    /// Partners whose certificates are accepted now.
    pub partners: usize,
    pub faults: Vec<TrustFault>,
}

/// All partners' trust at one moment.
#[derive(Debug)]
pub struct Registry {
    generation: u64,
    partners: BTreeMap<PartnerCode, Arc<PartnerVerifiers>>,
    /// Anchors by their subject in DER; several partners may have CAs of one name.
    by_subject: HashMap<Vec<u8>, Vec<(PartnerCode, Arc<AnchorVerifier>)>>,
    hints: Vec<DistinguishedName>,
}

/// The trust in force and how to learn it anew.
pub struct Trust {
    clock: Arc<dyn Clock>,
    source: Source,
    crl_folder: Option<PathBuf>,
    registry: ArcSwap<Registry>,
    reloading: tokio::sync::Mutex<()>,
}

type SourceError = Box<dyn std::error::Error + Send + Sync>;
type Source = Box<dyn Fn() -> BoxFuture<'static, Result<Vec<PartnerTrust>, SourceError>> + Send + Sync>;

impl Trust {
    /// Loads partners from `source` and lists from the folder. Faults of single partners do not stop a server from
    /// starting: they are in the answer, in the log and in the metrics.
    pub async fn start<F, R>(
        clock: Arc<dyn Clock>,
        crl_folder: Option<PathBuf>,
        source: F,
    ) -> Result<(Arc<Self>, Reloaded), TrustError>
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Vec<PartnerTrust>, SourceError>> + Send + 'static,
    {
        let source: Source = Box::new(move || Box::pin(source()));
        let registry = ArcSwap::from_pointee(Registry::empty());
        let trust = Arc::new(Self { clock, source, crl_folder, registry, reloading: tokio::sync::Mutex::default() });
        let reloaded = trust.reload().await?;
        Ok((trust, reloaded))
    }

    /// The trust in force.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Learns trust anew and puts it in force. On an error the old one stays.
    pub async fn reload(&self) -> Result<Reloaded, TrustError> {
        let _one_at_a_time = self.reloading.lock().await;
        let learnt = self.learn().await;
        metrics::reload("trust", learnt.is_ok());
        let (partners, mut faults) = learnt.inspect_err(|error| {
            tracing::error!(%error, "trust could not be reloaded; the old one stays in force");
        })?;
        let old = self.registry();
        let (new, more) = old.next(partners);
        faults.extend(more);
        for fault in &faults {
            tracing::error!(%fault, "part of a partner's trust cannot be used");
        }
        let changed = !new.is_same(&old);
        let reloaded = Reloaded {
            generation: if changed { new.generation } else { old.generation },
            changed,
            partners: new.partners.len(),
            faults,
        };
        if changed {
            tracing::info!(generation = reloaded.generation, partners = reloaded.partners, "trust reloaded");
            self.registry.store(Arc::new(new));
        }
        metrics::trust(reloaded.generation, reloaded.partners, reloaded.faults.len(), &self.registry());
        Ok(reloaded)
    }

    /// The clock certificates are judged by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    async fn learn(&self) -> Result<(Vec<Learnt>, Vec<TrustFault>), TrustError> {
        let partners = (self.source)().await.map_err(TrustError::Source)?;
        let folder = self.crl_folder.clone();
        tokio::task::spawn_blocking(move || Learnt::gather(partners, folder)).await.expect("reading does not panic")
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("registry", &self.registry()).finish_non_exhaustive()
    }
}

impl Registry {
    /// The registry of these partners alone; faulty ones are left out and reported.
    #[must_use]
    pub fn build(generation: u64, partners: Vec<PartnerTrust>) -> (Self, Vec<TrustFault>) {
        let (learnt, mut faults) = Learnt::gather(partners, None).expect("no folder is read");
        let (mut registry, more) = Self::empty().next(learnt);
        registry.generation = generation;
        faults.extend(more);
        (registry, faults)
    }

    /// Grows by one with every change of trust.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the first revocation list of each partner expires, for those that have any.
    pub fn crl_expiries(&self) -> impl Iterator<Item = (&PartnerCode, Timestamp)> {
        self.partners.iter().filter_map(|(code, partner)| Some((code, partner.crls_until?)))
    }

    /// Whose certificate this is, or why it is not accepted, at `now`.
    ///
    /// Anchors are found by the issuers the certificates name and tried in turn, so CAs of one name do not disturb each
    /// other. The anchor that holds decides the partner; the certificate's own claim is only checked against it.
    pub fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<PeerIdentity, Refusal> {
        if intermediates.len() > MAX_INTERMEDIATES {
            return Err(Refusal::PathTooLong);
        }
        let read = Leaf::read(leaf)?;
        let mut until = read.not_after;
        let mut issuers = vec![read.issuer_der.clone()];
        for intermediate in intermediates {
            let (issuer, not_after) = read_intermediate(intermediate)?;
            until = until.min(not_after);
            if !issuers.contains(&issuer) {
                issuers.push(issuer);
            }
        }
        let mut farthest = Refusal::UnknownIssuer;
        for (partner, anchor) in issuers.iter().filter_map(|name| self.by_subject.get(name)).flatten() {
            match anchor.accepts(leaf, intermediates, now).and_then(|()| read.check_claim(partner)) {
                Ok(()) => {
                    return Ok(PeerIdentity {
                        partner: partner.clone(),
                        san_member: read.member,
                        spki_sha256: read.spki_sha256,
                        fingerprint: Sha256::of(leaf),
                        not_after: read.not_after,
                        leaf_der: leaf.clone().into_owned(),
                        recheck_at: anchor
                            .crls_until
                            .into_iter()
                            .fold(until.min(anchor.anchor.not_after), Timestamp::min),
                    });
                }
                Err(refusal) if refusal.rank() > farthest.rank() => farthest = refusal,
                Err(_) => {}
            }
        }
        Err(farthest)
    }

    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn empty() -> Self {
        Self { generation: 0, partners: BTreeMap::new(), by_subject: HashMap::new(), hints: Vec::new() }
    }

    /// The registry after this one: of a partner with a fault the old verifiers stay if its anchors are the same.
    fn next(&self, learnt: Vec<Learnt>) -> (Self, Vec<TrustFault>) {
        let mut faults = shared_keys(&learnt);
        let mut partners = BTreeMap::new();
        for partner in learnt {
            let old = self.partners.get(&partner.code).filter(|old| old.anchors == partner.anchors);
            let mut own = partner.faults;
            if own.is_empty() && partner.crls.is_empty() && old.is_some_and(|old| old.crls_until.is_some()) {
                own.push(TrustFault::CrlsGone { partner: partner.code.clone() });
            }
            let shares_key = faults.iter().any(|fault| fault.partner() == Some(&partner.code));
            let verifiers = if own.is_empty() && !shares_key {
                PartnerVerifiers::build(&partner.code, partner.anchors, &partner.crls)
                    .map(Arc::new)
                    .map_err(|fault| own.push(fault))
                    .ok()
            } else {
                None
            };
            if let Some(verifiers) = verifiers.or_else(|| old.cloned()) {
                partners.insert(partner.code, verifiers);
            }
            faults.extend(own);
        }
        let mut by_subject = HashMap::<_, Vec<_>>::new();
        for (code, partner) in &partners {
            for verifier in &partner.verifiers {
                let entry = by_subject.entry(verifier.anchor.subject_der.clone()).or_default();
                entry.push((code.clone(), Arc::clone(verifier)));
            }
        }
        let hints = by_subject.keys().map(|subject| DistinguishedName::from(subject.clone())).collect();
        (Self { generation: self.generation + 1, partners, by_subject, hints }, faults)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.generation != 0
            && other.generation != 0
            && self.partners.len() == other.partners.len()
            && self.partners.iter().zip(&other.partners).all(|(a, b)| a.0 == b.0 && a.1.digest == b.1.digest)
    }
}

impl TrustFault {
    /// The partner it shuts out or leaves with old trust, if any.
    #[must_use]
    pub fn partner(&self) -> Option<&PartnerCode> {
        match self {
            Self::Anchor { partner, .. }
            | Self::NoAnchor { partner }
            | Self::SharedKey { partner, .. }
            | Self::Crl { partner, .. }
            | Self::Unreadable { partner, .. }
            | Self::CrlsGone { partner } => Some(partner),
            Self::Stray { .. } => None,
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Anchor { fault, .. } => fault.help(),
            Self::NoAnchor { .. } => "enrol the partner again with its CA certificate",
            Self::SharedKey { .. } => "one key cannot vouch for two partners: each needs a CA of its own",
            Self::Crl { fault, .. } => fault.help(),
            Self::Unreadable { .. } => "make the file readable for the server's account",
            Self::CrlsGone { .. } => {
                "put the list back; or, if the partner no longer publishes one, restart the server"
            }
            Self::Stray { .. } => {
                "name the file or folder after an enrolled partner's code, such as `ISR.crl`, or remove it"
            }
        }
    }
}

/// What was learnt about one partner before verifiers are made of it.
#[derive(Debug)]
struct Learnt {
    code: PartnerCode,
    anchors: Vec<Anchor>,
    crls: Vec<RevocationList>,
    faults: Vec<TrustFault>,
}

impl Learnt {
    fn gather(
        partners: Vec<PartnerTrust>,
        folder: Option<PathBuf>,
    ) -> Result<(Vec<Self>, Vec<TrustFault>), TrustError> {
        let mut files = match folder {
            Some(folder) => CrlFiles::find(&folder).map_err(|error| TrustError::Folder { folder, error })?,
            None => CrlFiles::default(),
        };
        let learnt = partners
            .into_iter()
            .map(|partner| {
                let files = files.by_partner.remove(&partner.code).unwrap_or_default();
                Self::of(partner, files)
            })
            .collect();
        let strays = files.by_partner.into_values().flatten().chain(files.strays);
        Ok((learnt, strays.map(|file| TrustFault::Stray { file }).collect()))
    }

    fn of(partner: PartnerTrust, files: Vec<PathBuf>) -> Self {
        let code = partner.code;
        let mut learnt = Self { code: code.clone(), anchors: Vec::new(), crls: Vec::new(), faults: Vec::new() };
        for der in partner.anchors {
            match Anchor::read(der) {
                Ok(anchor) => learnt.anchors.push(anchor),
                Err(fault) => learnt.faults.push(TrustFault::Anchor { partner: code.clone(), fault }),
            }
        }
        if learnt.anchors.is_empty() && learnt.faults.is_empty() {
            learnt.faults.push(TrustFault::NoAnchor { partner: code.clone() });
        }
        for der in partner.crls {
            learnt.add_crls(None, &der);
        }
        for file in files {
            match std::fs::read(&file) {
                Ok(bytes) => learnt.add_crls(Some(file), &bytes),
                Err(error) => {
                    let error = error.to_string();
                    learnt.faults.push(TrustFault::Unreadable { partner: code.clone(), file, error });
                }
            }
        }
        // Of several lists by one issuer rustls takes the first it meets: let that be the newest.
        learnt.crls.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        learnt
    }

    fn add_crls(&mut self, file: Option<PathBuf>, bytes: &[u8]) {
        match read_crls(bytes) {
            Ok(lists) => self.crls.extend(lists),
            Err(fault) => self.faults.push(TrustFault::Crl { partner: self.code.clone(), file, fault }),
        }
    }
}

fn shared_keys(partners: &[Learnt]) -> Vec<TrustFault> {
    let mut holders = HashMap::<Sha256, &PartnerCode>::new();
    let mut faults = Vec::new();
    for (partner, anchor) in partners.iter().flat_map(|partner| partner.anchors.iter().map(move |a| (&partner.code, a)))
    {
        let holder = *holders.entry(anchor.spki_sha256).or_insert(partner);
        if holder != partner {
            for (partner, other) in [(partner, holder), (holder, partner)] {
                faults.push(TrustFault::SharedKey { partner: partner.clone(), other: other.clone() });
            }
        }
    }
    faults
}

#[derive(Debug)]
struct PartnerVerifiers {
    anchors: Vec<Anchor>,
    verifiers: Vec<Arc<AnchorVerifier>>,
    crls_until: Option<Timestamp>,
    /// Over anchors and lists: tells whether anything changed.
    digest: Sha256,
}

impl PartnerVerifiers {
    fn build(partner: &PartnerCode, anchors: Vec<Anchor>, crls: &[RevocationList]) -> Result<Self, TrustFault> {
        let verifiers = anchors
            .iter()
            .map(|anchor| AnchorVerifier::build(partner, anchor, &anchors, crls).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let parts = anchors.iter().map(|anchor| &*anchor.der).chain(crls.iter().map(|list| &*list.der));
        let digest: Vec<u8> = parts.flat_map(|der: &[u8]| *Sha256::of(der).as_bytes()).collect();
        let crls_until = crls.iter().map(|list| list.next_update).min();
        Ok(Self { verifiers, crls_until, digest: Sha256::of(&digest), anchors })
    }
}

/// One anchor with the lists that may speak about what it issued.
#[derive(Debug)]
struct AnchorVerifier {
    anchor: Anchor,
    verifier: Arc<dyn ClientCertVerifier>,
    crls_until: Option<Timestamp>,
}

impl AnchorVerifier {
    fn build(
        partner: &PartnerCode,
        anchor: &Anchor,
        all: &[Anchor],
        crls: &[RevocationList],
    ) -> Result<Self, TrustFault> {
        // While a CA renews its key, two anchors bear one name and each has its list; rustls would take the first list of
        // that name and fail on its signature. So a namesake's list is left to the namesake.
        let namesakes: Vec<_> =
            all.iter().filter(|a| a.subject_der == anchor.subject_der && a.spki_sha256 != anchor.spki_sha256).collect();
        let of_namesake = |list: &RevocationList| {
            list.issuer_der == anchor.subject_der && namesakes.iter().any(|namesake| list.is_signed_by(namesake))
        };
        let own: Vec<_> = crls.iter().filter(|list| !of_namesake(list)).collect();
        // INVARIANT: a partner with any list has a verifier with lists; without one of its own the anchor gets all, which
        // refuses its leaves as of unknown status instead of letting them through unlooked.
        let lists = if own.is_empty() { crls.iter().collect() } else { own };
        let mut roots = RootCertStore::empty();
        let malformed =
            |fault: String| TrustFault::Anchor { partner: partner.clone(), fault: AnchorFault::Malformed(fault) };
        roots.add(anchor.der.clone()).map_err(|error| malformed(error.to_string()))?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(lists.iter().map(|list| list.der.clone()))
            .only_check_end_entity_revocation();
        if !lists.is_empty() {
            builder = builder.enforce_revocation_expiration();
        }
        let verifier = builder.build().map_err(|error| TrustFault::Crl {
            partner: partner.clone(),
            file: None,
            fault: CrlFault::Unsupported(error.to_string()),
        })?;
        let crls_until = lists.iter().map(|list| list.next_update).min();
        Ok(Self { anchor: anchor.clone(), verifier, crls_until })
    }

    fn accepts(
        &self,
        leaf: &CertificateDer<'_>,
        presented: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // Clients often send the anchor along; it does not count.
        let presented: Vec<_> = presented.iter().filter(|der| ***der != *self.anchor.der).cloned().collect();
        let limit = self.anchor.path_len.map_or(MAX_INTERMEDIATES, |limit| limit as usize);
        // rustls does not look at an anchor's path length. What exceeds it is taken away first, so that a leaf signed
        // directly still passes, whatever was sent along.
        let usable = if presented.len() > limit { &[][..] } else { &presented[..] };
        let verified = self.verifier.verify_client_cert(leaf, usable, unix(now));
        verified.map_err(|error| match Refusal::from_tls(&error) {
            Refusal::UnknownIssuer if usable.len() < presented.len() => Refusal::PathTooLong,
            refusal => refusal,
        })?;
        if now > self.anchor.not_after || now < self.anchor.not_before {
            return Err(Refusal::AnchorExpired);
        }
        Ok(())
    }
}

impl Leaf {
    fn check_claim(&self, anchor: &PartnerCode) -> Result<(), Refusal> {
        match &self.member {
            Some(member) if member.partner() != anchor => {
                Err(Refusal::ClaimsOtherPartner { anchor: anchor.clone(), claimed: member.partner().clone() })
            }
            _ => Ok(()),
        }
    }
}

fn in_file(file: Option<&PathBuf>) -> String {
    file.map(|file| format!(" in `{}`", file.display())).unwrap_or_default()
}

pub(super) fn unix(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)))
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
