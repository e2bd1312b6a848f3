//! What a partner's authorities say about revocation, and whether it shuts a certificate out.
//!
//! Each issuer stands by itself. As soon as a partner has handed in anything that is or should be a revocation list, each issuer of
//! its members' certificates needs a current list signed by its own key, and one without is shut out: its certificates, not
//! its partner's others. A list that was in force stays until a newer one of the same scope and key takes its place, so a file that breaks,
//! vanishes or goes back opens nothing. Only members' certificates are looked up, no intermediates.

use super::{
    crl::{PointName, RevocationList, Scope},
    refusal::CertificateRefusal,
};
use crate::domain::id::Sha256;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use x509_parser::certificate::X509Certificate;

/// How many lists of one scope stay that the sources have no more and whose signer is not known: a later one may be damaged, which only
/// shows when an issuer's certificate is at hand.
const KEPT: usize = 3;

/// Whether each issuer of a partner needs a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Need {
    #[default]
    No,
    /// Nobody could look whether there are any, so as long as that lasts it does.
    Unknown,
    Yes,
}

/// A partner's lists in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    need: Need,
    /// The newest first.
    by_scope: BTreeMap<Scope, Vec<Arc<RevocationList>>>,
}

/// A list in force that is newer than anything the sources have now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Behind {
    Gone,
    Older,
}

/// The certificate that issued a member's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Issuer<'a> {
    pub(super) subject_der: &'a [u8],
    pub(super) spki_der: &'a [u8],
    /// Its key usage allows it, or it names none.
    pub(super) signs_lists: bool,
}

impl Lists {
    /// The lists in force after these, with what was found now; also what of it lags behind, by the issuer's name.
    pub(super) fn next(&self, found: Vec<RevocationList>, need: Need) -> (Self, BTreeSet<(String, Behind)>) {
        let need = if self.need == Need::Yes { Need::Yes } else { need };
        let digests: HashSet<_> = found.iter().map(|list| list.sha256).collect();
        let mut next = Self { need, by_scope: BTreeMap::new() };
        for list in found {
            next.by_scope.entry(list.scope.clone()).or_default().push(Arc::new(list));
        }
        let mut behind = BTreeSet::new();
        for (scope, old) in &self.by_scope {
            let new = next.by_scope.entry(scope.clone()).or_default();
            behind.extend(lagging(old, new));
            // The very same list is kept as it was, with what is known of its signer.
            new.retain(|list| old.iter().all(|old| old.sha256 != list.sha256));
            new.extend(old.iter().cloned());
        }
        for lists in next.by_scope.values_mut() {
            lists.sort_by(|a, b| (b.rank(), b.sha256).cmp(&(a.rank(), a.sha256)));
            lists.dedup_by_key(|list| list.sha256);
            *lists = in_use(lists, &digests);
        }
        (next, behind)
    }

    /// Refuses a certificate of this issuer that was revoked, or of which nobody can say. Otherwise says until when that holds.
    pub(super) fn check(
        &self,
        certificate: &X509Certificate<'_>,
        issuer: Issuer<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, CertificateRefusal> {
        if self.need == Need::No {
            return Ok(Timestamp::MAX);
        }
        let named = self.by_scope.iter().filter(|(scope, _)| scope.issuer_der == issuer.subject_der);
        let named: Vec<_> = named.flat_map(|(_, lists)| lists).collect();
        if named.is_empty() {
            return Err(CertificateRefusal::RevocationUnknown);
        }
        if !issuer.signs_lists {
            return Err(CertificateRefusal::NoCrlSign);
        }
        // The newest that the issuer's key signed, for each set of certificates that it has lists of. Of two that are equally new
        // each counts, so that chance never decides who is shut out.
        let mut newest = BTreeMap::<&[PointName], Vec<&RevocationList>>::new();
        let mut is_signed = false;
        for list in named.into_iter().filter(|list| list.is_signed_by(issuer.spki_der)) {
            is_signed = true;
            if list.covers(certificate) {
                let newest = newest.entry(&list.scope.points).or_default();
                let is_newer = newest.first().is_some_and(|other| list.rank() > other.rank());
                if is_newer {
                    newest.clear();
                }
                if newest.first().is_none_or(|other| list.rank() == other.rank()) {
                    newest.push(list);
                }
            }
        }
        if newest.values().flatten().any(|list| list.revokes(certificate)) {
            return Err(CertificateRefusal::Revoked);
        }
        let until = newest.values().flatten().map(|list| list.next_update).filter(|until| now < *until).min();
        match (is_signed, newest.is_empty()) {
            (false, _) => Err(CertificateRefusal::RevocationListForeign),
            (true, true) => Err(CertificateRefusal::RevocationUnknown),
            (true, false) => until.ok_or(CertificateRefusal::RevocationListExpired),
        }
    }

    /// Whether lists are needed and all are missing, which shuts every issuer out.
    pub(super) fn shut_all_out(&self) -> bool {
        self.need != Need::No && self.by_scope.values().all(Vec::is_empty)
    }

    /// Whether nobody could look since the partner is known.
    pub(super) fn are_unknown(&self) -> bool {
        self.need == Need::Unknown
    }

    /// Whether issuers need a list, as far as that is known.
    pub(super) fn are_needed(&self) -> bool {
        self.need != Need::No
    }

    /// When the first list expires, of those that have not been replaced.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.in_force().map(|list| list.next_update).min()
    }

    /// Those that have expired and were not replaced.
    pub(super) fn expired(&self, now: Timestamp) -> impl Iterator<Item = &RevocationList> {
        self.in_force().filter(move |list| now >= list.next_update)
    }

    /// For each set of certificates the newest list of each key. A newer one whose signer is not known yet, since no member under it has
    /// come, may follow any of its scope: it stands for all of them until then.
    fn in_force(&self) -> impl Iterator<Item = &RevocationList> {
        let (mut newest, mut unproved) = (BTreeMap::<_, &RevocationList>::new(), Vec::new());
        for (scope, lists) in &self.by_scope {
            if let Some(list) = lists.first().filter(|list| list.proved_by().is_empty()) {
                unproved.push(&**list);
                continue;
            }
            for list in lists {
                for key in list.proved_by() {
                    let latest = newest.entry((&scope.issuer_der, &scope.points, key)).or_insert(list);
                    if list.rank() > latest.rank() {
                        *latest = list;
                    }
                }
            }
        }
        newest.into_values().chain(unproved)
    }

    /// The digests that show whether anything changed.
    pub(super) fn digests(&self) -> impl Iterator<Item = Sha256> {
        let need = Sha256::of(&[self.need as u8]);
        [need].into_iter().chain(self.by_scope.values().flatten().map(|list| list.sha256))
    }
}

/// Which of the lists of one scope that were in use lag behind, the newest first: those whose key has nothing as new among what was found.
/// While nobody knows whose they are, the newest speaks for all of them; and what was found of no known signer may be of any key.
fn lagging(old: &[Arc<RevocationList>], found: &[Arc<RevocationList>]) -> impl Iterator<Item = (String, Behind)> {
    old.iter().enumerate().filter_map(move |(place, list)| {
        let keys = list.proved_by();
        if keys.is_empty() && place > 0 {
            return None;
        }
        let may_follow = |other: &&Arc<RevocationList>| {
            let others = other.proved_by();
            keys.is_empty() || others.is_empty() || others.iter().any(|key| keys.contains(key))
        };
        let behind = match found.iter().filter(may_follow).map(|other| other.rank()).max() {
            None => Behind::Gone,
            Some(newest) if newest < list.rank() => Behind::Older,
            Some(_) => return None,
        };
        Some((list.issuer.clone(), behind))
    })
}

/// Those of one scope's lists, the newest first, that may still count: of each key the newest that it was found to have signed, since a
/// scope need not name a key and an authority may have two; and those whose signer is not known, if they are among what was found now or
/// the last before that.
fn in_use(lists: &[Arc<RevocationList>], found: &HashSet<Sha256>) -> Vec<Arc<RevocationList>> {
    let (mut newest, mut others, mut in_use) = (HashMap::new(), 0, Vec::new());
    for list in lists {
        let keys = list.proved_by();
        let mut counts = false;
        if keys.is_empty() {
            let is_found = found.contains(&list.sha256);
            others += usize::from(!is_found);
            counts = is_found || others <= KEPT;
        }
        for key in keys {
            counts |= *newest.entry(key).or_insert_with(|| list.rank()) == list.rank();
        }
        if counts {
            in_use.push(Arc::clone(list));
        }
    }
    in_use
}
