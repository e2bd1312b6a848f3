//! How long work reports how far it is. Numbers only; the caller who shows them knows what they are about.

use std::fmt;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProgressStep {
    /// Reading plaintext and sealing it; counted in plaintext bytes.
    Sealing,
    /// Sending ciphertext.
    Uploading,
    /// Receiving ciphertext.
    Downloading,
    /// Opening; counted in plaintext bytes.
    Opening,
    /// Opening summaries for their titles; counted in proposals.
    Titles,
    /// Asking for what was signed about proposals; counted in proposals.
    Exporting,
    /// Checking what was signed about proposals; counted in proposals.
    Verifying,
}

impl ProgressStep {
    /// Whether it is counted in proposals; the others are in bytes.
    #[must_use]
    pub fn counts_proposals(self) -> bool {
        matches!(self, Self::Titles | Self::Exporting | Self::Verifying)
    }
}

impl fmt::Display for ProgressStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealing => "sealing",
            Self::Uploading => "uploading",
            Self::Downloading => "downloading",
            Self::Opening => "opening",
            Self::Titles => "opening titles",
            Self::Exporting => "exporting",
            Self::Verifying => "verifying",
        })
    }
}

/// Hears how far long work is. Called from several threads, often; it must return quickly.
pub trait ProgressListener: Send + Sync {
    /// `done` of `total` bytes of this step, or of what else it counts. `done` may go back when a broken connection is taken up again.
    fn update(&self, step: ProgressStep, done: u64, total: u64);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl ProgressListener for NoProgress {
    fn update(&self, _step: ProgressStep, _done: u64, _total: u64) {}
}
