//! What was sealed on this machine for slots of proposals: one record a file, kept beside it until the exchange has it.
//!
//! INVARIANT: commands in several terminals work on the same records. A command changes or forgets one in a turn of its own, by
//! the record as it is on disk then: what was read before is out of date as soon as the exchange was asked something in between.

use super::{read_record, write_record};
use crate::{
    client::{ClientError, Home, Result, files},
    domain::{
        id::{DocumentId, PartnerCode, ProposalId, Sha256, Slug, VaultId},
        reference::Reference,
    },
    platform,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What was sealed on this machine for a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    pub proposal: ProposalId,
    /// What the proposal is called; earlier versions of the program did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    pub slot: Slug,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<PartnerCode>,
    pub vault: VaultId,
    pub recipient: String,
    /// Of the ciphertext.
    pub sha256: Sha256,
    /// Of the ciphertext, in bytes.
    pub size: u64,
    /// Of the plaintext.
    pub media_type: String,
    /// Sent with every try, so that the exchange takes the file once.
    pub idempotency_key: String,
    /// Where the exchange takes it from the byte reached on, once that was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The file that was sealed; none for a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The sealed file; none once the exchange has it. Of a record that is read, where it is in the present home: a home can be named in
    /// several ways, and moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<PathBuf>,
    /// The document as the exchange knows it, once it has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentId>,
    /// Counts up over the files that were sealed here for the slot: the next version would hold the newest.
    #[serde(default)]
    pub sequence: u64,
    /// The versions that were signed here with this file in them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub signed_versions: BTreeSet<u32>,
    /// Taken out of its slot; kept only because a signed version names it.
    #[serde(default)]
    pub is_taken_out: bool,
}

impl UploadRecord {
    /// Whether the sealed file is on this machine and the exchange has not confirmed that it holds it. One that cannot be looked at
    /// is there: code that needs its bytes learns why they cannot be read.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| !matches!(sealed.try_exists(), Ok(false)))
    }

    /// Whether the file is on this machine or with the exchange. A record without its file is kept: the file can come back.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.document.is_some() || self.is_unsent()
    }

    /// Whether it was sealed before another one for the same slot. Of two with the same number all commands take the same for the newer.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.order() < other.order()
    }

    /// What people call its proposal; the identifier where it was sealed by an earlier version of the program.
    #[must_use]
    pub fn name(&self) -> String {
        self.reference.as_ref().map_or_else(|| self.proposal.to_string(), ToString::to_string)
    }

    fn order(&self) -> (u64, &str) {
        (self.sequence, &self.idempotency_key)
    }
}

/// The file that was sealed, as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub path: PathBuf,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i128,
}

impl Home {
    /// What was sealed here for a slot, oldest first.
    pub(in crate::client) fn uploads_of(
        &self,
        profile: &str,
        proposal: ProposalId,
        slot: &Slug,
    ) -> Result<Vec<UploadRecord>> {
        let mut records = self.uploads(profile)?;
        records.retain(|record| record.proposal == proposal && record.slot == *slot);
        Ok(records)
    }

    /// Everything that was sealed here, uploaded or not, the oldest of each slot first.
    pub(in crate::client) fn uploads(&self, profile: &str) -> Result<Vec<UploadRecord>> {
        let folder = self.uploads_path(profile);
        let mut records = Vec::new();
        for name in files::names(&folder, "json")? {
            let path = folder.join(format!("{name}.json"));
            let Some(record) = read_upload(&path)? else { continue };
            // Earlier versions of the program kept one record a slot, under a name without a key.
            let own = self.upload_path(profile, &record);
            if path != own {
                fs::rename(&path, &own).map_err(|error| ClientError::io("rename", &path, &error))?;
            }
            // A command noted that the exchange has it, and was cut off before it removed the sealed file.
            if record.document.is_some() && record.sealed.is_none() {
                files::remove(&own.with_extension("age"))?;
            }
            records.push(record);
        }
        records.sort_by(|a, b| (a.proposal, &a.slot, a.order()).cmp(&(b.proposal, &b.slot, b.order())));
        Ok(records)
    }

    /// How many sealed files of a profile wait to be sent.
    pub(in crate::client) fn unsent(&self, profile: &str) -> Result<usize> {
        Ok(self.uploads(profile)?.iter().filter(|record| record.is_unsent()).count())
    }

    /// Where the sealed files of a profile are.
    pub(in crate::client) fn uploads_path(&self, profile: &str) -> PathBuf {
        self.root().join("uploads").join(profile)
    }

    /// The only command on this machine that changes records of a profile, until what is returned is dropped. Nobody asks the exchange
    /// anything meanwhile.
    pub(in crate::client) fn uploads_turn(&self, profile: &str) -> Result<File> {
        let folder = self.root().join("uploads");
        // No profile has a name that begins like this.
        let path = folder.join(format!(".{profile}.lock"));
        let lock = || -> io::Result<File> {
            platform::make_private_folder(&folder)?;
            let file = File::options().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| ClientError::io("lock", &path, &error))
    }

    /// Writes the record of what was just sealed: the newest of its slot.
    pub(in crate::client) fn add_upload(&self, profile: &str, record: UploadRecord) -> Result<UploadRecord> {
        let _turn = self.uploads_turn(profile)?;
        let sequence = next_sequence(&self.uploads_of(profile, record.proposal, &record.slot)?);
        let record = UploadRecord { sequence, ..record };
        self.write_upload(profile, &record)?;
        Ok(record)
    }

    /// Makes what was sealed before the newest of its slot, whatever was sealed in between. None when it is gone or sent by now.
    pub(in crate::client) fn renew_upload(&self, profile: &str, record: &UploadRecord) -> Result<Option<UploadRecord>> {
        let _turn = self.uploads_turn(profile)?;
        let records = self.uploads_of(profile, record.proposal, &record.slot)?;
        let found = records.iter().find(|other| other.idempotency_key == record.idempotency_key);
        let Some(found) = found.filter(|found| found.document.is_none()) else { return Ok(None) };
        let sequence = if records.last() == Some(found) { found.sequence } else { next_sequence(&records) };
        let renewed = UploadRecord { sequence, is_taken_out: false, ..found.clone() };
        self.write_upload(profile, &renewed)?;
        Ok(Some(renewed))
    }

    /// Notes that the exchange has it.
    pub(in crate::client) fn note_sent(
        &self,
        profile: &str,
        record: &UploadRecord,
        document: DocumentId,
    ) -> Result<()> {
        let _turn = self.uploads_turn(profile)?;
        let now = self.upload(profile, record)?.unwrap_or_else(|| record.clone());
        let sent = UploadRecord { sealed: None, document: Some(document), is_taken_out: false, ..now };
        self.write_upload(profile, &sent)
    }

    /// Changes a record as it is now. None when it is gone, or the exchange has the file by now: that record stays as it is.
    pub(in crate::client) fn change_upload(
        &self,
        profile: &str,
        record: &UploadRecord,
        change: impl FnOnce(&mut UploadRecord),
    ) -> Result<Option<UploadRecord>> {
        let _turn = self.uploads_turn(profile)?;
        let now = self.upload(profile, record)?;
        let Some(mut now) = now.filter(|now| now.document.is_none()) else { return Ok(None) };
        change(&mut now);
        self.write_upload(profile, &now)?;
        Ok(Some(now))
    }

    /// Forgets what no version named when the exchange was asked. False when it was signed for since, and stays. What was sent since
    /// stays, too: it is not what the caller decided about.
    pub(in crate::client) fn forget_unsigned(&self, profile: &str, record: &UploadRecord) -> Result<bool> {
        let _turn = self.uploads_turn(profile)?;
        let Some(now) = self.upload(profile, record)? else { return Ok(true) };
        if now.sealed.is_some() && !now.signed_versions.is_empty() {
            return Ok(false);
        }
        if now.document == record.document {
            self.forget_upload(profile, &now)?;
        }
        Ok(true)
    }

    /// Writes a record, in a turn of the caller's.
    pub(in crate::client) fn write_upload(&self, profile: &str, record: &UploadRecord) -> Result<()> {
        write_record(&self.upload_path(profile, record), record)
    }

    /// Forgets what was sealed for a slot, the sealed file included, even if it is needed; in a turn of the caller's.
    pub(in crate::client) fn forget_upload(&self, profile: &str, record: &UploadRecord) -> Result<()> {
        if let Some(sealed) = &record.sealed {
            files::remove(sealed)?;
        }
        files::remove(&self.upload_path(profile, record)).map(drop)
    }

    /// A record as it is on disk now.
    fn upload(&self, profile: &str, record: &UploadRecord) -> Result<Option<UploadRecord>> {
        read_upload(&self.upload_path(profile, record))
    }

    /// The folder for the sealed files of a profile, made if need be.
    pub(in crate::client) fn uploads_folder(&self, profile: &str) -> Result<PathBuf> {
        let folder = self.uploads_path(profile);
        platform::make_private_folder(&folder).map_err(|error| ClientError::io("create", &folder, &error))?;
        Ok(folder)
    }

    fn upload_path(&self, profile: &str, record: &UploadRecord) -> PathBuf {
        let UploadRecord { proposal, slot, idempotency_key, .. } = record;
        self.uploads_path(profile).join(format!("{proposal}.{slot}.{idempotency_key}.json"))
    }
}

/// A record, with its sealed file where it is in the present home.
fn read_upload(path: &Path) -> Result<Option<UploadRecord>> {
    let mut record = read_record::<UploadRecord>(path)?;
    if let Some(sealed) = record.as_mut().and_then(|record| record.sealed.as_mut())
        && let Some(name) = sealed.file_name()
    {
        *sealed = path.with_file_name(name);
    }
    Ok(record)
}

fn next_sequence(records: &[UploadRecord]) -> u64 {
    records.iter().map(|record| record.sequence).max().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROPOSAL: &str = "prop_01J9ZQ4N6M8V7X5T3R2P1K0HGF";

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        (folder, home)
    }

    /// A sealed file that waits to be sent.
    fn upload(sealed: PathBuf) -> UploadRecord {
        fs::write(&sealed, b"sealed").unwrap();
        UploadRecord {
            proposal: PROPOSAL.parse().unwrap(),
            reference: None,
            slot: "plan".parse().unwrap(),
            party: None,
            vault: "vault_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap(),
            recipient: "age1a".into(),
            sha256: Sha256::of(b"sealed"),
            size: 6,
            media_type: "application/pdf".into(),
            idempotency_key: "k".into(),
            upload: None,
            source: Some(Source { path: "plan.pdf".into(), size: 5, modified: 1 }),
            sealed: Some(sealed),
            document: None,
            sequence: 1,
            signed_versions: BTreeSet::new(),
            is_taken_out: false,
        }
    }

    #[test]
    fn upload_record_reads_back_until_it_is_forgotten() {
        let (_folder, home) = home();
        let sealed = home.uploads_folder("work").unwrap().join("x.age");
        let record = upload(sealed.clone());
        home.write_upload("work", &record).unwrap();
        assert_eq!(home.uploads("work").unwrap(), std::slice::from_ref(&record));
        assert_eq!(home.uploads("other").unwrap(), []);
        home.forget_upload("work", &record).unwrap();
        assert!(!sealed.exists() && home.uploads("work").unwrap().is_empty());
    }

    #[test]
    fn sealed_file_is_looked_for_in_the_home_as_it_is_now() {
        let (folder, home) = home();
        let record = upload(home.uploads_folder("work").unwrap().join("x.age"));
        home.write_upload("work", &record).unwrap();
        let moved = folder.path().join("moved");
        fs::create_dir(&moved).unwrap();
        fs::rename(home.root().join("uploads"), moved.join("uploads")).unwrap();
        let home = Home::locate(Some(&moved)).unwrap();
        let found = home.uploads("work").unwrap().remove(0);
        assert_eq!(found.sealed, Some(moved.join("uploads/work/x.age")));
        assert!(found.is_unsent() && home.unsent("work").unwrap() == 1);
        home.forget_upload("work", &found).unwrap();
        assert_eq!(fs::read_dir(moved.join("uploads/work")).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn sealed_file_that_cannot_be_looked_at_is_not_taken_to_be_gone() {
        let (_folder, home) = home();
        let record = upload(home.uploads_folder("work").unwrap().join("x.age"));
        let sealed = record.sealed.clone().unwrap();
        fs::remove_file(&sealed).unwrap();
        assert!(!record.is_unsent() && !record.has_file());
        // It leads to itself, so nobody can say what is there.
        std::os::unix::fs::symlink(&sealed, &sealed).unwrap();
        assert!(!sealed.exists() && record.is_unsent() && record.has_file());
    }

    #[test]
    fn sealed_file_that_the_exchange_has_goes_although_its_sender_was_cut_off() {
        let (_folder, home) = home();
        let folder = home.uploads_folder("work").unwrap();
        let record = upload(folder.join(format!("{PROPOSAL}.plan.k.age")));
        let sealed = record.sealed.clone().unwrap();
        home.write_upload("work", &record).unwrap();
        assert_eq!((home.unsent("work").unwrap(), sealed.exists()), (1, true), "it waits to be sent");
        let document = Some("doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap());
        let done = UploadRecord { sealed: None, document, ..record };
        home.write_upload("work", &done).unwrap();
        assert_eq!(home.uploads("work").unwrap(), [done]);
        assert!(!sealed.exists());
    }

    #[test]
    fn what_was_sealed_is_numbered_when_its_record_is_written_and_put_again_it_is_the_newest() {
        let (_folder, home) = home();
        let folder = home.uploads_folder("work").unwrap();
        let keyed = |key: &str| {
            let sealed = folder.join(format!("{PROPOSAL}.plan.{key}.age"));
            UploadRecord { idempotency_key: key.into(), sequence: 0, ..upload(sealed) }
        };
        let first = home.add_upload("work", keyed("k2")).unwrap();
        let second = home.add_upload("work", keyed("k1")).unwrap();
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert!(first.is_before(&second) && !second.is_before(&first) && !first.is_before(&first));
        let again = home.renew_upload("work", &first).unwrap().unwrap();
        assert_eq!((again.sequence, home.renew_upload("work", &again).unwrap().unwrap().sequence), (3, 3));
        assert_eq!(home.uploads("work").unwrap(), [second.clone(), again.clone()]);
        // Two with the same number, as earlier versions of the program could leave them: the key decides, for every command.
        let twin = UploadRecord { sequence: 3, ..second };
        home.write_upload("work", &twin).unwrap();
        assert!(twin.is_before(&again) && !again.is_before(&twin));
        assert_eq!(home.uploads("work").unwrap(), [twin, again]);
    }

    #[test]
    fn what_was_signed_for_since_it_was_read_is_not_forgotten() {
        let (_folder, home) = home();
        let folder = home.uploads_folder("work").unwrap();
        let read = upload(folder.join(format!("{PROPOSAL}.plan.k.age")));
        home.write_upload("work", &read).unwrap();
        let signed = home
            .change_upload("work", &read, |now| {
                now.signed_versions.insert(1);
            })
            .unwrap()
            .unwrap();
        assert!(!home.forget_unsigned("work", &read).unwrap());
        assert!(signed.is_unsent() && home.uploads("work").unwrap() == [signed]);
        home.change_upload("work", &read, |now| {
            now.signed_versions.remove(&1);
        })
        .unwrap()
        .unwrap();
        assert!(home.forget_unsigned("work", &read).unwrap());
        assert!(!read.is_unsent() && home.uploads("work").unwrap().is_empty());
        assert!(home.forget_unsigned("work", &read).unwrap(), "it is gone already");
        assert_eq!(home.change_upload("work", &read, |now| now.is_taken_out = true).unwrap(), None);
        assert!(home.uploads("work").unwrap().is_empty(), "and does not come back");
    }

    #[test]
    fn what_another_command_has_sent_does_not_become_unsent_again() {
        let (_folder, home) = home();
        let folder = home.uploads_folder("work").unwrap();
        let read = upload(folder.join(format!("{PROPOSAL}.plan.k.age")));
        home.write_upload("work", &read).unwrap();
        home.change_upload("work", &read, |now| {
            now.signed_versions.insert(1);
        })
        .unwrap()
        .unwrap();
        home.note_sent("work", &read, "doc_01J9ZQ4N6M8V7X5T3R2P1K0HGF".parse().unwrap()).unwrap();
        let sent = home.uploads("work").unwrap().remove(0);
        assert!(sent.document.is_some() && sent.sealed.is_none() && sent.signed_versions == BTreeSet::from([1]));
        assert_eq!(home.change_upload("work", &read, |now| now.is_taken_out = true).unwrap(), None);
        assert_eq!(home.renew_upload("work", &read).unwrap(), None);
        assert!(home.forget_unsigned("work", &read).unwrap());
        assert_eq!(home.uploads("work").unwrap(), std::slice::from_ref(&sent));
        // A caller who decides by the current record forgets it.
        assert!(home.forget_unsigned("work", &sent).unwrap() && home.uploads("work").unwrap().is_empty());
    }
}
