//! Titles of proposals, for those who may open the summary: opened and verified once on the member's machine, and kept there sealed.
//!
//! Decides for which proposals of a list a summary is opened, whom that may ask for a passphrase, and when a title goes again. It must
//! never stand in the way of a list: a proposal whose summary cannot be opened, for whatever reason, is shown without a title. The
//! exchange learns no title; it learns which summaries a member fetched, as with any document, and each of them once.

mod kept;
pub mod rows;
mod store;

pub use store::KnownTitle;

use super::{
    Client, ClientError, Result, blocking,
    kept_key::KeptKey,
    progress::{NoProgress, ProgressListener, ProgressStep},
    proposals::Summary,
    verified::{VerifiedCall, VersionChoice},
};
use crate::{
    domain::{
        id::{CallId, ProposalId},
        proposal::Status,
        reference::{CallCode, Reference},
        vault::VaultKind,
    },
    sealing::{identity::Keyring, local_key::LocalKey, seal::SealError},
    wire::proposal::{Proposal, Vault},
};
use futures_util::{StreamExt, stream};
use jiff::SignedDuration;
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    sync::Arc,
};
use store::{Access, FoundTitles, TitleChange, TitleFile, TitlePlace};
use tokio::sync::OnceCell;

/// How many summaries are opened side by side.
const AT_ONCE: usize = 4;
/// Titles are kept each time that so many were opened: an interruption costs no more.
const KEPT_AFTER: usize = 100;
/// The most summaries that do not verify of which each is named.
const NAMED: usize = 3;

/// Whether somebody may be asked for a passphrase, so that titles are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassphraseRule {
    /// Nobody is asked.
    Never,
    /// If there is a summary to open that was not opened before.
    ForNew,
    /// Also for titles that are kept here.
    Always,
}

/// Of what a list has everything that the member may see: a kept title of a proposal that is missing there goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListExtent {
    Everything,
    Call(CallId),
    Part,
}

impl ListExtent {
    fn has(self, call: CallId) -> bool {
        match self {
            Self::Everything => true,
            Self::Call(whole) => whole == call,
            Self::Part => false,
        }
    }
}

/// Titles by proposal. One that is not known is not there.
#[derive(Debug, Clone, Default)]
pub struct Titles {
    known: BTreeMap<ProposalId, KnownTitle>,
    closed: usize,
    sealed: usize,
}

impl Titles {
    /// The title of a proposal.
    #[must_use]
    pub fn title(&self, proposal: ProposalId) -> Option<&str> {
        self.known(proposal).map(|known| &*known.title)
    }

    /// What is known of a proposal.
    #[must_use]
    pub fn known(&self, proposal: ProposalId) -> Option<&KnownTitle> {
        self.known.get(&proposal)
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many are not known of proposals whose summaries the member may open by what the exchange shows of them.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.closed
    }

    /// How many of these are kept on this machine and were not opened: that takes a passphrase that was not given.
    #[must_use]
    pub fn sealed(&self) -> usize {
        self.sealed
    }

    #[cfg(test)]
    pub(crate) fn without(self, closed: usize, sealed: usize) -> Self {
        Self { closed, sealed, ..self }
    }
}

impl FromIterator<(ProposalId, KnownTitle)> for Titles {
    fn from_iter<I: IntoIterator<Item = (ProposalId, KnownTitle)>>(known: I) -> Self {
        Self { known: known.into_iter().collect(), ..Self::default() }
    }
}

/// A proposal whose title is wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted<'p> {
    row: &'p Proposal,
    place: TitlePlace,
    version: VersionChoice,
}

impl<'p> Wanted<'p> {
    /// If the row says that the member may open the summary of a version that somebody has signed. The exchange may still say no.
    fn of(row: &'p Proposal) -> Option<Self> {
        let mine = &row.mine;
        let access = if mine.is_party || mine.is_invited {
            Access::Party
        } else if row.status != Status::Submitted || !mine.is_clear {
            return None;
        } else if mine.is_assigned {
            Access::Assignment
        } else {
            Access::Office
        };
        let (manifest, version) = match (row.manifest_sha256, &row.pending) {
            (Some(standing), _) => (standing, VersionChoice::Standing),
            (None, Some(pending)) => (pending.manifest_sha256, VersionChoice::Number(pending.version)),
            (None, None) => return None,
        };
        let place = TitlePlace { proposal: row.id, call: row.call, manifest, access };
        Some(Self { row, place, version })
    }
}

/// What is kept on this machine, as it was read.
struct Shelf {
    file: TitleFile,
    outdated: Outdated,
}

/// What of it does not hold any more.
#[derive(Debug, Clone, Default)]
struct Outdated {
    /// Kept titles that the member may not see any more, or that are of an earlier version.
    lost: BTreeSet<TitlePlace>,
    /// Proposals whose titles went, and which the member may read again.
    shown_again: BTreeSet<ProposalId>,
}

/// The calls of what is to be opened, as far as they verify.
type CallsOfTitles = BTreeMap<CallId, CallOfTitles>;

/// One of them.
struct CallOfTitles {
    call: Arc<VerifiedCall>,
    /// Whether the member holds a key to the call's vault, once that was asked.
    has_key: OnceCell<bool>,
}

impl Client {
    /// The titles of these proposals, which the exchange has just shown, as far as the member may open the summaries. Those that are
    /// known are read from this machine without asking the exchange; others are opened and verified, and kept from then on.
    pub async fn titles(
        &self,
        rows: &[Proposal],
        extent: ListExtent,
        rule: PassphraseRule,
        progress: Arc<dyn ProgressListener>,
    ) -> Titles {
        // A summary is verified by most of the client, and lists are part of many commands: their futures stay small.
        Box::pin(self.find_titles(rows, extent, rule, progress)).await
    }

    async fn find_titles(
        &self,
        rows: &[Proposal],
        extent: ListExtent,
        rule: PassphraseRule,
        progress: Arc<dyn ProgressListener>,
    ) -> Titles {
        let wanted: Vec<Wanted<'_>> = rows.iter().filter_map(Wanted::of).collect();
        let mut shelf = self.shelf(rows, &wanted, extent);
        self.keep_titles(&shelf.outdated, None, Vec::new()).await;
        let there = shelf.file.places();
        let (known, missing): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|wanted| there.contains(&wanted.place));
        let Some(keyring) = self.keyring_by(rule, &known, &missing).await else {
            return Titles { closed: known.len() + missing.len(), sealed: known.len(), ..Titles::default() };
        };
        let key = match self.title_key(&mut shelf, &keyring).await {
            Ok(key) => Arc::new(key),
            Err(error) => {
                self.warn(&format!("no titles are shown: {error}"));
                return Titles { closed: known.len() + missing.len(), ..Titles::default() };
            }
        };
        let wanted = known.len() + missing.len();
        let places = known.iter().map(|wanted| wanted.place).collect();
        let opened = shelf.file.open(&key, &places);
        let is_open: BTreeSet<TitlePlace> = opened.iter().map(|(place, _)| *place).collect();
        let damaged = known.into_iter().filter(|wanted| !is_open.contains(&wanted.place));
        let missing: Vec<_> = missing.into_iter().chain(damaged).take(store::MOST).collect();
        let mut titles: Titles = opened.into_iter().map(|(place, title)| (place.proposal, title)).collect();
        let new = self.open_titles(&missing, (&keyring, &key), progress).await;
        titles.known.extend(new);
        titles.closed = wanted.saturating_sub(titles.len());
        titles
    }

    /// The title of a proposal that the exchange has just shown, if nobody has to be asked for a passphrase.
    pub async fn title_of(&self, row: &Proposal) -> Option<String> {
        let rows = std::slice::from_ref(row);
        let titles = self.titles(rows, ListExtent::Part, PassphraseRule::Never, Arc::new(NoProgress)).await;
        titles.title(row.id).map(str::to_owned)
    }

    /// The same of a proposal by its identifier. `None` also if it is not shown.
    pub async fn title_by_id(&self, id: ProposalId) -> Option<String> {
        self.titles_by_id(&[id]).await.title(id).map(str::to_owned)
    }

    /// The same of several. None of them is known where the exchange does not answer.
    pub async fn titles_by_id(&self, ids: &[ProposalId]) -> Titles {
        // Without an identity at hand there is nothing to ask the exchange for.
        if self.unasked_keyring().await.is_none() {
            return Titles::default();
        }
        let mut rows = Vec::new();
        for id in ids {
            match self.api().proposal(*id).await {
                Ok(row) => rows.push(row),
                Err(error) if error.is_passing() => return Titles::default(),
                Err(_) => {}
            }
        }
        self.titles(&rows, ListExtent::Part, PassphraseRule::Never, Arc::new(NoProgress)).await
    }

    /// The titles of everything in a call that the member may see.
    pub async fn titles_of_call(
        &self,
        call: CallId,
        rule: PassphraseRule,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<Titles> {
        let rows = self.api().all_proposals(Some(call)).await?;
        Ok(self.titles(&rows, ListExtent::Call(call), rule, progress).await)
    }

    /// What is kept on this machine, and what of it is to go now that the exchange has shown these rows.
    fn shelf(&self, rows: &[Proposal], wanted: &[Wanted<'_>], extent: ListExtent) -> Shelf {
        let profile = &self.profile().name;
        let file = match self.home().titles(profile) {
            Ok(FoundTitles::File(file)) => file,
            Ok(FoundTitles::Damaged(fault)) => {
                let path = self.home().titles_path(profile);
                self.warn(&format!(
                    "the titles in `{}` are damaged ({fault}) and are set aside; those that you may open are opened again",
                    path.display()
                ));
                if let Err(error) = self.home().change_titles(profile, |_| Ok(TitleChange::Nothing)) {
                    self.warn(&error.to_string());
                }
                TitleFile::default()
            }
            Err(error) => {
                self.warn(&format!("the titles that are kept on this machine cannot be read: {error}"));
                TitleFile::default()
            }
        };
        let shown: BTreeSet<ProposalId> = rows.iter().map(|row| row.id).collect();
        let wanted: BTreeSet<TitlePlace> = wanted.iter().map(|wanted| wanted.place).collect();
        let is_lost =
            |place: &TitlePlace| (shown.contains(&place.proposal) || extent.has(place.call)) && !wanted.contains(place);
        let lost = file.places().into_iter().filter(is_lost).collect();
        let readable = wanted.iter().map(|place| place.proposal);
        let shown_again = readable.filter(|proposal| file.is_forgotten(*proposal)).collect();
        Shelf { file, outdated: Outdated { lost, shown_again } }
    }

    /// The identities to open titles with, as far as the rule lets somebody be asked for them. `None` if nothing takes them.
    async fn keyring_by(
        &self,
        rule: PassphraseRule,
        known: &[Wanted<'_>],
        missing: &[Wanted<'_>],
    ) -> Option<Arc<Keyring>> {
        if known.is_empty() && missing.is_empty() {
            return None;
        }
        if let Some(keyring) = self.unasked_keyring().await {
            return Some(keyring);
        }
        let asks = match rule {
            PassphraseRule::Never => false,
            PassphraseRule::ForNew => !self.profile().identities.is_empty() && self.can_open_one_of(missing).await,
            PassphraseRule::Always => true,
        };
        if !asks {
            return None;
        }
        let keyring =
            self.keyring().await.inspect_err(|error| self.warn(&format!("no titles are shown: {error}"))).ok()?;
        // A device may want a touch for each of them. That is for those who ask for titles.
        Some(keyring).filter(|keyring| rule == PassphraseRule::Always || !keyring.has_plugin())
    }

    /// Whether the member holds a key to one of these summaries.
    async fn can_open_one_of(&self, missing: &[Wanted<'_>]) -> bool {
        let calls = self.calls_of(missing).await;
        for wanted in missing {
            match self.vaults_to_open(wanted.row, wanted.place.access, &calls).await {
                Ok(Some(_)) => return true,
                Err(error) if error.is_passing() => return false,
                Ok(None) | Err(_) => {}
            }
        }
        false
    }

    /// The calls of these proposals, verified: one question for each call.
    async fn calls_of(&self, wanted: &[Wanted<'_>]) -> CallsOfTitles {
        let codes: BTreeMap<CallId, CallCode> =
            wanted.iter().map(|wanted| (wanted.place.call, wanted.row.reference.code().clone())).collect();
        let mut calls = CallsOfTitles::new();
        for (id, code) in codes {
            match self.call(id).await {
                Ok(call) => {
                    calls.insert(id, CallOfTitles { call, has_key: OnceCell::new() });
                }
                Err(error @ ClientError::Unverified { .. }) => self.warn(&format!("no titles under {code}: {error}")),
                Err(error) if error.is_passing() => break,
                Err(_) => {}
            }
        }
        calls
    }

    /// The vaults of a proposal, if the one that the summary is sealed to is open to the member now.
    async fn vaults_to_open(
        &self,
        row: &Proposal,
        access: Access,
        calls: &CallsOfTitles,
    ) -> Result<Option<(Arc<VerifiedCall>, Vec<Vault>)>> {
        let Some(of) = calls.get(&row.call) else { return Ok(None) };
        let call = &of.call;
        // Those who judge have nothing to fetch before the opening. The exchange's clock is known to the second.
        if access != Access::Party && !call.is_opened(self.exchange_now() + SignedDuration::from_secs(1)) {
            return Ok(None);
        }
        let vaults = self.api().vaults(row.id).await?;
        let (me, through) = (self.member_id().await?.to_string(), call.publication.vault.to_string());
        let panel = vaults.iter().find(|vault| vault.kind == VaultKind::Panel);
        let has = |holder: &str| panel.is_some_and(|panel| panel.keys.iter().any(|key| key.holder == holder));
        let has_key = has(&me) || has(&through) && self.has_call_key(of).await?;
        Ok(has_key.then(|| (call.clone(), vaults)))
    }

    /// Whether the member holds a key to a call's vault, by which officers open those of its proposals. It is asked once.
    async fn has_call_key(&self, of: &CallOfTitles) -> Result<bool> {
        let ask = || async {
            if self.0.vaults.get(&of.call.publication.vault).is_some() {
                return Ok(true);
            }
            let me = self.member_id().await?.to_string();
            match self.api().call_vault(of.call.call.id).await {
                Ok(vault) => Ok(vault.keys.iter().any(|key| key.holder == me)),
                Err(error) if error.is_passing() => Err(error),
                Err(_) => Ok(false),
            }
        };
        of.has_key.get_or_try_init(ask).await.copied()
    }

    /// The key of the kept titles; a new one if there is none, or none that an identity of this machine opens.
    async fn title_key(&self, shelf: &mut Shelf, keyring: &Arc<Keyring>) -> Result<KeptKey> {
        if let Some(sealed) = shelf.file.sealed_key() {
            let (keyring, sealed) = (keyring.clone(), sealed.to_owned());
            match blocking(move || Ok(KeptKey::unseal(&keyring, sealed))).await? {
                Ok(key) => return Ok(key),
                Err(
                    SealError::NoMatchingIdentity | SealError::Damaged | SealError::Truncated | SealError::Shape(_),
                ) => {
                    self.warn(
                        "the titles that are kept on this machine are sealed to other keys than yours; those that you may open are \
                         opened again",
                    );
                    shelf.file = TitleFile::default();
                }
                // A plugin or a file of this machine stands in the way, and may not the next time.
                Err(error) => return Err(error.into()),
            }
        }
        let mut recipients = keyring.recipients().to_vec();
        if recipients.is_empty() {
            recipients = self.member(&self.member_id().await?).await?.recipients().to_vec();
        }
        let key = LocalKey::generate(&*self.ambient().rng);
        blocking(move || KeptKey::new(key, &recipients)).await
    }

    /// Opens summaries for their titles, and keeps the titles.
    async fn open_titles(
        &self,
        missing: &[Wanted<'_>],
        (keyring, key): (&Arc<Keyring>, &Arc<KeptKey>),
        progress: Arc<dyn ProgressListener>,
    ) -> Vec<(ProposalId, KnownTitle)> {
        if missing.is_empty() {
            return Vec::new();
        }
        let calls = Arc::new(self.calls_of(missing).await);
        let (mut all, mut unkept, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        let total = missing.len() as u64;
        let work: Vec<_> = missing.iter().map(|wanted| (wanted.row.clone(), wanted.place, wanted.version)).collect();
        let opening = stream::iter(work).map(|(row, place, version)| {
            let (client, calls) = (self.clone(), calls.clone());
            async move {
                let reference = row.reference.clone();
                (reference, place, client.open_title(row, place, version, &calls).await)
            }
        });
        let mut opening = pin!(opening.buffer_unordered(AT_ONCE));
        let mut done = 0;
        while let Some((reference, place, opened)) = opening.next().await {
            done += 1;
            progress.update(ProgressStep::Titles, done, total);
            match opened {
                Ok(Some(title)) => {
                    all.push((place.proposal, title.clone()));
                    unkept.push((place, title));
                }
                Err(error) if error.is_passing() => {
                    let left = "other titles are left out, since the exchange does not answer";
                    self.warn(&format!("{left}: {error}"));
                    break;
                }
                Err(error @ ClientError::Unverified { .. }) => faults.push((reference, error)),
                // No key, or none that opens; the documents are not for the member. Those who want to know why open it by itself.
                Ok(None) | Err(_) => {}
            }
            if unkept.len() >= KEPT_AFTER {
                self.keep_titles(&Outdated::default(), Some((keyring, key)), std::mem::take(&mut unkept)).await;
            }
        }
        progress.update(ProgressStep::Titles, total, total);
        self.keep_titles(&Outdated::default(), Some((keyring, key)), unkept).await;
        for sentence in unverified(&faults) {
            self.warn(&sentence);
        }
        all
    }

    /// Opens the summary of that very version. `None` if it is not open to the member, or another version is there by now.
    async fn open_title(
        &self,
        row: Proposal,
        place: TitlePlace,
        version: VersionChoice,
        calls: &CallsOfTitles,
    ) -> Result<Option<KnownTitle>> {
        let id = row.id;
        let Some((call, vaults)) = self.vaults_to_open(&row, place.access, calls).await? else { return Ok(None) };
        match self.summary_of(row, call, &vaults, version).await {
            Ok((summary, manifest)) => Ok((manifest == Some(place.manifest)).then(|| titled(&summary))),
            Err(error @ ClientError::Unverified { .. }) => {
                // The row was shown some time ago: a version that was signed since contradicts it, and nobody lied.
                let now = self.api().proposal(id).await?;
                let is_same = Wanted::of(&now).is_some_and(|wanted| wanted.place.manifest == place.manifest);
                if is_same { Err(error) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// Takes titles out of what is kept and puts opened ones in. Where that fails it is said, and the titles are shown all the same.
    async fn keep_titles(
        &self,
        outdated: &Outdated,
        key: Option<(&Arc<Keyring>, &Arc<KeptKey>)>,
        opened: Vec<(TitlePlace, KnownTitle)>,
    ) {
        let Outdated { lost, shown_again } = outdated.clone();
        if lost.is_empty() && shown_again.is_empty() && opened.is_empty() {
            return;
        }
        let (home, profile) = (self.home().clone(), self.profile().name.clone());
        let key = key.map(|(keyring, key)| (keyring.clone(), key.clone()));
        let kept = blocking(move || {
            if !lost.is_empty() {
                home.forget_titles_aside(&profile)?;
            }
            let change = |file: &mut TitleFile| {
                file.recall(&shown_again);
                let change = file.remove(|place| lost.contains(place));
                let Some((keyring, key)) = key.filter(|_| !opened.is_empty()) else { return Ok(change) };
                // Another command may have begun the file meanwhile, under a key of its own.
                let theirs = file.sealed_key().filter(|sealed| *sealed != key.sealed()).map(str::to_owned);
                match theirs.map(|sealed| KeptKey::unseal(&keyring, sealed)) {
                    Some(Ok(theirs)) => file.put(&theirs, &opened),
                    Some(Err(_)) | None => file.put(&key, &opened),
                }
                Ok(change.max(TitleChange::Added))
            };
            home.change_titles(&profile, change).map(drop)
        });
        if let Err(error) = kept.await {
            self.warn(&format!("the titles are not kept on this machine: {error}"));
        }
    }
}

/// Which titles are missing because a summary does not verify, the first few by what people call the proposal.
fn unverified(faults: &[(Reference, ClientError)]) -> Vec<String> {
    let named = faults.iter().take(NAMED).map(|(reference, fault)| {
        format!("{reference} is shown without its title, since its summary does not verify: {fault}")
    });
    let more = faults.len().checked_sub(NAMED + 1).map(|more| format!("the same holds for {} more", more + 1));
    named.chain(more).collect()
}

fn titled(summary: &Summary) -> KnownTitle {
    KnownTitle::new(&summary.title, summary.team.iter().map(|person| &*person.organisation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{client::testing, domain::id::Sha256};

    fn access(change: impl FnOnce(&mut Proposal)) -> Option<(Access, Sha256)> {
        let mut row = testing::proposal();
        (row.status, row.version, row.manifest_sha256) = (Status::Submitted, Some(1), Some(Sha256::of(b"standing")));
        row.mine = serde_json::from_value(serde_json::json!({
            "is_party": false, "is_assigned": false, "is_clear": false, "has_reviewed": false,
        }))
        .unwrap();
        change(&mut row);
        Wanted::of(&row).map(|wanted| (wanted.place.access, wanted.place.manifest))
    }

    #[test]
    fn title_that_is_missing_is_named_by_the_reference() {
        let fault = |reference: &str| {
            (reference.parse().unwrap(), ClientError::unverified("its digest differs", "tell the host's operator"))
        };
        let said = unverified(&[fault("BIRD26-48179")]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("BIRD26-48179 is shown without its title"), "{}", said[0]);
        let many: Vec<_> = (0..NAMED + 2).map(|_| fault("BIRD26-48179")).collect();
        assert_eq!(unverified(&many).last().unwrap(), "the same holds for 2 more");
    }

    #[test]
    fn summary_is_wanted_of_those_rows_alone_whose_reader_may_open_it() {
        let standing = Sha256::of(b"standing");
        assert_eq!(access(|_| ()), None, "who has declared nothing");
        assert_eq!(access(|row| row.mine.is_assigned = true), None, "assigned, and has declared nothing");
        assert_eq!(access(|row| row.mine.is_clear = true), Some((Access::Office, standing)));
        let assigned = |row: &mut Proposal| (row.mine.is_clear, row.mine.is_assigned) = (true, true);
        assert_eq!(access(assigned), Some((Access::Assignment, standing)));
        let withdrawn = |row: &mut Proposal| (row.mine.is_clear, row.status) = (true, Status::Withdrawn);
        assert_eq!(access(withdrawn), None, "what was withdrawn is the parties' alone");
        let own = |row: &mut Proposal| (row.mine.is_party, row.status) = (true, Status::Withdrawn);
        assert_eq!(access(own), Some((Access::Party, standing)));
        assert_eq!(access(|row| row.mine.is_invited = true), Some((Access::Party, standing)));
        let unsigned = |row: &mut Proposal| (row.mine.is_party, row.manifest_sha256, row.version) = (true, None, None);
        assert_eq!(access(unsigned), None, "nobody has signed it");
    }
}
