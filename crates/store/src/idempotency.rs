//! Idempotency keys: a request's key and its effect are kept in one transaction, so that a repetition finds both or none.

use domain::Timestamp;
use domain::ids::{RunId, SmithId};
use sha2::{Digest as _, Sha256};

use crate::codec::Place;
use crate::db::params;
use crate::{Batch, Error, ServerStore, Store};

/// The guard that keeps out the slower of two requests with the same key.
pub const GUARD: &str = "idempotency_key";

/// How long a key is remembered, in seconds.
const LIFE: i64 = 24 * 60 * 60;
/// How long a request that was begun holds its key, in seconds. Whoever begins one ends it before, so that only one whose
/// process died is given up.
pub const AT_WORK: i64 = 15 * 60;
/// How many expired keys one batch forgets.
const CHUNK: usize = 1_000;

const BODY: Place = Place::new("idempotency_keys", "sealed_body");

/// A key as the store knows it: neither the caller's text nor the body can be read back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Who sent which key to which route.
    pub scope: [u8; 32],
    /// What was sent with it.
    pub fingerprint: [u8; 32],
}

impl IdempotencyKey {
    /// Scopes a caller's key to the tenant (project or organization), the token's subject and the route.
    pub fn new(tenant: [u8; 16], subject: [u8; 16], route: &str, key: &str, fingerprint: [u8; 32]) -> Self {
        let mut hash = Sha256::new();
        hash.update(tenant);
        hash.update(subject);
        // Neither part can hold the byte that separates them.
        for part in [route, key] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        Self { scope: hash.finalize().into(), fingerprint }
    }
}

/// What a key stands for from now on.
#[derive(Clone, PartialEq, Eq)]
enum Effect {
    Run(RunId),
    Answer { status: u16, body: Vec<u8> },
}

/// A key that is to be kept together with the effect of its request. It has no `Debug`: an answer may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Remember {
    key: IdempotencyKey,
    effect: Effect,
    /// Whose smith the answer is about.
    smith: Option<SmithId>,
}

/// Makes what is remembered of a request, once it is known what comes of it. May be asked more than once.
pub type Remembering<'a, T> = Option<&'a (dyn Fn(&T) -> Result<Remember, Error> + Send + Sync)>;

impl Remember {
    /// The request started this run; a repetition is answered with the run as it stands then.
    pub fn run(key: IdempotencyKey, run: RunId) -> Self {
        Self { key, effect: Effect::Run(run), smith: None }
    }

    /// The request was answered with this; a repetition is answered with the same.
    pub fn answer(key: IdempotencyKey, status: u16, body: Vec<u8>) -> Self {
        Self { key, effect: Effect::Answer { status, body }, smith: None }
    }

    /// Says that the answer is about this smith: it is erased with it.
    #[must_use]
    pub fn of_smith(mut self, smith: Option<SmithId>) -> Self {
        self.smith = smith;
        self
    }

    /// Adds the key to the batch that has the effect. The guard [`GUARD`] fails when the key is taken, other than by
    /// [`ServerStore::begin`].
    pub(crate) fn add_to(&self, batch: &mut Batch, store: &Store) {
        let scope = self.key.scope;
        let (run, status, body) = match &self.effect {
            Effect::Run(run) => (Some(*run), None, None),
            Effect::Answer { status, body } => {
                (None, Some(u32::from(*status)), Some(store.seal_secret(BODY, &scope, body)))
            }
        };
        let now = store.ids().now();
        batch
            .exec(
                "insert into idempotency_keys (scope, fingerprint, run_id, status, sealed_body, created_at, smith_id) \
                 values ($1, $2, $3, $4, $5, $6, $8) \
                 on conflict (scope) do update set fingerprint = excluded.fingerprint, run_id = excluded.run_id, \
                 status = excluded.status, sealed_body = excluded.sealed_body, created_at = excluded.created_at, \
                 smith_id = excluded.smith_id \
                 where idempotency_keys.created_at <= $7 or (idempotency_keys.run_id is null and idempotency_keys.status is null)",
                params![scope, self.key.fingerprint, run, status, body, now, expiry(now), self.smith],
            )
            .must_change_one_row(GUARD);
    }
}

/// What is known of a key; without run and answer its request is at work. It has no `Debug`: an answer may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Remembered {
    pub fingerprint: [u8; 32],
    /// The run that the request started.
    pub run: Option<RunId>,
    /// Status and body of the answer.
    pub answer: Option<(u16, Vec<u8>)>,
}

impl ServerStore {
    /// Finds what a key stands for. Keys older than a day stand for nothing.
    pub async fn remembered(&self, key: &IdempotencyKey) -> Result<Option<Remembered>, Error> {
        let now = self.store.ids().now();
        let row = self
            .store
            .db()
            .read_one(
                "select fingerprint, run_id, status, sealed_body from idempotency_keys where scope = $1 and created_at > $2 \
                 and (run_id is not null or status is not null or created_at > $3)",
                params![key.scope, expiry(now), given_up(now)],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let fingerprint: Vec<u8> = row.get(0)?;
        let status: Option<u32> = row.get(2)?;
        let sealed: Option<Vec<u8>> = row.get(3)?;
        let answer = match (status.and_then(|status| u16::try_from(status).ok()), sealed) {
            (Some(status), Some(sealed)) => {
                Some((status, self.store.open_secret(BODY, &key.scope, &sealed)?))
            }
            _ => None,
        };
        let fingerprint = fingerprint
            .as_slice()
            .try_into()
            .map_err(|_| crate::DbError::Corrupt("a fingerprint has 32 bytes"))?;
        Ok(Some(Remembered { fingerprint, run: row.get(1)?, answer }))
    }

    /// Takes a key from `now` on, for a request that has its effect outside of the database. Returns false when it is taken
    /// already.
    pub async fn begin(&self, key: &IdempotencyKey, now: Timestamp) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.exec(
            "insert into idempotency_keys (scope, fingerprint, created_at) values ($1, $2, $3) \
             on conflict (scope) do update set fingerprint = excluded.fingerprint, run_id = null, status = null, \
             sealed_body = null, smith_id = null, created_at = excluded.created_at \
             where idempotency_keys.created_at <= $4 or (idempotency_keys.run_id is null \
             and idempotency_keys.status is null and idempotency_keys.created_at <= $5) returning 1",
            params![key.scope, key.fingerprint, now, expiry(now), given_up(now)],
        );
        Ok(self.store.db().commit(batch).await?.rows(0).len() == 1)
    }

    /// Frees a key that was taken at that moment, because its request came to nothing.
    pub async fn give_up(&self, key: &IdempotencyKey, begun_at: Timestamp) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.exec(
            "delete from idempotency_keys where scope = $1 and fingerprint = $2 and created_at = $3 \
             and run_id is null and status is null",
            params![key.scope, key.fingerprint, begun_at],
        );
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Keeps a key whose request changed nothing else.
    pub async fn remember(&self, remember: &Remember) -> Result<(), Error> {
        let mut batch = Batch::new();
        remember.add_to(&mut batch, &self.store);
        self.store.db().commit(batch).await?;
        Ok(())
    }

    /// Deletes keys that are older than a day, a chunk at a time. Returns how many there were.
    pub async fn forget_expired(&self) -> Result<usize, Error> {
        let mut forgotten = 0_usize;
        loop {
            let mut batch = Batch::new();
            batch.exec(
                "delete from idempotency_keys where scope in \
                 (select scope from idempotency_keys where created_at <= $1 order by created_at limit $2) returning 1",
                params![expiry(self.store.ids().now()), CHUNK],
            );
            let count = self.store.db().commit(batch).await?.rows(0).len();
            forgotten = forgotten.saturating_add(count);
            if count < CHUNK {
                return Ok(forgotten);
            }
        }
    }
}

/// Returns the moment up to which keys are too old at `now`.
fn expiry(now: Timestamp) -> Timestamp {
    now.plus_seconds(-LIFE)
}

/// Returns the moment up to which requests that were begun are given up at `now`.
fn given_up(now: Timestamp) -> Timestamp {
    now.plus_seconds(-AT_WORK)
}

#[cfg(test)]
mod tests;
