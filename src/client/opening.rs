//! Opening documents: call, manifest, signatures, vault and digest are verified before a byte is shown.
//!
//! A document appears under its name only when all of it has arrived, opened to its end and is the ciphertext that the parties
//! signed. On any doubt there is no file at all.

use super::{
    Client, ClientError, Home, Result, blocking,
    progress::{NoProgress, ProgressListener, ProgressStep},
    proposals::{MAX_SUMMARY, Summary},
    unfinished::Unfinished,
    verified::{VerifiedCall, VerifiedManifest, VerifiedVault, VersionChoice},
    verify::invalid,
};
use crate::{
    domain::{
        call::SUMMARY_SLOT,
        id::{DocumentId, MemberId, PartnerCode, ProposalId, Sha256, Slug},
        vault::VaultKind,
    },
    sealing::{
        seal::{SealError, open_bytes, open_signed},
        statement::{Manifest, ManifestDocument},
    },
    wire::proposal::{Document, Proposal, SignedManifest, Vault},
};
use aws_lc_rs::digest::{Context, SHA256};
use bytes::{Buf, Bytes};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Seek, Write},
    path::Path,
    sync::Arc,
};
use tokio::sync::mpsc;

/// A document that was fetched, and opened unless it was asked for as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedDocument {
    pub document: ManifestDocument,
    /// Bytes written.
    pub size: u64,
    /// Empty for what nobody has signed yet.
    pub signed_by: BTreeMap<PartnerCode, MemberId>,
}

/// A document found and verified as far as it can be before its bytes are here.
struct Found {
    proposal: Proposal,
    call: Arc<VerifiedCall>,
    vault: VerifiedVault,
    id: DocumentId,
    document: ManifestDocument,
    /// Digest of the version's manifest; none for what is only uploaded.
    manifest_sha256: Option<Sha256>,
    signed_by: BTreeMap<PartnerCode, MemberId>,
}

impl Client {
    /// A version of a proposal, verified.
    pub async fn manifest(&self, id: ProposalId, version: VersionChoice) -> Result<VerifiedManifest> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        self.verified_manifest(&proposal, &call, &vaults, version).await
    }

    /// Opens a document into the new file `out`. Of a restricted slot the own party's is meant, unless one is named.
    pub async fn open_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
        out: &Path,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<OpenedDocument> {
        refuse_existing(out)?;
        let found = self.find_document(id, slot, party, version).await?;
        let (home, out) = (self.home().clone(), out.to_owned());
        self.open_found(found, progress, move |open| {
            let mut unfinished = begin(&home, &out)?;
            let size = open(unfinished.file())?;
            finish(unfinished, &out).map(|()| size)
        })
        .await
    }

    /// Opens a document and copies it to `to` once all of it is verified. On disk it has no name in between.
    pub async fn open_document_to(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
        to: impl Write + Send + 'static,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<OpenedDocument> {
        let found = self.find_document(id, slot, party, version).await?;
        self.open_found(found, progress, move |open| through_nameless(open, to)).await
    }

    /// Fetches a document's ciphertext and copies it to `to` once all of it is verified.
    pub async fn download_document_to(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
        to: impl Write + Send + 'static,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<OpenedDocument> {
        let found = self.find_document(id, slot, party, version).await?;
        let expected = found.document.sha256;
        let copy = move |mut pieces: Pieces| through_nameless(&mut |file| copy_signed(&mut pieces, file, expected), to);
        let size = self.fetch(&found, progress, copy).await?;
        Ok(OpenedDocument { document: found.document, size, signed_by: found.signed_by })
    }

    /// Fetches a document's ciphertext and throws it away: whether it is what was signed is all that is asked.
    pub async fn check_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<OpenedDocument> {
        let found = self.find_document(id, slot, party, version).await?;
        let expected = found.document.sha256;
        let check = move |mut pieces: Pieces| copy_signed(&mut pieces, &mut io::sink(), expected);
        let size = self.fetch(&found, progress, check).await?;
        Ok(OpenedDocument { document: found.document, size, signed_by: found.signed_by })
    }

    /// Fetches a document's ciphertext as it is into the new file `out`, verified all the same. For opening with other tools.
    pub async fn download_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
        out: &Path,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<OpenedDocument> {
        refuse_existing(out)?;
        let found = self.find_document(id, slot, party, version).await?;
        let (expected, home, out) = (found.document.sha256, self.home().clone(), out.to_owned());
        let size = self.fetch(&found, progress, move |pieces| save(pieces, &home, &out, expected)).await?;
        Ok(OpenedDocument { document: found.document, size, signed_by: found.signed_by })
    }

    /// The summary of a proposal, verified and opened.
    pub async fn read_summary(&self, id: ProposalId, version: VersionChoice) -> Result<Summary> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        self.summary_of(proposal, call, &vaults, version).await.map(|(summary, _)| summary)
    }

    /// The same of a proposal that is at hand, with the digest of the version's manifest.
    pub(super) async fn summary_of(
        &self,
        proposal: Proposal,
        call: Arc<VerifiedCall>,
        vaults: &[Vault],
        version: VersionChoice,
    ) -> Result<(Summary, Option<Sha256>)> {
        let slot = SUMMARY_SLOT.parse().expect("a short name");
        let found = self.find_document_of(proposal, call, vaults, (&slot, None), version).await?;
        let secret = self.open_vault(&found.vault, &found.call).await?;
        let expected = found.document.sha256;
        let read = move |pieces: Pieces| {
            let mut sealed = Vec::new();
            pieces.take(2 * MAX_SUMMARY as u64).read_to_end(&mut sealed).map_err(SealError::Io)?;
            if Sha256::of(&sealed) != expected {
                return Err(SealError::Digest { wanted: expected, found: Sha256::of(&sealed) }.into());
            }
            let text = open_bytes(&[secret.identity()], &sealed, MAX_SUMMARY)?;
            // What is wrong with it is not repeated: the message could hold a piece of it.
            serde_json::from_slice(&text)
                .map_err(|_| ClientError::local("the summary is malformed", "open it as a document instead"))
        };
        Ok((self.fetch(&found, Arc::new(NoProgress), read).await?, found.manifest_sha256))
    }

    /// A version of a proposal, verified: signatures of its parties, the call's text, the vaults that are shown.
    pub(super) async fn verified_manifest(
        &self,
        proposal: &Proposal,
        call: &VerifiedCall,
        vaults: &[Vault],
        version: VersionChoice,
    ) -> Result<VerifiedManifest> {
        let versions = self.api().manifests(proposal.id).await?;
        let pending = proposal.pending.as_ref().map(|pending| pending.version);
        let standing = || versions.iter().find(|version| version.is_standing);
        let (chosen, help) = match version {
            VersionChoice::Standing => {
                (standing(), "it is submitted once every party has signed and every byte is there")
            }
            VersionChoice::Newest => {
                let pending = versions.iter().find(|version| Some(version.version) == pending);
                (
                    pending.or_else(standing),
                    "no version is signed yet; what is only uploaded is opened with `--version working`",
                )
            }
            VersionChoice::Number(number) => {
                (versions.iter().find(|version| version.version == number), "see `entente proposal status`")
            }
            VersionChoice::Working => (None, "what is only uploaded has no manifest"),
        };
        let Some(chosen) = chosen else {
            return Err(ClientError::usage(format!("there is no such version of `{}`", proposal.reference), help));
        };
        let (manifest, signed_by) = self.verify_signatures(chosen, proposal, call).await?;
        check_text(self.home(), chosen, &manifest)?;
        if chosen.is_standing {
            check_standing(chosen, proposal, &manifest, &signed_by)?;
            self.home().see_version(proposal.id, chosen.version, chosen.manifest_sha256)?;
        }
        self.check_vaults(&manifest, vaults, proposal, call).await?;
        Ok(VerifiedManifest {
            sha256: chosen.manifest_sha256,
            is_standing: chosen.is_standing,
            is_current_text: manifest.call_text_sha256 == call.publication.text_sha256,
            manifest,
            signed_by,
        })
    }

    async fn find_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        party: Option<&PartnerCode>,
        version: VersionChoice,
    ) -> Result<Found> {
        let proposal = self.api().proposal(id).await?;
        let call = self.call(proposal.call).await?;
        let vaults = self.api().vaults(id).await?;
        self.find_document_of(proposal, call, &vaults, (slot, party), version).await
    }

    /// The same in a proposal that is at hand.
    async fn find_document_of(
        &self,
        proposal: Proposal,
        call: Arc<VerifiedCall>,
        vaults: &[Vault],
        (slot, party): (&Slug, Option<&PartnerCode>),
        version: VersionChoice,
    ) -> Result<Found> {
        let id = proposal.id;
        let me = self.member_id().await?;
        let (candidates, signed_by, manifest_sha256) = if version == VersionChoice::Working {
            (working(&self.api().documents(id).await?, vaults), BTreeMap::new(), None)
        } else {
            let verified = self.verified_manifest(&proposal, &call, vaults, version).await?;
            (verified.manifest.documents, verified.signed_by, Some(verified.sha256))
        };
        let document = choose(candidates, slot, party, me.partner())?;
        if version == VersionChoice::Working {
            check_size(&document, call.rules.slot(slot)?.max_bytes)?;
        }
        let stored = self.api().documents(id).await?.into_iter().find(|stored| {
            stored.slot == document.slot && stored.party == document.party && stored.sha256 == document.sha256
        });
        let stored = stored.ok_or_else(|| {
            ClientError::not_shown(
                format!("the exchange does not show the document of that version in slot `{slot}` to you"),
                "its bytes may still be on their way, or a newer file has replaced it",
            )
        })?;
        let kind = if document.party.is_some() { VaultKind::Staff } else { VaultKind::Panel };
        let vault = self.find_vault(vaults, kind, document.party.as_ref(), &proposal, &call).await?;
        let vault = vault
            .filter(|vault| vault.vault.id == document.vault && vault.statement.recipient == document.recipient)
            .ok_or_else(|| invalid(format!("the vault of slot `{slot}` is not the one that was signed for")))?;
        Ok(Found { proposal, call, vault, id: stored.id, document, manifest_sha256, signed_by })
    }

    /// Opens what was found: `place` gets the opening, to be done into a file of its choice.
    async fn open_found(
        &self,
        found: Found,
        progress: Arc<dyn ProgressListener>,
        place: impl FnOnce(&mut dyn FnMut(&mut fs::File) -> Result<u64>) -> Result<u64> + Send + 'static,
    ) -> Result<OpenedDocument> {
        let secret = self.open_vault(&found.vault, &found.call).await?;
        let (expected, total, heard) = (found.document.sha256, found.document.size, progress.clone());
        let size = self.fetch(&found, progress, move |mut pieces| {
            let mut hear = |done| heard.update(ProgressStep::Opening, done, total);
            place(
                &mut |file| Ok(open_signed(&[secret.identity()], &mut pieces, file, Some(&expected), &mut hear)?.size),
            )
        });
        let size = size.await?;
        self.remember_opened(found.proposal.id);
        Ok(OpenedDocument { document: found.document, size, signed_by: found.signed_by })
    }

    /// Fetches the ciphertext while `work` reads it on another thread.
    async fn fetch<T: Send + 'static>(
        &self,
        found: &Found,
        progress: Arc<dyn ProgressListener>,
        work: impl FnOnce(Pieces) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::channel(16);
        let working = blocking(move || work(Pieces { receiver, piece: Bytes::new() }));
        let (total, mut received, mut stopped) = (found.document.size, 0, false);
        let fetching = async {
            let stopped = &mut stopped;
            let sender = sender;
            // Not a byte more than was signed, whatever the exchange sends.
            let fetched = self.api().ciphertext(found.proposal.id, found.id, total, |piece| {
                received += piece.len() as u64;
                progress.update(ProgressStep::Downloading, received, total);
                let sending = sender.send(piece);
                async move { sending.await.map_err(|_| ClientError::local("stopped", "")) }
            });
            let fetched = fetched.await;
            *stopped = sender.is_closed();
            fetched
        };
        let (fetched, worked) = tokio::join!(fetching, working);
        match (fetched, worked) {
            // The reader gave up first, and knows why.
            (Err(_), Err(error)) if stopped => Err(error),
            (Err(error), _) => Err(error),
            (Ok(()), worked) => worked,
        }
    }
}

/// A version bound to a text that this machine has seen must be bound to that very text.
pub(super) fn check_text(home: &Home, version: &SignedManifest, manifest: &Manifest) -> Result<()> {
    match home.seen_text(manifest.call, version.call_version)? {
        Some(seen) if seen != manifest.call_text_sha256 => {
            Err(invalid("the manifest was made for another text of the call than was published as that version"))
        }
        _ => Ok(()),
    }
}

/// Checks that the version in force has the signature of every party and is the one that the exchange names.
fn check_standing(
    version: &SignedManifest,
    proposal: &Proposal,
    manifest: &Manifest,
    signed_by: &BTreeMap<PartnerCode, MemberId>,
) -> Result<()> {
    if let Some(missing) = manifest.parties.iter().find(|party| !signed_by.contains_key(party)) {
        return Err(invalid(format!(
            "version {} is shown as submitted, but `{missing}` has not signed it",
            version.version
        )));
    }
    if proposal.manifest_sha256 != Some(version.manifest_sha256) || proposal.version != Some(version.version) {
        return Err(invalid("the exchange contradicts itself about which version stands"));
    }
    Ok(())
}

/// What is uploaded, in the form of a manifest.
pub(super) fn working(documents: &[Document], vaults: &[Vault]) -> Vec<ManifestDocument> {
    let recipient = |document: &Document| vaults.iter().find(|vault| vault.id == document.vault);
    documents
        .iter()
        .filter_map(|document| {
            Some(ManifestDocument {
                slot: document.slot.clone(),
                party: document.party.clone(),
                vault: document.vault,
                recipient: recipient(document)?.recipient.clone(),
                sha256: document.sha256,
                size: document.size,
                media_type: document.media_type.clone(),
            })
        })
        .collect()
}

/// What nobody has signed has the size that the exchange says; a slot takes no more than the call's signed text allows.
fn check_size(document: &ManifestDocument, max_bytes: u64) -> Result<()> {
    if document.size <= max_bytes {
        return Ok(());
    }
    Err(invalid(format!(
        "the exchange says that slot `{}` holds {} bytes, and by the call's text it takes at most {max_bytes}",
        document.slot, document.size
    )))
}

/// The document in a slot: that of the named party, or of the own one, or the only one.
fn choose(
    documents: Vec<ManifestDocument>,
    slot: &Slug,
    party: Option<&PartnerCode>,
    own: &PartnerCode,
) -> Result<ManifestDocument> {
    let mut there: Vec<ManifestDocument> = documents.into_iter().filter(|document| document.slot == *slot).collect();
    let wanted = party.or(Some(own));
    if let Some(at) = there.iter().position(|document| document.party.as_ref() == wanted) {
        return Ok(there.swap_remove(at));
    }
    match there.len() {
        1 if party.is_none() => Ok(there.swap_remove(0)),
        0 => {
            Err(ClientError::usage(format!("slot `{slot}` is empty in that version"), "see `entente proposal status`"))
        }
        _ => Err(ClientError::usage(
            format!("slot `{slot}` holds no such document"),
            "each party has its own there; name the party",
        )),
    }
}

/// Copies ciphertext into a new file that appears only when its digest is right.
fn save(mut pieces: Pieces, home: &Home, path: &Path, expected: Sha256) -> Result<u64> {
    let mut unfinished = begin(home, path)?;
    let size = copy_signed(&mut pieces, unfinished.file(), expected)?;
    finish(unfinished, path).map(|()| size)
}

/// Copies ciphertext; an error, at its end, when it is another than was signed.
fn copy_signed(pieces: &mut Pieces, to: &mut impl Write, expected: Sha256) -> Result<u64> {
    let (mut digest, mut size) = (Context::new(&SHA256), 0);
    while let Some(piece) = pieces.next() {
        digest.update(&piece);
        size += piece.len() as u64;
        to.write_all(&piece).map_err(SealError::Io)?;
    }
    let found = Sha256::from_bytes(digest.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"));
    if found != expected {
        return Err(SealError::Digest { wanted: expected, found }.into());
    }
    Ok(size)
}

/// Has something written into a file without a name, then copies it on; the bytes written.
fn through_nameless(write: &mut dyn FnMut(&mut fs::File) -> Result<u64>, mut to: impl Write) -> Result<u64> {
    let mut file = tempfile::tempfile().map_err(SealError::Io)?;
    let size = write(&mut file)?;
    let mut copy = || -> io::Result<()> {
        file.rewind()?;
        io::copy(&mut file, &mut to)?;
        to.flush()
    };
    let broken = |error: io::Error| ClientError::local(format!("cannot write the document: {error}"), "try again");
    copy().map_err(broken).map(|()| size)
}

/// Begins the file that is to be `path`, beside it.
fn begin(home: &Home, path: &Path) -> Result<Unfinished> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Unfinished::begin(home, folder)
}

fn finish(unfinished: Unfinished, path: &Path) -> Result<()> {
    unfinished.finish_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => ClientError::io("write", path, &error),
    })
}

fn refuse_existing(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> ClientError {
    let what = format!("`{}` exists already; choose another name", path.display());
    ClientError::usage(what, "nothing is ever overwritten")
}

/// What comes from the network, as a reader for another thread. Ends when the sender does, whole or not.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Pieces {
    fn next(&mut self) -> Option<Bytes> {
        self.receiver.blocking_recv()
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.next() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let len = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::testing::{at, proposal};

    fn document(slot: &str, party: Option<&str>) -> ManifestDocument {
        ManifestDocument {
            slot: slot.parse().unwrap(),
            party: party.map(|party| party.parse().unwrap()),
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGA".parse().unwrap(),
            recipient: "age1".into(),
            sha256: Sha256::of(slot.as_bytes()),
            size: 1,
            media_type: "application/pdf".into(),
        }
    }

    #[test]
    fn restricted_slot_means_the_own_party_unless_one_is_named() {
        let documents =
            || vec![document("owners", Some("ISR")), document("owners", Some("USA")), document("plan", None)];
        let slug = |text: &str| text.parse::<Slug>().unwrap();
        let code = |text: &str| text.parse::<PartnerCode>().unwrap();
        let chosen = |slot, party: Option<&PartnerCode>, own| choose(documents(), &slug(slot), party, &code(own));
        assert_eq!(chosen("owners", None, "USA").unwrap().party, Some(code("USA")));
        assert_eq!(chosen("owners", Some(&code("ISR")), "USA").unwrap().party, Some(code("ISR")));
        assert!(chosen("owners", None, "GBR").is_err(), "two, and neither is one's own");
        assert_eq!(chosen("plan", None, "GBR").unwrap().party, None);
        assert!(chosen("annex", None, "GBR").is_err());
    }

    #[test]
    fn version_without_every_signature_does_not_stand() {
        let mut proposal = proposal();
        let sha256 = Sha256::of(b"manifest");
        let manifest = Manifest {
            call: proposal.call,
            call_text_sha256: Sha256::of(b"text"),
            proposal: proposal.id,
            reference: proposal.reference.clone(),
            version: 1,
            parties: proposal.parties.keys().cloned().collect(),
            documents: vec![document("plan", None)],
            label: None,
        };
        let version = SignedManifest {
            version: 1,
            manifest_sha256: sha256,
            call_version: 1,
            signatures: BTreeMap::new(),
            committed_at: Some(at("2026-03-05T00:00:00Z").into()),
            complete_at: None,
            is_standing: true,
        };
        (proposal.version, proposal.manifest_sha256) = (Some(1), Some(sha256));
        let signed = |members: &[&str]| -> BTreeMap<PartnerCode, MemberId> {
            let members = members.iter().map(|member| member.parse::<MemberId>().unwrap());
            members.map(|member| (member.partner().clone(), member)).collect()
        };
        let both = signed(&["ISR:avi", "USA:dana"]);
        assert!(check_standing(&version, &proposal, &manifest, &both).is_ok());
        assert!(check_standing(&version, &proposal, &manifest, &signed(&["ISR:avi"])).is_err());
        proposal.manifest_sha256 = Some(Sha256::of(b"another"));
        assert!(check_standing(&version, &proposal, &manifest, &both).is_err());
    }

    #[test]
    fn fetched_ciphertext_appears_only_with_the_signed_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.age");
        let pieces = |content: &[&'static [u8]]| {
            let (sender, receiver) = mpsc::channel(8);
            for piece in content {
                sender.try_send(Bytes::from_static(piece)).unwrap();
            }
            Pieces { receiver, piece: Bytes::new() }
        };
        let home = Home::locate(Some(&folder.path().join("home"))).unwrap();
        assert!(save(pieces(&[b"sea", b"led!"]), &home, &path, Sha256::of(b"sealed")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the home alone");
        assert_eq!(save(pieces(&[b"sea", b"led"]), &home, &path, Sha256::of(b"sealed")).unwrap(), 6);
        assert_eq!(fs::read(&path).unwrap(), b"sealed");
        let mut text = String::new();
        pieces(&[b"a", b"", b"bc"]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }
}
