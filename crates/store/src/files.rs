//! Files that came with a run's input: readable by id, for their smith only.

use domain::ids::{FileId, Id as _, SmithId};
use serde::{Deserialize, Serialize};

use crate::codec::{Place, SmithSeal};
use crate::db::params;
use crate::{Batch, Error, ProjectStore};

const DESCRIPTION: Place = Place::new("files", "description");
const CONTENT: Place = Place::new("files", "content");

/// A file with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub id: FileId,
    pub media_type: String,
    pub filename: String,
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    media_type: String,
    filename: String,
}

impl ProjectStore {
    /// Adds a file of a smith to a batch.
    pub(crate) fn add_file(
        &self,
        batch: &mut Batch,
        smith: SmithId,
        seal: &SmithSeal,
        file: &StoredFile,
    ) -> Result<(), Error> {
        let row = file.id.as_bytes();
        let description =
            Description { media_type: file.media_type.clone(), filename: file.filename.clone() };
        batch.exec(
            "insert into files (id, project_id, smith_id, size, description, content, created_at) \
             values ($1, $2, $3, $4, $5, $6, $7)",
            params![
                file.id,
                self.project,
                smith,
                file.bytes.len(),
                seal.seal(DESCRIPTION, &row, &description)?,
                seal.seal_bytes(CONTENT, &row, &file.bytes),
                self.store.ids().now()
            ],
        );
        Ok(())
    }

    /// Keeps files of a smith.
    pub async fn keep_files(
        &self,
        smith: SmithId,
        seal: &SmithSeal,
        files: &[StoredFile],
    ) -> Result<(), Error> {
        let mut batch = Batch::new();
        for file in files {
            self.add_file(&mut batch, smith, seal, file)?;
        }
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Returns how many bytes a file of a smith has, None when the smith has no such file.
    pub async fn file_size(&self, smith: SmithId, file: FileId) -> Result<Option<u64>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select size from files where id = $1 and smith_id = $2 and project_id = $3",
                params![file, smith, self.project],
            )
            .await?;
        Ok(row.map(|row| row.get(0)).transpose()?)
    }

    /// Returns the media type of a file of a smith, None when the smith has no such file.
    pub async fn file_type(
        &self,
        smith: SmithId,
        file: FileId,
        seal: &SmithSeal,
    ) -> Result<Option<String>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select description from files where id = $1 and smith_id = $2 and project_id = $3",
                params![file, smith, self.project],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let description: Vec<u8> = row.get(0)?;
        let Description { media_type, .. } = seal.open(DESCRIPTION, &file.as_bytes(), &description)?;
        Ok(Some(media_type))
    }

    /// Reads a file of a smith.
    pub async fn file(
        &self,
        smith: SmithId,
        file: FileId,
        seal: &SmithSeal,
    ) -> Result<Option<StoredFile>, Error> {
        let rows = self
            .store
            .db()
            .read(
                "select description, content from files where id = $1 and smith_id = $2 and project_id = $3",
                params![file, smith, self.project],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (description, content): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let place = file.as_bytes();
        let Description { media_type, filename } = seal.open(DESCRIPTION, &place, &description)?;
        let bytes = seal.open_bytes(CONTENT, &place, &content)?;
        Ok(Some(StoredFile { id: file, media_type, filename, bytes }))
    }
}
