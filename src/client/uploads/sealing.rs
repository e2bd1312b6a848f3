//! Sealing a document for its slot: what is checked before, which vault it goes to, and the record that is written with it.

use crate::{
    client::{
        Client, ClientError, Home, Result, blocking, media,
        progress::{ProgressListener, ProgressStep},
        proposals::{MAX_SUMMARY, Summary},
        records::{Source, UploadRecord},
        transport::{GrowingFile, RecentBytes},
        unfinished::Unfinished,
        vaults::VaultPlan,
        verified::{VerifiedCall, VerifiedVault},
    },
    domain::{
        call::{Audience, SUMMARY_MEDIA_TYPE, SUMMARY_SLOT, Slot},
        id::{CallId, PartnerCode, ProposalId, Slug},
        vault::VaultKind,
    },
    platform, reading,
    sealing::{
        header::{HeaderCheck, sealed_len},
        seal::{Sealed, seal_to},
    },
    wire::proposal::Proposal,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// A file of at most so many bytes of ciphertext is sealed and then sent in one request: to go on with it would take as many.
pub(super) const AT_ONCE: u64 = 1 << 20;

/// Where a document goes: the slot, whose it is and the vault to seal it to.
pub(super) struct UploadTarget {
    proposal: Proposal,
    pub(super) slot: Slot,
    party: Option<PartnerCode>,
    vault: VerifiedVault,
}

/// A document on its way up.
pub(super) enum Planned {
    /// It was sealed before and not sent.
    Sealed(Box<UploadRecord>),
    New(Box<Unsealed>),
}

/// What is to be sealed, and for where.
pub(super) struct Unsealed {
    pub(super) place: UploadTarget,
    content: Content,
    media_type: String,
}

/// What is sealed.
enum Content {
    File(Source),
    Bytes(Zeroizing<Vec<u8>>),
}

/// The sender of a file that is being sealed, and its sealer: what one has to know of the other.
pub(super) struct Following {
    growing: watch::Sender<GrowingFile>,
    pub(super) upload: NotedUpload,
}

/// Where the exchange takes a file, and the record of it, whichever is known first.
#[derive(Clone, Default)]
pub(super) struct NotedUpload(Arc<Mutex<(Option<String>, Option<UploadRecord>)>>);

impl Following {
    /// The sealer's end, and what the sender looks at.
    pub(super) fn begin() -> (Self, watch::Receiver<GrowingFile>) {
        let (growing, followed) = watch::channel(GrowingFile::default());
        (Self { growing, upload: NotedUpload::default() }, followed)
    }
}

impl NotedUpload {
    pub(super) fn address(&self) -> Option<String> {
        self.lock().0.clone()
    }

    /// Notes where the exchange takes the file, in its record if there is one.
    pub(super) fn note(&self, home: &Home, profile: &str, address: &str) -> Result<()> {
        let mut noted = self.lock();
        noted.0 = Some(address.to_owned());
        if let Some(record) = &noted.1 {
            home.change_upload(profile, record, |now| now.upload = Some(address.to_owned()))?;
        }
        Ok(())
    }

    /// Writes the record of the file, with where the exchange takes it if that is known.
    fn record(&self, home: &Home, profile: &str, record: UploadRecord) -> Result<UploadRecord> {
        let mut noted = self.lock();
        let record = home.add_upload(profile, UploadRecord { upload: noted.0.clone(), ..record })?;
        noted.1 = Some(record.clone());
        Ok(record)
    }

    fn lock(&self) -> MutexGuard<'_, (Option<String>, Option<UploadRecord>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is written and sent at the same time. All of it but the last byte may be sent as soon as it is written.
struct FollowedFile<'f> {
    file: &'f mut fs::File,
    following: Option<&'f Following>,
    plaintext_len: u64,
    written: u64,
    header: HeaderCheck,
    size: Option<u64>,
    recent: RecentBytes,
}

impl Write for FollowedFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.write(bytes)?;
        let at = self.written;
        self.written += len as u64;
        let Some(following) = self.following else { return Ok(len) };
        self.recent.hold(at, &bytes[..len]);
        if self.size.is_none() {
            self.header.push(&bytes[..len]).map_err(io::Error::other)?;
            self.size = self.header.header_len().map(|header_len| sealed_len(header_len, self.plaintext_len));
        }
        if let Some(size) = self.size {
            let ready = self.written.min(size - 1);
            following.growing.send_modify(|growing| {
                growing.size = Some(size);
                growing.ready = ready;
            });
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Unsealed {
    /// Whether it is worth going on with when it is broken off.
    pub(super) fn is_large(&self) -> bool {
        matches!(&self.content, Content::File(source) if source.size > AT_ONCE)
    }

    /// Where it goes, and what it is.
    pub(super) fn destination(&self) -> (ProposalId, Slug, String) {
        (self.place.proposal.id, self.place.slot.name.clone(), self.media_type.clone())
    }
}

impl Client {
    /// What is to be done for a document: nothing but to send what was sealed, or to seal it.
    pub(super) async fn plan_document(
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
        if let Some(same) = records.iter().rfind(is_same)
            && let Some(record) = self.home().renew_upload(&self.profile().name, same)?
        {
            return Ok(Planned::Sealed(Box::new(record)));
        }
        self.check_time(&place, &records).await?;
        let content = Content::File(source);
        Ok(Planned::New(Box::new(Unsealed { place, content, media_type })))
    }

    pub(super) async fn plan_summary(&self, id: ProposalId, summary: &Summary) -> Result<Unsealed> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SUMMARY));
        serde_json::to_writer(&mut *bytes, summary)
            .map_err(|error| ClientError::usage(error.to_string(), "fix the summary"))?;
        if summary.title.trim().is_empty() || bytes.len() > MAX_SUMMARY {
            return Err(ClientError::usage(
                "a summary has a title, and at most 1,000,000 bytes",
                "put longer texts into a document of their own",
            ));
        }
        if let Some(fault) = summary.unseen_fault() {
            return Err(ClientError::usage(fault, "correct the summary and put it again"));
        }
        let place = self.place(id, &SUMMARY_SLOT.parse().expect("a short name")).await?;
        let records = self.home().uploads_of(&self.profile().name, id, &place.slot.name)?;
        self.check_time(&place, &records).await?;
        Ok(Unsealed { place, content: Content::Bytes(bytes), media_type: SUMMARY_MEDIA_TYPE.to_owned() })
    }

    /// Refuses to seal what the exchange would no longer take: after the deadline only what was signed can follow.
    async fn check_time(&self, place: &UploadTarget, records: &[UploadRecord]) -> Result<()> {
        let (deadline_at, slot) = (place.proposal.deadline_at.0, &place.slot.name);
        if self.exchange_now() <= deadline_at {
            return Ok(());
        }
        let sealed = records.iter().rev().filter(|record| record.sealed.is_some());
        let (here, missing): (Vec<_>, Vec<_>) = sealed.partition(|record| record.is_unsent());
        for record in here {
            if self.is_signed_for(record).await {
                return Err(ClientError::usage(
                    format!(
                        "the deadline was {deadline_at}, and what was sealed here for slot `{slot}` before and signed is not sent yet"
                    ),
                    format!(
                        "resume instead: `entente proposal resume {}` sends it; nothing else can follow",
                        place.proposal.reference
                    ),
                ));
            }
        }
        for record in missing {
            if self.is_signed_for(record).await {
                return Err(self.missing(record).await);
            }
        }
        Err(ClientError::usage(
            format!(
                "the deadline was {deadline_at}, and no file for slot `{slot}` that every party signed for waits here"
            ),
            "after the deadline only those can follow; ask the call's officers whether they extend it for you",
        ))
    }

    async fn place(&self, id: ProposalId, slot: &Slug) -> Result<UploadTarget> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let me = self.member_id().await?;
        if !proposal.parties.get(me.partner()).is_some_and(|members| members.contains(&me)) {
            let what = format!("`{me}` is not a member of a party of this proposal");
            return Err(ClientError::usage(
                what,
                "only they put documents in; if you are invited: `entente proposal accept`",
            ));
        }
        let slot = call.rules.slot(slot)?;
        let party = (slot.audience == Audience::Staff).then(|| me.partner().clone());
        let vault = self.vault_for(&proposal, &call, party.as_ref()).await?;
        Ok(UploadTarget { proposal, slot, party, vault })
    }

    /// Makes the vault that letters to the caller's party alone are sealed to, if the call's text has such letters and it is not there yet.
    pub(in crate::client) async fn prepare_for_letters(&self, proposal: ProposalId, call: CallId) -> Result<()> {
        let call = self.call(call).await?;
        if call.rules.letters.is_all_parties() {
            return Ok(());
        }
        let proposal = self.api().proposal(proposal).await?;
        self.vault_for(&proposal, &call, Some(self.member_id().await?.partner())).await.map(drop)
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
            let what = format!("`{}` has no panel vault", proposal.reference);
            return Err(ClientError::unverified(what, "tell the host's operator, and begin the proposal again"));
        };
        let facts = self.proposal_facts(proposal, call, &vaults).await?;
        let me = self.member_id().await?;
        let mut holders = Vec::new();
        for member in &proposal.parties[party] {
            match self.admit(member, kind, Some(party), &facts).await {
                // A member who may not have it, or was asked into the party by another one, is left out.
                Err(ClientError::Unverified { .. }) if *member != me => {}
                admitted => holders.push(admitted?),
            }
        }
        let plan = VaultPlan { kind, proposal: proposal.id, party: Some(party.clone()), holders };
        let (vault, _) = self.new_vault(call, plan).await?;
        match self.api().create_staff_vault(proposal.id, &vault).await {
            // A colleague was quicker.
            Err(error) if error.slug() == Some("exists") => {}
            made => {
                made?;
                self.see_made(proposal.id, &vault).await?;
            }
        }
        let vaults = self.api().vaults(proposal.id).await?;
        let found = self.find_vault(&vaults, kind, Some(party), proposal, call).await?;
        found.ok_or_else(|| {
            ClientError::unverified("the exchange does not show the vault that was just made", "try again")
        })
    }

    /// Seals beside what was sealed before: that goes only once the exchange has this one.
    pub(super) async fn seal(&self, new: Unsealed, progress: Arc<dyn ProgressListener>) -> Result<UploadRecord> {
        self.seal_into_file(new, progress, None).await
    }

    /// The same of a file that is sent meanwhile.
    pub(super) async fn seal_followed(
        &self,
        new: Unsealed,
        progress: Arc<dyn ProgressListener>,
        following: Following,
    ) -> Result<UploadRecord> {
        self.seal_into_file(new, progress, Some(following)).await
    }

    async fn seal_into_file(
        &self,
        new: Unsealed,
        progress: Arc<dyn ProgressListener>,
        following: Option<Following>,
    ) -> Result<UploadRecord> {
        let Unsealed { place, content, media_type } = new;
        let (home, profile) = (self.home().clone(), self.profile().name.clone());
        let idempotency_key = self.api().transport().new_key();
        blocking(move || {
            let folder = home.uploads_folder(&profile)?;
            let path = folder.join(format!("{}.{}.{idempotency_key}.age", place.proposal.id, place.slot.name));
            let recipients = [place.vault.statement.recipient.clone()];
            let failed = |error: io::Error| ClientError::io("write", &path, &error);
            let mut partial = Unfinished::begin(&home, &folder)?;
            if let Some(following) = &following {
                following.growing.send_modify(|growing| partial.path().clone_into(&mut growing.path));
            }
            let plaintext_len = match &content {
                Content::File(source) => source.size,
                Content::Bytes(bytes) => bytes.len() as u64,
            };
            let mut hear = |done| progress.update(ProgressStep::Sealing, done, plaintext_len);
            let mut file = FollowedFile {
                file: partial.file(),
                following: following.as_ref(),
                plaintext_len,
                written: 0,
                header: HeaderCheck::new(),
                size: None,
                recent: following
                    .as_ref()
                    .map(|following| following.growing.borrow().recent.clone())
                    .unwrap_or_default(),
            };
            let (sealed, source) = match content {
                Content::File(source) => {
                    let opened = fs::File::open(&source.path);
                    let opened = opened.map_err(|error| ClientError::io("open", &source.path, &error))?;
                    // A file that grows meanwhile is seen to have changed, and is not sent to its end.
                    (seal_to(&recipients, opened.take(source.size), &mut file, &mut hear)?, Some(source))
                }
                Content::Bytes(bytes) => (seal_to(&recipients, bytes.as_slice(), &mut file, &mut hear)?, None),
            };
            let announced = file.size;
            if let Some(source) = &source
                && (look_at(&source.path)?.0 != *source || announced.is_some_and(|announced| announced != sealed.size))
            {
                let what = format!("`{}` changed while it was sealed", source.path.display());
                return Err(ClientError::local(what, "try again when nothing writes to it"));
            }
            let Sealed { sha256, size } = sealed;
            check_size(&place, &media_type, size)?;
            let record = UploadRecord {
                proposal: place.proposal.id,
                reference: Some(place.proposal.reference),
                slot: place.slot.name,
                party: place.party,
                vault: place.vault.statement.vault,
                recipient: place.vault.statement.recipient,
                sha256,
                size,
                media_type,
                idempotency_key,
                upload: None,
                source,
                sealed: Some(path.clone()),
                document: None,
                sequence: 0,
                signed_versions: BTreeSet::new(),
                is_taken_out: false,
            };
            // The record first: without its file it counts for nothing, while a file without a record would stay for ever. All that is
            // left then is to name the file.
            let Some(following) = following else {
                partial.file().sync_all().map_err(failed)?;
                let record = home.add_upload(&profile, record)?;
                partial.finish_new(&path).map_err(failed)?;
                return Ok(record);
            };
            // It reaches the disk when somebody signs for it, if the exchange does not have it by then.
            let record = following.upload.record(&home, &profile, record)?;
            partial.name_new(&path).map_err(failed)?;
            following.growing.send_modify(|growing| {
                (growing.path, growing.ready, growing.size) = (path, size, Some(size));
            });
            Ok(record)
        })
        .await
    }
}

/// Checks media type and size against the slot.
fn check_size(place: &UploadTarget, media_type: &str, size: u64) -> Result<()> {
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
        let path = platform::full_path(path)?;
        let file = fs::File::open(&path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
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
    reading::file(&text).map_err(|error| {
        ClientError::usage(
            format!("`{}` is not a summary: {error}", path.display()),
            "write JSON with `title`, `abstract`, `team` and `budget`",
        )
    })
}
