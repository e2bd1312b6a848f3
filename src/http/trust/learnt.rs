//! What is learnt about partners before verifiers are made of it: anchors from the source, revocation lists from it and from a
//! folder. Nothing is passed over without a fault or a notice.

use super::super::{
    anchor::Anchor,
    crl::{CrlFault, CrlFiles, MAX_FILE_BYTES, RevocationFile, RevocationList, read_crls},
};
use super::{PartnerTrust, TrustFault, TrustNotice};
use crate::{
    domain::{
        id::{PartnerCode, Sha256},
        suspension::Suspension,
    },
    storage::partners::{FoundLists, ListRecord},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// The most files that are recorded of one partner.
const RECORDED: usize = 20;

/// One partner.
#[derive(Debug)]
pub(super) struct PartnerMaterial {
    pub(super) code: PartnerCode,
    pub(super) anchors: Vec<Anchor>,
    pub(super) registrars: BTreeSet<Sha256>,
    pub(super) suspension: Option<Suspension>,
    pub(super) lists: Vec<RevocationList>,
    /// What an anchor cannot be used for: it shuts the whole partner out.
    pub(super) anchor_faults: Vec<TrustFault>,
    /// What is wrong with its lists: it shuts out the issuers that have no good one.
    pub(super) list_faults: Vec<TrustFault>,
    pub(super) notices: Vec<TrustNotice>,
    /// Whether there is anything that is or should be a list.
    pub(super) has_lists: bool,
    /// What was on record of its lists.
    pub(super) record: ListRecord,
    /// The files that hold a list, as they are called in the folder.
    found_in: BTreeSet<String>,
    /// Whether nobody could look.
    pub(super) is_unread: bool,
}

/// All of it.
#[derive(Debug)]
pub(super) struct TrustMaterial {
    pub(super) partners: Vec<PartnerMaterial>,
    /// Those that are about no single partner.
    pub(super) faults: Vec<TrustFault>,
}

impl TrustMaterial {
    pub(super) fn gather(partners: Vec<PartnerTrust>, folder: Option<PathBuf>) -> Self {
        let mut faults = Vec::new();
        let (mut files, is_unread) = match folder.as_ref().map(|folder| (CrlFiles::find(folder), folder.clone())) {
            None => (CrlFiles::default(), false),
            Some((Ok(files), folder)) => {
                faults.extend(files.is_empty().then_some(TrustFault::EmptyFolder { folder }));
                (files, false)
            }
            Some((Err(error), folder)) => {
                faults.push(TrustFault::Folder { folder, error: error.to_string() });
                (CrlFiles::default(), true)
            }
        };
        let folder = folder.unwrap_or_default();
        let mut gathered = Vec::new();
        for partner in partners {
            let own = files.by_partner.remove(&partner.code);
            let mut learnt = PartnerMaterial::of(partner, &folder, own);
            learnt.is_unread = is_unread;
            let code = learnt.code.clone();
            for (_, file, error) in files.unreadable.extract_if(.., |(owner, ..)| *owner == code) {
                learnt.has_lists = true;
                learnt.unreadable(file, &error);
            }
            gathered.push(learnt);
        }
        let strays = files.by_partner.into_values().flatten().chain(files.strays);
        let strays = strays.chain(files.unreadable.into_iter().map(|(_, file, _)| file));
        faults.extend(strays.map(|file| TrustFault::Stray { file }));
        Self { partners: gathered, faults }
    }
}

impl PartnerMaterial {
    fn of(partner: PartnerTrust, folder: &Path, files: Option<Vec<PathBuf>>) -> Self {
        let code = partner.code;
        let mut learnt = Self {
            code: code.clone(),
            anchors: Vec::new(),
            registrars: partner.registrars,
            suspension: partner.suspension,
            lists: Vec::new(),
            anchor_faults: Vec::new(),
            list_faults: Vec::new(),
            notices: Vec::new(),
            has_lists: !partner.crls.is_empty() || files.is_some(),
            record: partner.record,
            found_in: BTreeSet::new(),
            is_unread: false,
        };
        for der in partner.anchors {
            match Anchor::read(der) {
                Ok(anchor) => learnt.anchors.push(anchor),
                Err(fault) => learnt.anchor_faults.push(TrustFault::Anchor { partner: code.clone(), fault }),
            }
        }
        if learnt.anchors.is_empty() && learnt.anchor_faults.is_empty() {
            learnt.anchor_faults.push(TrustFault::NoAnchor { partner: code });
        }
        for der in partner.crls {
            learnt.add_lists(None, &der);
        }
        for file in files.into_iter().flatten() {
            match read_bounded(&file) {
                Ok(Some(bytes)) => {
                    let before = learnt.lists.len();
                    learnt.add_lists(Some(&file), &bytes);
                    if learnt.lists.len() > before {
                        let name = file.strip_prefix(folder).unwrap_or(&file);
                        learnt.found_in.insert(name.display().to_string());
                    }
                }
                Ok(None) => learnt.list_fault(Some(&file), CrlFault::TooLong),
                Err(error) => learnt.unreadable(file, &error),
            }
        }
        learnt
    }

    /// The files that hold its lists, unless they are on record.
    pub(super) fn unrecorded(&self) -> Option<FoundLists> {
        let recorded: &[String] = if let ListRecord::Found(files) = &self.record { files } else { &[] };
        let files: Vec<_> = self.found_in.iter().take(RECORDED).cloned().collect();
        let is_new = files.iter().any(|file| !recorded.contains(file));
        is_new.then(|| FoundLists { partner: self.code.clone(), files, before: self.record.clone() })
    }

    fn add_lists(&mut self, file: Option<&Path>, bytes: &[u8]) {
        for found in read_crls(bytes) {
            match found {
                Ok(RevocationFile::List(list)) => match list.check_origin(&self.anchors) {
                    Ok(()) => self.lists.push(*list),
                    Err(fault) => self.list_fault(file, fault),
                },
                Ok(RevocationFile::Aside(aside)) => {
                    let file = file.map(ToOwned::to_owned);
                    self.notices.push(TrustNotice { partner: self.code.clone(), file, aside });
                }
                Err(fault) => self.list_fault(file, fault),
            }
        }
    }

    fn list_fault(&mut self, file: Option<&Path>, fault: CrlFault) {
        let file = file.map(ToOwned::to_owned);
        self.list_faults.push(TrustFault::Crl { partner: self.code.clone(), file, fault });
    }

    fn unreadable(&mut self, file: PathBuf, error: &std::io::Error) {
        let error = error.to_string();
        self.list_faults.push(TrustFault::Unreadable { partner: self.code.clone(), file, error });
    }
}

/// The bytes of a file, unless they are too many.
fn read_bounded(file: &Path) -> std::io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_FILE_BYTES).then_some(bytes))
}
