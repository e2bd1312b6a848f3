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
    vaults::VaultPlan,
    verify::VerifiedVault,
};
use crate::{
    domain::{
        call::{Audience, SUMMARY_MEDIA_TYPE, SUMMARY_SLOT, Slot},
        id::{PartnerCode, ProposalId, Slug},
        vault::VaultKind,
    },
    sealing::seal::{Sealed, seal_to},
    wire::proposal::{Document, Proposal},
};
use std::{
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

/// What is sealed.
enum Content {
    File(Source),
    Bytes(Zeroizing<Vec<u8>>),
}

impl Client {
    /// Seals a file to the vault of its slot and uploads it. The media type follows from the name unless one is given; the
    /// first bytes must agree. The same file again, after an interruption, is not sealed anew.
    pub async fn put_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
        progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        let record = self.seal_document(id, slot, file, media_type, progress.clone()).await?;
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
        if slot.as_str() == SUMMARY_SLOT {
            let summary = read_summary_file(file)?;
            return self.seal_summary(id, &summary, progress).await;
        }
        let place = self.place(id, slot).await?;
        let (source, head) = look_at(file)?;
        let media_type = media::decide(&place.slot, file, &head, media_type)?;
        check_size(&place, &media_type, source.size)?;
        if let Some(record) = self.home().upload(&self.profile().name, id, slot)? {
            let is_same = record.source.as_ref() == Some(&source)
                && record.recipient == place.vault.statement.recipient
                && record.media_type == media_type
                && record.sealed.as_ref().is_some_and(|sealed| sealed.exists());
            if is_same {
                return Ok(record);
            }
        }
        self.seal(place, Content::File(source), media_type, progress).await
    }

    /// Seals the summary and uploads it.
    pub async fn put_summary(
        &self,
        id: ProposalId,
        summary: &Summary,
        progress: Arc<dyn Progress>,
    ) -> Result<Document> {
        let record = self.seal_summary(id, summary, progress.clone()).await?;
        self.resume_upload(&record, progress).await
    }

    /// Everything that was sealed here and is not with the exchange yet.
    pub fn interrupted_uploads(&self) -> Result<Vec<UploadRecord>> {
        let all = self.home().uploads(&self.profile().name)?;
        Ok(all.into_iter().filter(|record| record.sealed.is_some()).collect())
    }

    /// Sends a sealed file, for the first time or again. What the exchange has already it does not take twice.
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
                self.home().forget_upload(profile, record)?;
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
        let done = UploadRecord { sealed: None, document: Some(document.id), ..record.clone() };
        self.home().write_upload(profile, &done)?;
        files::remove(sealed)?;
        Ok(document)
    }

    /// Forgets what was sealed for a slot, the sealed file included. The exchange is not told.
    pub fn discard_upload(&self, record: &UploadRecord) -> Result<()> {
        self.home().forget_upload(&self.profile().name, record)
    }

    /// Takes a document out of a slot.
    pub async fn remove_document(&self, id: ProposalId, slot: &Slug) -> Result<()> {
        self.api().remove_document(id, slot).await?;
        match self.home().upload(&self.profile().name, id, slot)? {
            Some(record) => self.discard_upload(&record),
            None => Ok(()),
        }
    }

    async fn seal_summary(
        &self,
        id: ProposalId,
        summary: &Summary,
        progress: Arc<dyn Progress>,
    ) -> Result<UploadRecord> {
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
        self.seal(place, Content::Bytes(bytes), SUMMARY_MEDIA_TYPE.to_owned(), progress).await
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

    async fn seal(
        &self,
        place: Place,
        content: Content,
        media_type: String,
        progress: Arc<dyn Progress>,
    ) -> Result<UploadRecord> {
        let (home, profile) = (self.home().clone(), self.profile().name.clone());
        let idempotency_key = self.api().transport().new_key();
        blocking(move || {
            let folder = home.uploads_folder(&profile)?;
            let path = folder.join(format!("{}.{}.age", place.proposal.id, place.slot.name));
            if let Some(earlier) = home.upload(&profile, place.proposal.id, &place.slot.name)? {
                home.forget_upload(&profile, &earlier)?;
            }
            let recipients = [place.vault.statement.recipient.clone()];
            let failed = |error: io::Error| ClientError::io("write", &path, &error);
            let mut partial = tempfile::Builder::new().prefix(".sealing-").tempfile_in(&folder).map_err(failed)?;
            let (sealed, source) = match content {
                Content::File(source) => {
                    let file = fs::File::open(&source.path);
                    let file = file.map_err(|error| ClientError::io("open", &source.path, &error))?;
                    let mut hear = |done| progress.update(Step::Sealing, done, source.size);
                    (seal_to(&recipients, file, &mut partial, &mut hear)?, Some(source))
                }
                Content::Bytes(bytes) => {
                    let mut hear = |done| progress.update(Step::Sealing, done, bytes.len() as u64);
                    (seal_to(&recipients, bytes.as_slice(), &mut partial, &mut hear)?, None)
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
            partial.as_file().sync_all().map_err(failed)?;
            partial.persist(&path).map_err(|error| failed(error.error))?;
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
                sealed: Some(path),
                document: None,
            };
            home.write_upload(&profile, &record)?;
            Ok(record)
        })
        .await
    }
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
