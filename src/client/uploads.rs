//! Documents on their way up: sealed here into a file, kept until the exchange has it, sent again without sealing anew.
//!
//! Plaintext is read once and never copied. What was sealed is recorded first, so that an interruption at any instant leaves
//! something to take up, and so that what is signed later can be compared with what was sealed here.

use super::{
    Client, ClientError, Result, blocking,
    calls::VerifiedCall,
    files, media,
    progress::{Progress, Step},
    proposals::Summary,
    records::{Source, UploadRecord},
    transport::Upload,
    unfinished::Unfinished,
    vaults::VaultPlan,
    verify::VerifiedVault,
};
use crate::{
    domain::{
        call::{Audience, SUMMARY_MEDIA_TYPE, SUMMARY_SLOT, Slot},
        id::{PartnerCode, ProposalId, Slug},
        vault::VaultKind,
    },
    sealing::{
        seal::{Sealed, seal_to},
        statement::{Manifest, verify_signed},
    },
    wire::proposal::{Document, Proposal},
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::UNIX_EPOCH,
};
use zeroize::Zeroizing;

/// The longest summary, in bytes of plaintext.
pub const MAX_SUMMARY: usize = 1_000_000;

/// Where a document goes: the slot, whose it is and the vault to seal it to.
struct Place {
    proposal: Proposal,
    slot: Slot,
    party: Option<PartnerCode>,
    vault: VerifiedVault,
}

/// A document on its way up.
enum Planned {
    /// It was sealed before and not sent.
    Sealed(Box<UploadRecord>),
    New(Box<Unsealed>),
}

/// What is to be sealed, and for where.
struct Unsealed {
    place: Place,
    content: Content,
    media_type: String,
}

/// What is sealed.
enum Content {
    File(Source),
    Bytes(Zeroizing<Vec<u8>>),
}

impl Client {
    /// Seals a file to the vault of its slot and uploads it. The media type follows from the name unless one is given; the
    /// first bytes must agree. The same file again, after an interruption, is not sealed anew. What was sealed for the slot
    /// before, signed for and not sent yet goes first, so that the signed version can still be whole.
    pub async fn put_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
        progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        let record = match self.plan_document(id, slot, file, media_type).await? {
            Planned::Sealed(record) => *record,
            Planned::New(new) => {
                self.send_signed(id, slot, &progress).await?;
                self.seal(*new, progress.clone()).await?
            }
        };
        self.resume_upload(&record, progress).await
    }

    /// Seals a file without sending it: it can be signed for now and sent until the grace period ends.
    pub async fn seal_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
        progress: Arc<dyn Progress>,
    ) -> Result<UploadRecord> {
        match self.plan_document(id, slot, file, media_type).await? {
            Planned::Sealed(record) => Ok(*record),
            Planned::New(new) => self.seal(*new, progress).await,
        }
    }

    /// Seals the summary and uploads it, as [`Client::put_document`] does a file.
    pub async fn put_summary(
        &self,
        id: ProposalId,
        summary: &Summary,
        progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        let new = self.plan_summary(id, summary).await?;
        self.send_signed(id, &new.place.slot.name, &progress).await?;
        let record = self.seal(new, progress.clone()).await?;
        self.resume_upload(&record, progress).await
    }

    /// Everything that was sealed here and is not with the exchange yet, in the order in which it is to be sent.
    pub fn interrupted_uploads(&self) -> Result<Vec<UploadRecord>> {
        let all = self.home().uploads(&self.profile().name)?;
        Ok(all.into_iter().filter(|record| record.sealed.is_some()).collect())
    }

    /// Sends a sealed file, for the first time or again. What the exchange has already it does not take twice. Only once the
    /// exchange has it are the sealed file, and what was sealed for the slot before, removed; what signed versions name stays.
    pub async fn resume_upload(&self, record: &UploadRecord, progress: Arc<dyn Progress>) -> Result<Document> {
        let profile = &self.profile().name;
        let Some(sealed) = record.sealed.as_ref().filter(|sealed| sealed.exists()) else {
            self.home().forget_upload(profile, record)?;
            let what = format!("the sealed file for slot `{}` is gone", record.slot);
            return Err(ClientError::local(what, "put the document again"));
        };
        let upload = Upload {
            file: sealed,
            sha256: record.sha256,
            size: record.size,
            media_type: &record.media_type,
            idempotency_key: &record.idempotency_key,
        };
        let document = match self.api().put_document(record.proposal, &record.slot, &upload, &progress).await {
            Ok(document) => document,
            // These are not mended by sending the same bytes again.
            Err(error) if matches!(error.problem().map(|problem| problem.status), Some(413 | 415 | 422)) => {
                if !self.is_signed_for(record).await {
                    self.home().forget_upload(profile, record)?;
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if document.sha256 != record.sha256 || document.size != record.size || document.vault != record.vault {
            return Err(ClientError::unverified(
                format!("the exchange says that it stored another file in slot `{}` than was sent", record.slot),
                "do not sign; put the document again, and if it stays so tell the host's operator",
            ));
        }
        let done = UploadRecord { sealed: None, document: Some(document.id), is_taken_out: false, ..record.clone() };
        self.home().write_upload(profile, &done)?;
        files::remove(sealed)?;
        for earlier in self.home().uploads_of(profile, record.proposal, &record.slot)? {
            let is_replaced = earlier.sequence < record.sequence && earlier.idempotency_key != record.idempotency_key;
            if is_replaced && (earlier.sealed.is_none() || !self.is_signed_for(&earlier).await) {
                self.home().forget_upload(profile, &earlier)?;
            }
        }
        Ok(document)
    }

    /// Whether something newer was sealed for the same slot, so that nobody needs this one unless a signed version names it.
    pub async fn is_replaced(&self, record: &UploadRecord) -> Result<bool> {
        let all = self.home().uploads_of(&self.profile().name, record.proposal, &record.slot)?;
        let newer = all.iter().any(|other| other.sequence > record.sequence && !other.is_taken_out);
        Ok((newer || record.is_taken_out) && !self.is_signed_for(record).await)
    }

    /// Forgets what was sealed for a slot, the sealed file included. The exchange is not told.
    ///
    /// # Errors
    /// When a signed version names the file and its bytes may still follow: nobody else has them.
    pub async fn discard_upload(&self, record: &UploadRecord) -> Result<()> {
        if record.is_unsent() && self.is_signed_for(record).await && !self.is_too_late(record.proposal).await {
            let what = format!(
                "what was sealed for slot `{}` of `{}` is kept: a signed version names it, or may, and nobody else has it",
                record.slot, record.proposal
            );
            return Err(ClientError::usage(
                what,
                "send it with `entente proposal resume`; it can be discarded once its time is over",
            ));
        }
        self.home().forget_upload(&self.profile().name, record)
    }

    /// Takes a document out of a slot. What this machine sealed for it and has not sent goes, too, but for what signed versions
    /// name: that is told, and waits to be sent.
    pub async fn remove_document(&self, id: ProposalId, slot: &Slug) -> Result<Vec<UploadRecord>> {
        let profile = &self.profile().name;
        let records = self.home().uploads_of(profile, id, slot)?;
        match self.api().remove_document(id, slot).await {
            // What was sealed here and not sent is all that there is.
            Err(error) if error.slug() == Some("slot-empty") && records.iter().any(is_waiting) => {}
            removed => removed?,
        }
        let mut kept = Vec::new();
        for record in records {
            if record.is_unsent() && self.is_signed_for(&record).await {
                let record = UploadRecord { is_taken_out: true, ..record };
                self.home().write_upload(profile, &record)?;
                kept.push(record);
            } else {
                self.home().forget_upload(profile, &record)?;
            }
        }
        Ok(kept)
    }

    /// Remembers which of the files that only this machine holds are named by a version that is about to be signed; those of
    /// which that was not known.
    pub(super) fn remember_signed(&self, manifest: &Manifest) -> Result<Vec<UploadRecord>> {
        let mut marked = Vec::new();
        for mut record in self.interrupted_uploads()?.into_iter().filter(|record| record.proposal == manifest.proposal)
        {
            let named = manifest.document(&record.slot, record.party.as_ref());
            let is_named = named.is_some_and(|named| named.sha256 == record.sha256);
            if is_named && record.signed_versions.insert(manifest.version) {
                self.home().write_upload(&self.profile().name, &record)?;
                marked.push(record);
            }
        }
        Ok(marked)
    }

    /// Takes that back: the exchange did not take the signature.
    pub(super) fn forget_signed(&self, version: u32, marked: Vec<UploadRecord>) -> Result<()> {
        for mut record in marked {
            record.signed_versions.remove(&version);
            self.home().write_upload(&self.profile().name, &record)?;
        }
        Ok(())
    }

    /// Sends what was sealed for a slot and signed for, before something else takes the slot: afterwards it would take it back.
    async fn send_signed(&self, id: ProposalId, slot: &Slug, progress: &Arc<dyn Progress>) -> Result<()> {
        for record in self.home().uploads_of(&self.profile().name, id, slot)? {
            if record.is_unsent() && self.is_signed_for(&record).await {
                match self.resume_upload(&record, progress.clone()).await {
                    // Refused for good or for now, it stays; that is no reason not to put something else.
                    Ok(_) | Err(ClientError::Problem { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether a signed version names a sealed file. Where the exchange does not say, one may.
    async fn is_signed_for(&self, record: &UploadRecord) -> bool {
        if !record.signed_versions.is_empty() {
            return true;
        }
        // A signature by whomever is enough: to keep a file too long harms nobody.
        let names = |jws: &String| {
            verify_signed::<Manifest>(jws).is_ok_and(|signed| {
                let named = signed.statement.document(&record.slot, record.party.as_ref());
                named.is_some_and(|named| named.sha256 == record.sha256)
            })
        };
        let versions = self.api().manifests(record.proposal).await;
        versions.map_or(true, |versions| versions.iter().any(|version| version.signatures.values().any(names)))
    }

    /// Whether the time for bytes is over, by the exchange's word and by this machine's clock: neither alone is enough to throw
    /// something away.
    async fn is_too_late(&self, id: ProposalId) -> bool {
        let Ok(proposal) = self.api().proposal(id).await else { return false };
        self.exchange_now().min(self.now()) > proposal.grace_until.0
    }

    /// What is to be done for a document: nothing but to send what was sealed, or to seal it.
    async fn plan_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
    ) -> Result<Planned> {
        if slot.as_str() == SUMMARY_SLOT {
            let summary = read_summary_file(file)?;
            return Ok(Planned::New(Box::new(self.plan_summary(id, &summary).await?)));
        }
        let place = self.place(id, slot).await?;
        let (source, head) = look_at(file)?;
        let media_type = media::decide(&place.slot, file, &head, media_type)?;
        check_size(&place, &media_type, source.size)?;
        let records = self.home().uploads_of(&self.profile().name, id, slot)?;
        let is_same = |record: &&UploadRecord| {
            record.is_unsent()
                && record.source.as_ref() == Some(&source)
                && record.recipient == place.vault.statement.recipient
                && record.media_type == media_type
        };
        if let Some(same) = records.iter().rfind(is_same) {
            // Put again, it is the newest, whatever was sealed in between.
            let sequence = if records.last() == Some(same) { same.sequence } else { next_sequence(&records) };
            let record = UploadRecord { sequence, is_taken_out: false, ..same.clone() };
            self.home().write_upload(&self.profile().name, &record)?;
            return Ok(Planned::Sealed(Box::new(record)));
        }
        self.check_time(&place, &records).await?;
        let content = Content::File(source);
        Ok(Planned::New(Box::new(Unsealed { place, content, media_type })))
    }

    async fn plan_summary(&self, id: ProposalId, summary: &Summary) -> Result<Unsealed> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SUMMARY));
        serde_json::to_writer(&mut *bytes, summary)
            .map_err(|error| ClientError::usage(error.to_string(), "mend the summary"))?;
        if summary.title.trim().is_empty() || bytes.len() > MAX_SUMMARY {
            return Err(ClientError::usage(
                "a summary has a title, and at most 1,000,000 bytes",
                "put longer texts into a document of their own",
            ));
        }
        let place = self.place(id, &SUMMARY_SLOT.parse().expect("a short name")).await?;
        let records = self.home().uploads_of(&self.profile().name, id, &place.slot.name)?;
        self.check_time(&place, &records).await?;
        Ok(Unsealed { place, content: Content::Bytes(bytes), media_type: SUMMARY_MEDIA_TYPE.to_owned() })
    }

    /// Refuses to seal what the exchange would not take any more: after the deadline only what was signed can follow.
    async fn check_time(&self, place: &Place, records: &[UploadRecord]) -> Result<()> {
        let (deadline_at, slot) = (place.proposal.deadline_at.0, &place.slot.name);
        if self.exchange_now() <= deadline_at {
            return Ok(());
        }
        for record in records.iter().rev().filter(|record| record.is_unsent()) {
            if self.is_signed_for(record).await {
                return Err(ClientError::usage(
                    format!(
                        "the deadline was {deadline_at}, and what was sealed here for slot `{slot}` before and signed is not sent yet"
                    ),
                    format!(
                        "resume instead: `entente proposal resume {}` sends it; nothing else can follow",
                        record.proposal
                    ),
                ));
            }
        }
        Err(ClientError::usage(
            format!(
                "the deadline was {deadline_at}, and no file for slot `{slot}` that every party signed for waits here"
            ),
            "after the deadline only those can follow; ask the call's officers whether they extend it for you",
        ))
    }

    async fn place(&self, id: ProposalId, slot: &Slug) -> Result<Place> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?;
        if !proposal.parties.contains_key(me.partner()) {
            let what = format!("`{}` is no party of this proposal", me.partner());
            return Err(ClientError::usage(what, "only its parties put documents into a proposal"));
        }
        let slot = call.rules.slot(slot)?;
        let party = (slot.audience == Audience::Staff).then(|| me.partner().clone());
        let vault = self.vault_for(&proposal, &call, party.as_ref()).await?;
        Ok(Place { proposal, slot, party, vault })
    }

    /// The vault for documents of all parties or of one; a party's own is made if it is not there yet.
    async fn vault_for(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        party: Option<&PartnerCode>,
    ) -> Result<VerifiedVault> {
        let kind = if party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
        let vaults = self.api().vaults(proposal.id).await?;
        if let Some(vault) = self.find_vault(&vaults, kind, party, proposal, call).await? {
            return Ok(vault);
        }
        let Some(party) = party else {
            let what = format!("`{}` has no panel vault", proposal.id);
            return Err(ClientError::unverified(what, "tell the host's operator; begin the proposal anew"));
        };
        let facts = self.proposal_facts(proposal, call, &vaults).await?;
        let mut holders = Vec::new();
        for member in &proposal.parties[party] {
            holders.push(self.admit(member, kind, Some(party), &facts).await?);
        }
        let plan = VaultPlan { kind, proposal: proposal.id, party: Some(party.clone()), holders };
        let (vault, _) = self.new_vault(call, plan)?;
        match self.api().create_staff_vault(proposal.id, &vault).await {
            // A colleague was quicker.
            Err(error) if error.slug() == Some("exists") => {}
            made => made?,
        }
        let vaults = self.api().vaults(proposal.id).await?;
        let found = self.find_vault(&vaults, kind, Some(party), proposal, call).await?;
        found.ok_or_else(|| {
            ClientError::unverified("the exchange does not show the vault that was just made", "try again")
        })
    }

    /// Seals beside what was sealed before: that goes only once the exchange has this one.
    async fn seal(&self, new: Unsealed, progress: Arc<dyn Progress>) -> Result<UploadRecord> {
        let Unsealed { place, content, media_type } = new;
        let (home, profile) = (self.home().clone(), self.profile().name.clone());
        let idempotency_key = self.api().transport().new_key();
        blocking(move || {
            let folder = home.uploads_folder(&profile)?;
            let path = folder.join(format!("{}.{}.{idempotency_key}.age", place.proposal.id, place.slot.name));
            let sequence = next_sequence(&home.uploads_of(&profile, place.proposal.id, &place.slot.name)?);
            let recipients = [place.vault.statement.recipient.clone()];
            let failed = |error: io::Error| ClientError::io("write", &path, &error);
            let mut partial = Unfinished::begin(&home, &folder)?;
            let (sealed, source) = match content {
                Content::File(source) => {
                    let file = fs::File::open(&source.path);
                    let file = file.map_err(|error| ClientError::io("open", &source.path, &error))?;
                    let mut hear = |done| progress.update(Step::Sealing, done, source.size);
                    (seal_to(&recipients, file, partial.file(), &mut hear)?, Some(source))
                }
                Content::Bytes(bytes) => {
                    let mut hear = |done| progress.update(Step::Sealing, done, bytes.len() as u64);
                    (seal_to(&recipients, bytes.as_slice(), partial.file(), &mut hear)?, None)
                }
            };
            if let Some(source) = &source
                && look_at(&source.path)?.0 != *source
            {
                let what = format!("`{}` changed while it was sealed", source.path.display());
                return Err(ClientError::local(what, "try again when nothing writes to it"));
            }
            let Sealed { sha256, size } = sealed;
            check_size(&place, &media_type, size)?;
            let record = UploadRecord {
                proposal: place.proposal.id,
                slot: place.slot.name,
                party: place.party,
                vault: place.vault.statement.vault,
                recipient: place.vault.statement.recipient,
                sha256,
                size,
                media_type,
                idempotency_key,
                source,
                sealed: Some(path.clone()),
                document: None,
                sequence,
                signed_versions: BTreeSet::new(),
                is_taken_out: false,
            };
            // The record first: without its file it counts for nothing, while a file without a record would stay for ever.
            home.write_upload(&profile, &record)?;
            partial.finish_new(&path).map_err(failed)?;
            Ok(record)
        })
        .await
    }
}

/// Whether it is what the slot would hold next, and waits to be sent.
fn is_waiting(record: &UploadRecord) -> bool {
    record.is_unsent() && !record.is_taken_out
}

fn next_sequence(records: &[UploadRecord]) -> u64 {
    records.iter().map(|record| record.sequence).max().unwrap_or(0) + 1
}

/// Checks media type and size against the slot.
fn check_size(place: &Place, media_type: &str, size: u64) -> Result<()> {
    let Slot { name, media_types, max_bytes, .. } = &place.slot;
    if size <= *max_bytes && media_types.contains(media_type) {
        return Ok(());
    }
    let what = format!("slot `{name}` takes at most {max_bytes} bytes once sealed, this has {size}");
    Err(ClientError::usage(what, "make the file smaller, or ask the call's officers"))
}

/// A file's place, size and time of change, and its first bytes.
fn look_at(path: &Path) -> Result<(Source, Vec<u8>)> {
    let look = || -> io::Result<(Source, Vec<u8>)> {
        let path = fs::canonicalize(path)?;
        let file = fs::File::open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mut head = Vec::with_capacity(media::SNIFFED);
        file.take(media::SNIFFED as u64).read_to_end(&mut head)?;
        let modified = i128::try_from(modified).unwrap_or(i128::MAX);
        Ok((Source { path, size: metadata.len(), modified }, head))
    };
    look().map_err(|error| ClientError::io("read", path, &error))
}

fn read_summary_file(path: &Path) -> Result<Summary> {
    let metadata = fs::metadata(path).map_err(|error| ClientError::io("read", path, &error))?;
    if metadata.len() > MAX_SUMMARY as u64 {
        return Err(ClientError::usage("a summary has at most 1,000,000 bytes", "shorten it"));
    }
    let text = fs::read(path).map(Zeroizing::new).map_err(|error| ClientError::io("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| {
        ClientError::usage(
            format!("`{}` is no summary: {error}", path.display()),
            "write JSON with `title`, `abstract`, `team` and `budget`",
        )
    })
}
