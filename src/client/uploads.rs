//! Documents on their way up: sealed here into a file, sent meanwhile, kept until the exchange has it, sent again without sealing again.
//!
//! Plaintext is read once and never copied. What was sealed is recorded before its last byte is sent, so that an interruption after that
//! leaves something to take up, and so that what is signed later can be compared with what was sealed here. What was not sealed to its end is
//! sealed again with other keys.
//!
//! INVARIANT: no signature names a file that this machine alone had and has thrown away. Marks are set, and records forgotten, in turns;
//! a member who signs checks in theirs that everything is still there, one who forgets checks in theirs whether it was signed for since.

mod sealing;
mod sending;

use super::{
    Client, ClientError, Result, files, progress::ProgressListener, proposals::Summary, records::UploadRecord,
    signing::Signing,
};
use crate::{
    domain::id::{ProposalId, Slug},
    sealing::statement::{Manifest, verify_signed},
    wire::proposal::Document,
};
use sealing::Planned;
use std::{path::Path, sync::Arc};

impl Client {
    /// Seals a file to the vault of its slot and uploads it. The media type follows from the name unless one is given; the
    /// first bytes must agree. The same file again, after an interruption, is not sealed again. What was sealed for the slot
    /// before, signed for and not sent yet goes first, so that the signed version can still be whole.
    pub async fn put_document(
        &self,
        id: ProposalId,
        slot: &Slug,
        file: &Path,
        media_type: Option<&str>,
        progress: Arc<dyn ProgressListener>,
    ) -> Result<Document> {
        let record = match self.plan_document(id, slot, file, media_type).await? {
            Planned::Sealed(record) => {
                self.send_signed(id, slot, Some(&record), &progress).await?;
                *record
            }
            Planned::New(new) => {
                self.send_signed(id, slot, None, &progress).await?;
                if new.is_large() {
                    return self.seal_and_send(*new, progress).await;
                }
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
        progress: Arc<dyn ProgressListener>,
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
        progress: Arc<dyn ProgressListener>,
    ) -> Result<Document> {
        let new = self.plan_summary(id, summary).await?;
        self.send_signed(id, &new.place.slot.name, None, &progress).await?;
        let record = self.seal(new, progress.clone()).await?;
        self.resume_upload(&record, progress).await
    }

    /// Everything that was sealed here and is not with the exchange yet, in the order in which it is to be sent; what lacks its file,
    /// too.
    pub fn interrupted_uploads(&self) -> Result<Vec<UploadRecord>> {
        let all = self.home().uploads(&self.profile().name)?;
        Ok(all.into_iter().filter(|record| record.sealed.is_some()).collect())
    }

    /// Sends a sealed file, for the first time or again. What the exchange has already it does not take twice. Only once the
    /// exchange has it are the sealed file, and what was sealed for the slot before, removed; what signed versions name stays.
    ///
    /// # Errors
    /// When the sealed file is not where it belongs, too. That is no reason to forget it: it may be away, or be being written.
    pub async fn resume_upload(&self, record: &UploadRecord, progress: Arc<dyn ProgressListener>) -> Result<Document> {
        let Some(sealed) = record.sealed.as_ref().filter(|_| record.is_unsent()) else {
            return Err(self.missing(record).await);
        };
        let sent = self.send_sealed(record, sealed, &progress).await;
        self.settle(record, sent).await
    }

    /// What became of a file that was sent, in the records.
    async fn settle(&self, record: &UploadRecord, sent: Result<Document>) -> Result<Document> {
        let profile = &self.profile().name;
        let document = match sent {
            Ok(document) => document,
            // The exchange has not taken these bytes, and to send them again fixes nothing. Where it may have, the transport says so.
            Err(error) if matches!(error.problem().map(|problem| problem.status), Some(413 | 415 | 422)) => {
                if !self.is_signed_for(record).await {
                    self.home().forget_unsigned(profile, record)?;
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
        self.home().note_sent(profile, record, document.id)?;
        if let Some(sealed) = &record.sealed {
            files::remove(sealed)?;
        }
        for earlier in self.home().uploads_of(profile, record.proposal, &record.slot)? {
            let is_replaced = earlier.is_before(record) && earlier.idempotency_key != record.idempotency_key;
            if is_replaced && (earlier.sealed.is_none() || !self.is_signed_for(&earlier).await) {
                self.home().forget_unsigned(profile, &earlier)?;
            }
        }
        Ok(document)
    }

    /// Whether something newer was sealed for the same slot, so that nobody needs this one unless a signed version names it.
    pub async fn is_replaced(&self, record: &UploadRecord) -> Result<bool> {
        let all = self.home().uploads_of(&self.profile().name, record.proposal, &record.slot)?;
        let newer = all.iter().any(|other| record.is_before(other) && other.has_file() && !other.is_taken_out);
        Ok((newer || record.is_taken_out) && !self.is_signed_for(record).await)
    }

    /// Whether the exchange has something for the same slot that was sealed here later: sent now, this one takes its place.
    pub fn takes_slot_back(&self, record: &UploadRecord) -> Result<bool> {
        let all = self.home().uploads_of(&self.profile().name, record.proposal, &record.slot)?;
        Ok(all.iter().any(|other| record.is_before(other) && other.document.is_some() && !other.is_taken_out))
    }

    /// Forgets what was sealed for a slot, the sealed file included. The exchange does not hear of it.
    ///
    /// # Errors
    /// When a signed version names the file and its bytes may still follow: nobody else has them. So it is where the file is missing,
    /// since it can come back.
    pub async fn discard_upload(&self, record: &UploadRecord) -> Result<()> {
        let (home, profile) = (self.home(), &self.profile().name);
        let is_forgotten = if record.sealed.is_none() || !self.is_signed_for(record).await {
            home.forget_unsigned(profile, record)?
        } else if self.is_too_late(record.proposal).await {
            let _turn = home.uploads_turn(profile)?;
            home.forget_upload(profile, record)?;
            true
        } else {
            false
        };
        if is_forgotten {
            return Ok(());
        }
        let what = format!(
            "what was sealed for slot `{}` of `{}` is kept: a signed version names it, or may, and nobody else has it",
            record.slot, record.proposal
        );
        let help = "send it with `entente proposal resume`; it can be discarded once its time is over";
        Err(ClientError::usage(what, help))
    }

    /// Takes a document out of a slot. What this machine sealed for it and has not sent goes, too, but for what signed versions
    /// name: those are returned, and wait to be sent.
    pub async fn remove_document(&self, id: ProposalId, slot: &Slug) -> Result<Vec<UploadRecord>> {
        let (home, profile) = (self.home(), &self.profile().name);
        let mut records = home.uploads_of(profile, id, slot)?;
        records.retain(UploadRecord::has_file);
        match self.api().remove_document(id, slot).await {
            // What was sealed here and not sent is all that there is.
            Err(error) if error.slug() == Some("slot-empty") && records.iter().any(is_waiting) => {}
            removed => removed?,
        }
        let mut kept = Vec::new();
        for record in records {
            let is_needed = record.is_unsent() && self.is_signed_for(&record).await;
            if is_needed || !home.forget_unsigned(profile, &record)? {
                kept.extend(home.change_upload(profile, &record, |now| now.is_taken_out = true)?);
            }
        }
        Ok(kept)
    }

    /// Remembers which of the files that only this machine holds are named by a version that is about to be signed; those of
    /// which that was not known.
    ///
    /// # Errors
    /// When one that the version counts on is no longer here nor with the exchange: somebody replaced, discarded or took it out
    /// since that was looked at. Nothing is remembered then.
    pub(super) fn remember_signed(&self, plan: &Signing) -> Result<Vec<UploadRecord>> {
        let (home, profile, manifest) = (self.home(), &self.profile().name, &plan.manifest);
        let _turn = home.uploads_turn(profile)?;
        let mut records = home.uploads(profile)?;
        records.retain(|record| {
            let named = manifest.document(&record.slot, record.party.as_ref());
            record.proposal == manifest.proposal && named.is_some_and(|named| named.sha256 == record.sha256)
        });
        for document in plan.to_be_sent() {
            let is_it = |record: &UploadRecord| record.slot == document.slot && record.party == document.party;
            if !records.iter().any(|record| is_it(record) && record.has_file()) {
                return Err(ClientError::local(
                    format!(
                        "what was to be signed has changed: the file that was sealed here for slot `{}` is gone, and nothing was signed",
                        document.slot
                    ),
                    "look at what is put in now, and sign again: `entente proposal sign`",
                ));
            }
        }
        // A file that is being sent may not be on the disk: from here on nobody can make it again.
        for record in records.iter().filter(|record| record.is_unsent()) {
            record.sealed.as_deref().map_or(Ok(()), files::sync)?;
        }
        let mut marked = Vec::new();
        for mut record in records.into_iter().filter(|record| record.sealed.is_some()) {
            if record.signed_versions.insert(manifest.version) {
                home.write_upload(profile, &record)?;
                marked.push(record);
            }
        }
        Ok(marked)
    }

    /// Takes that back: the exchange did not take the signature.
    pub(super) fn forget_signed(&self, version: u32, marked: &[UploadRecord]) -> Result<()> {
        for record in marked {
            self.home().change_upload(&self.profile().name, record, |now| {
                now.signed_versions.remove(&version);
            })?;
        }
        Ok(())
    }

    /// Sends what was sealed for a slot and signed for, before something else takes the slot: afterwards it would take it back.
    /// `next` is what takes it.
    async fn send_signed(
        &self,
        id: ProposalId,
        slot: &Slug,
        next: Option<&UploadRecord>,
        progress: &Arc<dyn ProgressListener>,
    ) -> Result<()> {
        for record in self.home().uploads_of(&self.profile().name, id, slot)? {
            let is_next = next.is_some_and(|next| next.idempotency_key == record.idempotency_key);
            if !is_next && record.is_unsent() && self.is_signed_for(&record).await {
                match self.resume_upload(&record, progress.clone()).await {
                    Ok(_) => {}
                    // Refused by a rule, it stays; that is no reason not to put something else.
                    Err(error @ ClientError::Problem { .. }) if !error.is_passing() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Why a record cannot be sent whose file is not there.
    async fn missing(&self, record: &UploadRecord) -> ClientError {
        let place = match &record.sealed {
            Some(sealed) => format!("; it was looked for at `{}`", sealed.display()),
            None => String::new(),
        };
        let what = format!("the sealed file for slot `{}` is not there{place}", record.slot);
        if self.is_signed_for(record).await {
            return ClientError::local(
                format!("{what}. A signed version names it, or may, and nobody else has it"),
                "put the file back, from a copy of the home folder if need be, and resume; if it is lost, put the document again and have \
                 every party sign a new version before the deadline",
            );
        }
        let help = "put the document again, or forget this one with `entente proposal resume --discard`";
        ClientError::local(what, help)
    }

    /// Whether a signed version names a sealed file. Where the exchange does not say, one may.
    async fn is_signed_for(&self, record: &UploadRecord) -> bool {
        if !record.signed_versions.is_empty() {
            return true;
        }
        // Any signature is enough: to keep a file too long harms nobody.
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
}

/// Whether it is what the slot would hold next, and waits to be sent.
fn is_waiting(record: &UploadRecord) -> bool {
    record.is_unsent() && !record.is_taken_out
}
