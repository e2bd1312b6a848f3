//! Where benchmarks keep what they write.

/// A folder on the disk, unlike that of a test: figures are of machines that keep a million proposals there.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
