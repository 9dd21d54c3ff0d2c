//! The one place that knows how sealed columns are written and read.

use std::sync::Arc;

use domain::ids::{Id as _, SmithId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vault::{Context, DataKey};

use crate::{DbError, Error, Store};

/// Names the place of a sealed value; it becomes part of the seal, so that a ciphertext cannot be moved.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) table: &'static str,
    pub(crate) column: &'static str,
}

impl Place {
    pub(crate) const fn new(table: &'static str, column: &'static str) -> Self {
        Self { table, column }
    }

    fn of_row<'a>(self, row: &'a [u8]) -> Context<'a> {
        Context { table: self.table, column: self.column, row }
    }
}

const DATA_KEY: Place = Place::new("smiths", "data_key");

/// Seals and opens what belongs to one smith.
#[derive(Clone)]
pub struct SmithSeal {
    key: Arc<DataKey>,
    store: Store,
}

impl SmithSeal {
    pub(crate) fn seal<T: Serialize + ?Sized>(
        &self,
        place: Place,
        row: &[u8],
        value: &T,
    ) -> Result<Vec<u8>, Error> {
        Ok(self.key.seal(self.store.ids(), &serde_json::to_vec(value)?, place.of_row(row)))
    }

    pub(crate) fn seal_bytes(&self, place: Place, row: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.key.seal(self.store.ids(), bytes, place.of_row(row))
    }

    pub(crate) fn open_bytes(&self, place: Place, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key.open(sealed, place.of_row(row))?)
    }

    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        place: Place,
        row: &[u8],
        sealed: &[u8],
    ) -> Result<T, Error> {
        Ok(read_json(&self.key.open(sealed, place.of_row(row))?)?)
    }
}

/// Reads JSON that was stored, however deep it is. What was taken was as deep as it may be, and lies a few levels deeper here.
pub(crate) fn read_json<T: DeserializeOwned>(stored: impl AsRef<[u8]>) -> Result<T, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(stored.as_ref());
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

impl Store {
    /// Makes the data key of a new smith: the seal to use, and the wrapped key to store.
    pub(crate) fn new_seal(&self, smith: SmithId) -> (SmithSeal, Vec<u8>) {
        let key = Arc::new(DataKey::generate(self.ids()));
        let wrapped = self.inner.master.wrap(&key, DATA_KEY.of_row(&smith.as_bytes()), self.ids());
        (SmithSeal { key, store: self.clone() }, wrapped)
    }

    /// Unwraps the data key that was stored with a smith.
    pub(crate) fn seal_of(&self, smith: SmithId, wrapped: &[u8]) -> Result<SmithSeal, Error> {
        let key = match self.inner.data_keys.get(&smith) {
            Some(key) => key,
            None => {
                let key = self.inner.master.unwrap_key(wrapped, DATA_KEY.of_row(&smith.as_bytes()))?;
                let key = Arc::new(key);
                self.inner.data_keys.insert(smith, Arc::clone(&key));
                key
            }
        };
        Ok(SmithSeal { key, store: self.clone() })
    }

    /// Forgets the unwrapped data key of a smith that is erased.
    pub fn forget_key(&self, smith: SmithId) {
        self.inner.data_keys.invalidate(&smith);
    }

    /// Forgets all unwrapped data keys: whose smiths are erased by now is not known.
    pub fn forget_keys(&self) {
        self.inner.data_keys.invalidate_all();
    }

    /// Seals a secret of the server or of a project, such as a provider key.
    pub(crate) fn seal_secret(&self, place: Place, row: &[u8], secret: &[u8]) -> Vec<u8> {
        self.inner.master.seal(self.ids(), secret, place.of_row(row))
    }

    pub(crate) fn open_secret(&self, place: Place, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.inner.master.open(sealed, place.of_row(row))?)
    }

    pub(crate) fn open_text(&self, place: Place, row: &[u8], sealed: &[u8]) -> Result<String, Error> {
        let opened = self.open_secret(place, row, sealed)?;
        Ok(String::from_utf8(opened).map_err(|_| DbError::Corrupt("a sealed text is none"))?)
    }
}
