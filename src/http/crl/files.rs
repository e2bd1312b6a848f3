//! Finding partners' revocation lists in a folder.
//!
//! A file is its partner's by the start of its name alone, whatever its ending and in capitals or not: one that was meant to hold a list
//! and cannot be used shuts out, so none may be passed over because of how it is written.

use crate::domain::id::PartnerCode;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// The files of a folder that hold one partner's lists, and files that belong to nobody.
#[derive(Debug, Default)]
pub struct CrlFiles {
    /// A partner whose folder is empty is there too.
    pub by_partner: BTreeMap<PartnerCode, Vec<PathBuf>>,
    /// Partners' own folders that cannot be looked into.
    pub unreadable: Vec<(PartnerCode, PathBuf, io::Error)>,
    /// Files whose name is no partner code: very likely a misspelling, so never passed over in silence.
    pub strays: Vec<PathBuf>,
}

impl CrlFiles {
    /// Looks through files such as `<CODE>.pem`, and those in `<CODE>/`. Hidden files and `README*` are not lists.
    pub fn find(folder: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for path in entries(folder)? {
            match partner_of(&path) {
                Some(code) if path.is_dir() => match entries(&path) {
                    Ok(inside) => files.by_partner.entry(code).or_default().extend(inside),
                    Err(error) => files.unreadable.push((code, path, error)),
                },
                Some(code) => files.by_partner.entry(code).or_default().push(path),
                None => files.strays.push(path),
            }
        }
        Ok(files)
    }

    /// Whether there is nothing at all, as where a disk is not mounted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_partner.is_empty() && self.unreadable.is_empty() && self.strays.is_empty()
    }
}

/// The code that a file's name begins with, up to its first dot.
fn partner_of(path: &Path) -> Option<PartnerCode> {
    let name = path.file_name()?.to_str()?;
    name.split('.').next()?.to_ascii_uppercase().parse().ok()
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.starts_with("README") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
