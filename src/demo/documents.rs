//! The files that the parties of the story hand in: samples, or the viewer's own.

use super::world::Error;
use std::path::{Path, PathBuf};

/// The files that the parties hand in.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    pub work_plan: PathBuf,
    pub budget: PathBuf,
    pub shareholders: PathBuf,
    pub dataset: PathBuf,
}

/// Where a user's own files stand in for the samples, by extension; the samples fill what is missing.
pub(super) fn own_documents(dir: &Path, mut samples: Documents) -> Result<Documents, Error> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let target = match stem.as_str() {
            "work-plan" => &mut samples.work_plan,
            "budget" => &mut samples.budget,
            "shareholders" => &mut samples.shareholders,
            "dataset" => &mut samples.dataset,
            _ => continue,
        };
        *target = path;
    }
    Ok(samples)
}
