//! Work on files, off the threads that serve requests.

use super::error::StoreError;
use tokio::task::spawn_blocking;

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    spawn_blocking(work).await.map_err(|error| StoreError::Io(error.into()))?
}
