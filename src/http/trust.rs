//! Which certificates are accepted, and whose they are.
//!
//! Each anchor of each partner has a verifier of its own; they are never merged, because rustls does not report which root
//! matched and a merged store would let one partner's CA issue names of another. A [`Registry`] never changes: new trust
//! is a new registry with a higher generation, and connections accepted by an older one are judged again.
//!
//! What cannot be used is shut out, never skipped: a partner with one unreadable anchor keeps what it had if its anchors are
//! unchanged, and is refused otherwise. A list that cannot be used shuts out its issuer at most, see `revocation`. One partner's
//! fault never delays another partner's revocation.
//!
//! Only leaves are looked up in revocation lists (national intermediates rarely publish a list each; an intermediate is
//! withdrawn by withdrawing its anchor).

mod fault;
mod learnt;
mod source;
mod verifiers;

pub use fault::{TrustFault, TrustNotice};
pub use source::{PartnerSource, PartnerTrust, SourceError};

use super::{
    leaf::{Leaf, PeerIdentity, key_of},
    path::PresentedCertificates,
    refusal::{CertificateRefusal, RefusedCertificate},
    revocation::{Behind, Lists, Need},
};
use crate::{
    domain::{
        ambient::Clock,
        id::{PartnerCode, Sha256},
        suspension::Suspension,
    },
    metrics,
    service::endings::ListsHeld,
    storage::partners::{FoundLists, ListRecord},
};
use arc_swap::ArcSwap;
use jiff::Timestamp;
use learnt::{PartnerMaterial, TrustMaterial};
use rustls::{
    DistinguishedName,
    pki_types::{CertificateDer, UnixTime},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use verifiers::{Accepted, AnchorVerifier, PartnerVerifiers};

/// How long it may take to load the partners, and then to record whose lists were found. Both are tried again with the next reload.
const RECORDING: Duration = Duration::from_secs(10);

/// Partners could not be learnt at the start. Later those that are known stay.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot load the partners: {0}")]
    Source(#[source] SourceError),
    /// Nothing was in force before, so nothing could stay.
    #[error("{0}")]
    Folder(TrustFault),
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
    /// What is in order and has no say.
    pub notices: Vec<TrustNotice>,
}

impl Reloaded {
    /// Whether nothing is to be tried again: there are no faults but those that time has brought.
    #[must_use]
    pub fn is_as_its_sources_say(&self) -> bool {
        self.faults.iter().all(TrustFault::is_of_time)
    }
}

/// All partners' trust at one moment.
#[derive(Debug)]
pub struct Registry {
    generation: u64,
    partners: BTreeMap<PartnerCode, Arc<PartnerVerifiers>>,
    /// Of every partner that the source names, shut out or not.
    lists: BTreeMap<PartnerCode, Arc<Lists>>,
    /// Anchors by their subject in DER; several partners may have CAs of one name.
    by_subject: HashMap<Vec<u8>, Vec<(PartnerCode, Arc<AnchorVerifier>)>>,
    /// Whose anchor a key is, also of partners that are shut out.
    by_key: HashMap<Sha256, PartnerCode>,
    hints: Vec<DistinguishedName>,
}

/// The trust in force and how to load it again.
pub struct Trust {
    clock: Arc<dyn Clock>,
    source: Box<dyn PartnerSource>,
    crl_folder: Option<PathBuf>,
    registry: ArcSwap<Registry>,
    /// The partners as they were last loaded, none before the start; held for as long as trust is loaded again.
    known: tokio::sync::Mutex<Option<Vec<PartnerTrust>>>,
}

impl Trust {
    /// Loads partners from `source` and lists from the folder. Faults of single partners do not stop a server from
    /// starting: they are in the answer, in the log and in the metrics.
    pub async fn start(
        clock: Arc<dyn Clock>,
        crl_folder: Option<PathBuf>,
        source: impl PartnerSource + 'static,
    ) -> Result<(Arc<Self>, Reloaded), TrustError> {
        let source = Box::new(source);
        let registry = ArcSwap::from_pointee(Registry::empty());
        let trust = Arc::new(Self { clock, source, crl_folder, registry, known: tokio::sync::Mutex::default() });
        let reloaded = trust.reload().await?;
        match reloaded.faults.iter().find(|fault| matches!(fault, TrustFault::Folder { .. })) {
            Some(fault) => Err(TrustError::Folder(fault.clone())),
            None => Ok((trust, reloaded)),
        }
    }

    /// The trust in force.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// Loads trust again and puts it in force. While the partners cannot be loaded, the known ones stay and new revocation lists count:
    /// a revocation waits for no database.
    pub async fn reload(&self) -> Result<Reloaded, TrustError> {
        let (mut reloaded, unrecorded) = self.put_in_force().await?;
        // Only then: what is in force does not wait until that is written, and what comes next not for long.
        reloaded.faults.extend(self.record(unrecorded).await);
        for fault in &reloaded.faults {
            tracing::error!(%fault, help = fault.help(), "part of a partner's trust cannot be used");
        }
        metrics::trust_faults(reloaded.faults.iter().filter(|fault| !fault.is_of_time()).count());
        Ok(reloaded)
    }

    /// What came of it, and whose lists were found that are not on record.
    async fn put_in_force(&self) -> Result<(Reloaded, Vec<FoundLists>), TrustError> {
        let mut known = self.known.lock().await;
        let loaded = match timeout(RECORDING, self.source.partners()).await {
            Ok(loaded) => loaded,
            Err(_) => Err(format!("they were not read within {RECORDING:?}").into()),
        };
        metrics::reload("trust", loaded.is_ok());
        let (partners, not_loaded) = match (loaded, known.as_ref()) {
            (Ok(partners), _) => (known.insert(partners).clone(), None),
            (Err(error), Some(known)) => (known.clone(), Some(TrustFault::Source { error: error.to_string() })),
            (Err(error), None) => return Err(TrustError::Source(error)),
        };
        let folder = self.crl_folder.clone();
        let gathered = tokio::task::spawn_blocking(move || TrustMaterial::gather(partners, folder));
        let mut gathered = gathered.await.expect("reading does not panic");
        gathered.faults.extend(not_loaded);
        let notices: Vec<_> = gathered.partners.iter().flat_map(|partner| partner.notices.iter().cloned()).collect();
        for notice in &notices {
            tracing::info!(%notice, "a revocation list is ignored");
        }
        let unrecorded: Vec<_> = gathered.partners.iter().filter_map(PartnerMaterial::unrecorded).collect();
        let old = self.registry();
        let (new, mut faults) = old.next(gathered);
        faults.extend(new.ended(self.clock.now()));
        let changed = !new.is_same(&old);
        let generation = if changed { new.generation } else { old.generation };
        let partners = new.partners.len();
        if changed {
            tracing::info!(generation, partners, "trust reloaded");
            self.registry.store(Arc::new(new));
        }
        let (registry, now) = (self.registry(), self.clock.now());
        metrics::trust(generation, partners);
        metrics::lists_expire(old.crl_expiries(), registry.crl_expiries());
        metrics::anchors_expire(old.anchor_expiries(now), registry.anchor_expiries(now));
        Ok((Reloaded { generation, changed, partners, faults, notices }, unrecorded))
    }

    /// Records whose lists were found, so that a start without them does not take it that none are needed.
    async fn record(&self, found: Vec<FoundLists>) -> Vec<TrustFault> {
        if found.is_empty() {
            return Vec::new();
        }
        let partners: Vec<_> = found.iter().map(|found| found.partner.clone()).collect();
        let error = match timeout(RECORDING, self.source.record_lists(found)).await {
            Ok(Ok(())) => return Vec::new(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it was not written within {RECORDING:?}"),
        };
        partners.into_iter().map(|partner| TrustFault::NotRecorded { partner, error: error.clone() }).collect()
    }

    /// The clock certificates are judged by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
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
        let (mut registry, faults) = Self::empty().next(TrustMaterial::gather(partners, None));
        registry.generation = generation;
        (registry, faults)
    }

    /// Grows by one with every change of trust.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the first revocation list of each partner expires, for those that have any.
    pub fn crl_expiries(&self) -> impl Iterator<Item = (&PartnerCode, Timestamp)> {
        self.partners.iter().filter_map(|(code, partner)| Some((code, partner.lists.until()?)))
    }

    /// When the next anchor of each partner expires; of one whose anchors have all expired, when the last did.
    pub fn anchor_expiries(&self, now: Timestamp) -> impl Iterator<Item = (&PartnerCode, Timestamp)> {
        let next = move |partner: &PartnerVerifiers| {
            let ends = || partner.anchors.iter().map(|anchor| anchor.not_after);
            ends().filter(|end| now <= *end).min().or_else(|| ends().max())
        };
        self.partners.iter().filter_map(move |(code, partner)| Some((code, next(partner)?)))
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
    ) -> Result<PeerIdentity, CertificateRefusal> {
        self.judge(leaf, intermediates, now).map_err(|refused| refused.refusal)
    }

    /// The same; of one that is not accepted also whose it is, as far as its signatures show.
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<PeerIdentity, RefusedCertificate> {
        let shown = PresentedCertificates::read(leaf, intermediates).map_err(|refusal| RefusedCertificate {
            refusal,
            key: key_of(leaf),
            partner: None,
        })?;
        let read = Leaf::read(leaf);
        let mut issuers = Vec::new();
        for link in [&shown.leaf].into_iter().chain(&shown.others) {
            let issuer = link.read.issuer().as_raw();
            if !issuers.contains(&issuer) {
                issuers.push(issuer);
            }
        }
        let (mut farthest, mut of) = (CertificateRefusal::UnknownIssuer, None);
        for (partner, anchor) in issuers.iter().filter_map(|name| self.by_subject.get(*name)).flatten() {
            let other_holder = |key: &Sha256| self.by_key.get(key).filter(|holder| *holder != partner).cloned();
            let accepted = anchor.accepts(&shown, &other_holder, now).and_then(|accepted| {
                let read = read.as_ref().map_err(Clone::clone)?;
                read.check_claim(partner)?;
                Ok((accepted, read))
            });
            match accepted {
                Ok((Accepted { chain_ends_at, recheck_at }, read)) => {
                    return Ok(PeerIdentity {
                        partner: partner.clone(),
                        san_member: read.member.clone(),
                        spki_sha256: read.spki_sha256,
                        fingerprint: Sha256::of(leaf),
                        not_after: read.not_after,
                        leaf_der: leaf.clone().into_owned(),
                        recheck_at,
                        chain_ends_at,
                    });
                }
                Err(refusal) if refusal.rank() > farthest.rank() => {
                    of = refusal.is_of_its_anchor().then(|| partner.clone());
                    farthest = refusal;
                }
                Err(_) => {}
            }
        }
        // A fault of the certificate itself explains most, no matter who vouches for it.
        let refusal = read.err().unwrap_or(farthest);
        Err(RefusedCertificate { refusal, key: Some(shown.leaf.spki_sha256), partner: of })
    }

    /// Whether the partner's card names this key as a registrar's.
    #[must_use]
    pub fn is_registrar(&self, partner: &PartnerCode, key: &Sha256) -> bool {
        self.partners.get(partner).is_some_and(|partner| partner.registrars.contains(key))
    }

    /// Until when a partner's revocation lists hold, if it needs any.
    #[must_use]
    pub fn lists_of(&self, partner: &PartnerCode) -> ListsHeld {
        let lists = self.lists.get(partner);
        ListsHeld {
            are_needed: lists.is_some_and(|lists| lists.are_needed()),
            until: lists.and_then(|lists| lists.until()),
        }
    }

    /// Whether the partner takes no part for a while. Its certificates are as good as before: what they may ask for is not.
    #[must_use]
    pub fn suspension(&self, partner: &PartnerCode) -> Option<Suspension> {
        self.partners.get(partner)?.suspension
    }

    pub(super) fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn empty() -> Self {
        let (partners, lists) = Default::default();
        let (by_subject, by_key) = Default::default();
        Self { generation: 0, partners, lists, by_subject, by_key, hints: Vec::new() }
    }

    /// The registry after this one: a partner with a faulty anchor goes on only if its usable anchors are as before, and lists in
    /// force stay until newer ones take their place.
    fn next(&self, TrustMaterial { partners: learnt, mut faults }: TrustMaterial) -> (Self, Vec<TrustFault>) {
        faults.extend(shared_keys(&learnt));
        let (mut partners, mut all_lists, mut keys) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for partner in learnt {
            keys.extend(partner.anchors.iter().map(|anchor| (anchor.spki_sha256, partner.code.clone())));
            let is_waived = partner.record == ListRecord::Waived && !partner.has_lists && !partner.is_unread;
            let before = self.lists.get(&partner.code).filter(|_| !is_waived);
            let need = if partner.has_lists || matches!(partner.record, ListRecord::Found(_)) {
                Need::Yes
            } else if partner.is_unread && before.is_none_or(|before| before.are_unknown()) {
                Need::Unknown
            } else {
                Need::No
            };
            let (lists, behind) = before.cloned().unwrap_or_default().next(partner.lists, need);
            let lists = Arc::new(lists);
            all_lists.insert(partner.code.clone(), Arc::clone(&lists));
            let shares_key = faults.iter().any(|fault| fault.partner() == Some(&partner.code));
            let is_as_before = self.partners.get(&partner.code).is_some_and(|old| old.anchors == partner.anchors);
            if is_as_before || (partner.anchor_faults.is_empty() && !shares_key) {
                let (registrars, suspension) = (partner.registrars, partner.suspension);
                match PartnerVerifiers::build(&partner.code, partner.anchors, lists, registrars, suspension) {
                    Ok(verifiers) => drop(partners.insert(partner.code.clone(), Arc::new(verifiers))),
                    Err(fault) => faults.push(fault),
                }
            }
            // Of what a broken file held nobody can say that it is gone.
            if partner.list_faults.is_empty() && !partner.is_unread {
                faults.extend(behind.into_iter().map(|(issuer, behind)| match behind {
                    Behind::Gone => TrustFault::CrlsGone { partner: partner.code.clone(), issuer },
                    Behind::Older => TrustFault::CrlOlder { partner: partner.code.clone(), issuer },
                }));
                if all_lists[&partner.code].shut_all_out() {
                    faults.push(TrustFault::NoLists { partner: partner.code.clone(), before: partner.record });
                }
            }
            faults.extend(partner.anchor_faults.into_iter().chain(partner.list_faults));
        }
        // A key that a second partner claims stays the one's that vouches by it.
        let in_force = partners.iter().flat_map(|(code, partner)| partner.keys().map(|key| (key, code.clone())));
        let mut by_key: HashMap<_, _> = in_force.collect();
        for (key, code) in keys {
            by_key.entry(key).or_insert(code);
        }
        let mut by_subject = HashMap::<_, Vec<_>>::new();
        for (code, partner) in &partners {
            for verifier in &partner.verifiers {
                let entry = by_subject.entry(verifier.anchor.subject_der.clone()).or_default();
                entry.push((code.clone(), Arc::clone(verifier)));
            }
        }
        let hints = by_subject.keys().map(|subject| DistinguishedName::from(subject.clone())).collect();
        (Self { generation: self.generation + 1, partners, lists: all_lists, by_subject, by_key, hints }, faults)
    }

    /// What of it has expired by `now`. Each certificate was judged by that all along: these faults shut out nobody, they say why
    /// somebody is refused.
    fn ended(&self, now: Timestamp) -> Vec<TrustFault> {
        let mut faults = Vec::new();
        for (code, partner) in &self.partners {
            faults.extend(partner.anchors.iter().filter(|anchor| now > anchor.not_after).map(|anchor| {
                let (subject, at) = (anchor.subject.clone(), anchor.not_after);
                TrustFault::AnchorExpired { partner: code.clone(), subject, at }
            }));
            faults.extend(partner.lists.expired(now).map(|list| {
                let (issuer, at) = (list.issuer.clone(), list.next_update);
                TrustFault::CrlExpired { partner: code.clone(), issuer, at }
            }));
        }
        faults
    }

    fn is_same(&self, other: &Self) -> bool {
        self.generation != 0
            && other.generation != 0
            && self.partners.len() == other.partners.len()
            && self.partners.iter().zip(&other.partners).all(|(a, b)| a.0 == b.0 && a.1.digest == b.1.digest)
            && self.by_key == other.by_key
            && self.lists.len() == other.lists.len()
            && self.lists.iter().zip(&other.lists).all(|(a, b)| a.0 == b.0 && a.1.digests().eq(b.1.digests()))
    }
}

fn shared_keys(partners: &[PartnerMaterial]) -> Vec<TrustFault> {
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

impl Leaf {
    fn check_claim(&self, anchor: &PartnerCode) -> Result<(), CertificateRefusal> {
        match &self.member {
            Some(member) if member.partner() != anchor => Err(CertificateRefusal::ClaimsOtherPartner {
                anchor: anchor.clone(),
                claimed: member.partner().clone(),
            }),
            _ => Ok(()),
        }
    }
}

pub(super) fn unix(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)))
}

#[cfg(test)]
#[cfg(feature = "client")]
mod tests;
