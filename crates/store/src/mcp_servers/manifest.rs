//! What a server offers, and that it could not be asked.

use domain::Timestamp;
use domain::tools::{Manifest, tidy_error};

use super::THERE;
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

impl ProjectStore {
    /// Keeps what came of listing a server's tools at `at`, if the registration is still the one that was asked.
    ///
    /// A failure leaves the list that is there. Returns false when the registration was replaced or removed meanwhile, or when
    /// a newer list is there.
    pub async fn keep_manifest(
        &self,
        name: &str,
        version: u64,
        discovered: Result<Manifest, String>,
        at: Timestamp,
    ) -> Result<bool, Error> {
        let mut batch = Batch::new();
        match written(discovered)? {
            Ok(manifest) => batch.exec(
                "update mcp_servers set manifest = $1, manifest_version = manifest_version + 1, refreshed_at = $2, \
                 discovery_error = null where project_id = $3 and name = $4 and version = $5 \
                 and (refreshed_at is null or refreshed_at <= $2)",
                params![manifest, at, self.project, name, version],
            ),
            Err(error) => batch.exec(
                "update mcp_servers set discovery_error = $1 where project_id = $3 and name = $4 and version = $5 \
                 and (refreshed_at is null or refreshed_at <= $2)",
                params![error, at, self.project, name, version],
            ),
        }
        .must_change_one_row(THERE);
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(THERE) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Writes what came of listing a server's tools as it is stored. Whoever asked has bounded the list.
pub(super) fn written(discovered: Result<Manifest, String>) -> Result<Result<String, String>, Error> {
    Ok(match discovered {
        Ok(manifest) => Ok(serde_json::to_string(&manifest)?),
        Err(error) => Err(tidy_error(&error)),
    })
}
