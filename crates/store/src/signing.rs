//! The keys that sign tokens: one for the whole deployment, made on first need, sealed with the master key.

use std::sync::{Arc, PoisonError, RwLock};

use domain::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use vault::{SigningKey, Verifier};

use crate::codec::Place;
use crate::db::params;
use crate::{Batch, DbError, Error, ServerStore};

/// Names the key that signs; the others only verify.
const ACTIVE: &str = "active_signing_key";
const KEY: Place = Place::new("signing_keys", "sealed_key");
/// The shortest time between two looks for keys that another replica has made, in microseconds.
const RELOAD_PAUSE: u64 = 1_000_000;

/// What one process knows of the keys.
#[derive(Default)]
pub(crate) struct Signing {
    active: OnceCell<Arc<SigningKey>>,
    loaded: RwLock<Option<Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    verifier: Arc<Verifier>,
    jwks: Arc<Value>,
    at: Timestamp,
}

impl ServerStore {
    /// Returns the key that signs tokens. The first one that any replica has stored is everybody's.
    pub async fn signing_key(&self) -> Result<Arc<SigningKey>, Error> {
        self.store.inner.signing.active.get_or_try_init(|| self.load_or_make()).await.cloned()
    }

    /// Returns the verifier of tokens, with all keys that were known when it was loaded.
    pub async fn verifier(&self) -> Result<Arc<Verifier>, Error> {
        Ok(self.loaded().await?.verifier)
    }

    /// Looks for keys that were made elsewhere, after a token named an unknown one.
    ///
    /// Returns None when the last look was a moment ago: made-up key names must not cost a query each.
    pub async fn newer_verifier(&self) -> Result<Option<Arc<Verifier>>, Error> {
        let now = self.store.ids().now();
        let recent = self.peek().is_some_and(|loaded| now.micros_since(loaded.at) < RELOAD_PAUSE);
        if recent {
            return Ok(None);
        }
        self.load().await.map(|loaded| Some(loaded.verifier))
    }

    /// Returns the public halves of all keys as a JSON Web Key Set.
    pub async fn jwks(&self) -> Result<Arc<Value>, Error> {
        let known = self.loaded().await?;
        // A key that another replica has made since is looked up now and then.
        let stale = self.store.ids().now().micros_since(known.at) >= RELOAD_PAUSE;
        Ok(if stale { self.load().await?.jwks } else { known.jwks })
    }

    fn peek(&self) -> Option<Loaded> {
        self.store.inner.signing.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn loaded(&self) -> Result<Loaded, Error> {
        match self.peek() {
            Some(loaded) => Ok(loaded),
            None => self.load().await,
        }
    }

    async fn load(&self) -> Result<Loaded, Error> {
        let at = self.store.ids().now();
        let rows = self
            .store
            .db()
            .read("select kid, sealed_key from signing_keys order by created_at desc, kid", params![])
            .await?;
        let mut keys = Vec::with_capacity(rows.len());
        for row in rows {
            let (kid, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            keys.push(self.open(&kid, &sealed)?);
        }
        let jwks = json!({"keys": keys.iter().map(SigningKey::jwk).collect::<Vec<_>>()});
        let loaded = Loaded { verifier: Arc::new(Verifier::new(&keys)), jwks: Arc::new(jwks), at };
        *self.store.inner.signing.loaded.write().unwrap_or_else(PoisonError::into_inner) =
            Some(loaded.clone());
        Ok(loaded)
    }

    async fn load_or_make(&self) -> Result<Arc<SigningKey>, Error> {
        if let Some(key) = self.active_key().await? {
            return Ok(key);
        }
        // Making a key takes long enough to hold up every other task of this thread.
        let made = tokio::task::spawn_blocking(SigningKey::generate).await;
        let made = made.map_err(|_| DbError::Corrupt("making a signing key was cut short"))??;
        let mut batch = Batch::new();
        batch.exec("insert into server_values (name, value) values ($1, $2)", params![ACTIVE, made.kid()]);
        batch.exec(
            "insert into signing_keys (kid, sealed_key, created_at) values ($1, $2, $3)",
            params![
                made.kid(),
                self.store.seal_secret(KEY, made.kid().as_bytes(), made.pkcs8()),
                self.store.ids().now()
            ],
        );
        match self.store.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => {}
            // Another replica was faster: its key is the one to use.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error),
        }
        self.load().await?;
        let active = self.active_key().await?;
        active.ok_or(Error::Db(DbError::Corrupt("the active signing key is missing")))
    }

    async fn active_key(&self) -> Result<Option<Arc<SigningKey>>, Error> {
        let row = self
            .store
            .db()
            .read_one(
                "select signing_keys.kid, signing_keys.sealed_key from server_values \
                 join signing_keys on signing_keys.kid = server_values.value where server_values.name = $1",
                params![ACTIVE],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (kid, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok(Some(Arc::new(self.open(&kid, &sealed)?)))
    }

    fn open(&self, kid: &str, sealed: &[u8]) -> Result<SigningKey, Error> {
        Ok(SigningKey::from_pkcs8(&self.store.open_secret(KEY, kid.as_bytes(), sealed)?)?)
    }
}

#[cfg(test)]
mod tests;
