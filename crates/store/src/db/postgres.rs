//! PostgreSQL: a pool of connections, each batch in one round trip, announcements through LISTEN/NOTIFY.

mod address;
mod faults;
mod fold;
mod listen;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};
use futures::TryStreamExt as _;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Config, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use super::batch::Statement;
use super::{Batch, DbError, DbOptions, Outcome, Row, Value};
use address::Address;
use faults::{no_connection, translate};
use fold::{Folded, each_with_rows, fold};
use listen::{CHANNEL, listen};

/// The code with which `ingram_guard` makes a batch fail.
const GUARD: &str = "IG001";
/// How many announcements a slow listener may lag behind before it has to look for itself.
const ANNOUNCEMENTS: usize = 4096;
/// After how much silence a connection to the server is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a batch is sent again that PostgreSQL gave up to resolve a deadlock.
const DEADLOCK_RETRIES: usize = 3;

#[derive(Clone)]
pub(super) struct Postgres {
    pool: Pool,
    address: Arc<Address>,
    announcements: broadcast::Sender<String>,
    /// How long the server may be silent altogether. It keeps its own bound for each statement, unless it hangs.
    patience: Option<Duration>,
    _listener: Arc<AbortOnDropHandle<()>>,
}

impl Postgres {
    pub(super) async fn open(url: &str, options: &DbOptions) -> Result<Self, DbError> {
        let mut config = address::parse(url, options.wait)?;
        let address = Arc::new(Address::of(&config));
        // A server that vanished without a word must not hold connections for hours.
        config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE / 3).keepalives_interval(SILENCE / 6);
        let (announcements, _) = broadcast::channel(ANNOUNCEMENTS);
        let (manager, listener) = if config.get_ssl_mode() == SslMode::Require {
            let tls = egress::tls_config().map_err(|error| DbError::Unavailable(error.to_string()))?;
            connect(config, MakeRustlsConnect::new(tls), announcements.clone())
        } else {
            // Encryption that nobody checks protects from nothing; who wants it says so.
            config.ssl_mode(SslMode::Disable);
            connect(config, NoTls, announcements.clone())
        };
        let timeouts =
            Timeouts { wait: Some(options.wait), create: Some(options.wait), recycle: Some(options.wait) };
        let pool = Pool::builder(manager)
            .max_size(options.connections.max(1))
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(bounded(options.statement_timeout))
            .build()
            .map_err(|error| DbError::Unavailable(error.to_string()))?;
        let patience =
            Some(options.statement_timeout.saturating_mul(2)).filter(|patience| !patience.is_zero());
        let listener = Arc::new(AbortOnDropHandle::new(listener));
        let postgres = Self { pool, address, announcements, patience, _listener: listener };
        drop(postgres.connection().await?);
        Ok(postgres)
    }

    async fn connection(&self) -> Result<Object, DbError> {
        self.pool.get().await.map_err(|error| no_connection(&error, &self.address))
    }

    pub(super) fn announcements(&self) -> broadcast::Receiver<String> {
        self.announcements.subscribe()
    }

    pub(super) async fn read(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, DbError> {
        let mut last = None;
        // A connection may have died in the pool unseen. Reading again does no harm; each try leaves one such connection less.
        for _ in 0..self.pool.status().max_size {
            let connection = self.connection().await?;
            match self.in_time(run(&connection, sql, &params)).await {
                Some(Err(error)) if connection.is_closed() => last = Some(error),
                Some(read) => return read,
                None => return Err(DbError::Unavailable(given_up(connection))),
            }
        }
        Err(last.unwrap_or_else(|| DbError::Unavailable("the pool holds no connections".to_owned())))
    }

    /// Waits for what the server answers, None when it says nothing for too long.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        match self.patience {
            Some(patience) => tokio::time::timeout(patience, answer).await.ok(),
            None => Some(answer.await),
        }
    }

    pub(super) async fn script(&self, sql: &str) -> Result<(), DbError> {
        let connection = self.connection().await?;
        let done = connection.batch_execute(sql).await;
        if done.is_err() {
            // The connection goes back to the pool, and must not take a broken transaction along.
            let _ = connection.batch_execute("rollback").await;
        }
        done.map_err(|error| translate(&error))
    }

    pub(super) async fn commit(&self, batch: Batch) -> Result<Outcome, DbError> {
        let mut statements = batch.statements;
        for text in batch.announcements {
            statements.push(Statement {
                sql: "select pg_notify($1, $2)".into(),
                params: vec![Value::Text(CHANNEL.to_owned()), Value::Text(text)],
                guard: None,
                returning: None,
                is_independent: true,
            });
        }
        let folded = fold(&statements);
        let mut tries = 0;
        loop {
            let connection = self.connection().await?;
            let Some(prepared) = self.in_time(prepare(&connection, &folded)).await else {
                return Err(DbError::Unavailable(given_up(connection)));
            };
            let sent = match prepared {
                Ok(prepared) => self.in_time(send(&connection, &folded, &prepared)).await,
                Err(failed) => Some(Err(failed)),
            };
            let Some(sent) = sent else { return Err(DbError::Unknown(given_up(connection))) };
            match sent {
                Err(Failed::Deadlock) if tries < DEADLOCK_RETRIES => tries += 1,
                Err(Failed::Deadlock) => return Err(DbError::Unavailable("deadlocks do not end".to_owned())),
                Err(Failed::Guard(label)) => return Err(DbError::Guard(guard_named(&statements, &label))),
                Err(Failed::Other(error)) => return Err(error),
                Ok(results) => return Ok(Outcome { results }),
            }
        }
    }

    /// Vacuums tables, one after the other, for as long as that takes.
    pub(super) async fn vacuum(&self, tables: &[&str]) -> Result<(), DbError> {
        // Of no use to others afterwards: it has no bound, and a caller that goes away leaves it in the middle.
        let connection = Object::take(self.connection().await?);
        let done = async {
            connection.batch_execute("set statement_timeout = 0").await?;
            for table in tables {
                // Not in one text: several statements are a transaction, and it runs in none.
                connection.batch_execute(&format!("vacuum (analyze, index_cleanup on) {table}")).await?;
            }
            Ok(())
        };
        done.await.map_err(|error| translate(&error))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Bounds what the server does for a new connection. A process that sleeps in the middle of a batch must not hold its locks.
fn bounded(timeout: Duration) -> Hook {
    let bound = format!(
        "set statement_timeout = {0}; set idle_in_transaction_session_timeout = {0}",
        timeout.as_millis().min(2_147_483_647)
    );
    Hook::async_fn(move |client, _| {
        let bound = bound.clone();
        Box::pin(async move { client.batch_execute(&bound).await.map_err(HookError::Backend) })
    })
}

/// Closes a connection whose server says nothing, instead of giving it to somebody else.
fn given_up(connection: Object) -> String {
    drop(Object::take(connection));
    "the server has not answered in time".to_owned()
}

/// Prepares connections of both kinds: those of the pool, and the one that listens.
fn connect<T>(config: Config, tls: T, announcements: broadcast::Sender<String>) -> (Manager, JoinHandle<()>)
where
    T: MakeTlsConnect<Socket> + Clone + Sync + Send + 'static,
    T::Stream: Sync + Send,
    T::TlsConnect: Sync + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
    #[expect(clippy::disallowed_methods, reason = "the caller ends the task with the last database handle")]
    let listener = tokio::spawn(listen(config, tls, announcements));
    (manager, listener)
}

enum Failed {
    Deadlock,
    Guard(String),
    Other(DbError),
}

/// Finds the label again that the server handed back as text.
fn guard_named(statements: &[Statement], label: &str) -> &'static str {
    statements
        .iter()
        .filter_map(|statement| statement.guard)
        .find(|guard| *guard == label)
        .unwrap_or_default()
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&(SqlState::T_R_DEADLOCK_DETECTED | SqlState::T_R_SERIALIZATION_FAILURE)) => Self::Deadlock,
            Some(code) if code.code() == GUARD => {
                Self::Guard(error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default())
            }
            _ => Self::Other(translate(&error)),
        }
    }
}

/// Makes the statements of a batch known to the server.
async fn prepare(
    connection: &Object,
    statements: &[Folded<'_>],
) -> Result<Vec<tokio_postgres::Statement>, Failed> {
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        prepared.push(connection.prepare_cached(&statement.sql).await?);
    }
    Ok(prepared)
}

/// Sends a batch as one pipeline: begin, the statements, commit. After a failure the server skips the rest and the commit
/// becomes a rollback, so nobody has to wait for an answer in between.
async fn send(
    connection: &Object,
    statements: &[Folded<'_>],
    prepared: &[tokio_postgres::Statement],
) -> Result<Vec<Vec<Row>>, Failed> {
    // From here on the batch is with the server, and only its answer tells what has become of it.
    let lost = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(_) => Failed::from(error),
        None => Failed::Other(DbError::Unknown(error.to_string())),
    };
    if let ([statement], [only]) = (statements, prepared) {
        let collected = collect(connection, only, statement.params.iter().copied()).await.map_err(lost)?;
        return Ok(each_with_rows(vec![collected], statements));
    }
    type Step<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(statements.len().saturating_add(2));
    steps.push(Box::pin(async { connection.batch_execute("begin").await.map(|()| Vec::new()) }));
    for (statement, prepared) in statements.iter().zip(prepared) {
        steps.push(Box::pin(collect(connection, prepared, statement.params.iter().copied())));
    }
    steps.push(Box::pin(async { connection.batch_execute("commit").await.map(|()| Vec::new()) }));
    let mut answers = in_order(steps).await.into_iter();
    let begun = answers.next();
    let committed = answers.next_back();
    let results = answers.collect::<Result<Vec<_>, _>>().map_err(lost)?;
    for edge in [begun, committed].into_iter().flatten() {
        edge.map_err(lost)?;
    }
    Ok(each_with_rows(results, statements))
}

/// Drives all futures at once, first polling them in their order: each sends its request when it is polled first.
async fn in_order<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<Option<F>> = futures.into_iter().map(Some).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    poll_fn(move |context| {
        let mut pending = false;
        for (slot, output) in futures.iter_mut().zip(&mut outputs) {
            let Some(future) = slot else { continue };
            match Pin::new(future).poll(context) {
                Poll::Ready(value) => {
                    *output = Some(value);
                    *slot = None;
                }
                Poll::Pending => pending = true,
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(outputs.iter_mut().filter_map(Option::take).collect())
        }
    })
    .await
}

async fn run(connection: &Object, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
    let prepared = connection.prepare_cached(sql).await.map_err(|error| translate(&error))?;
    collect(connection, &prepared, params.iter()).await.map_err(|error| translate(&error))
}

async fn collect(
    connection: &Object,
    statement: &tokio_postgres::Statement,
    params: impl ExactSizeIterator<Item = &Value>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let params = params.map(|value| value as &(dyn ToSql + Sync));
    let stream = connection.query_raw(statement, params).await?;
    let mut stream = std::pin::pin!(stream);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        let values =
            (0..row.len()).map(|column| row.try_get::<_, Value>(column)).collect::<Result<_, _>>()?;
        rows.push(Row(values));
    }
    Ok(rows)
}

type Unfit = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    /// Encodes by the type that the server inferred for the placeholder.
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, Unfit> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => match *wanted {
                Type::INT4 => i32::try_from(*value)?.to_sql(wanted, out),
                Type::INT2 => i16::try_from(*value)?.to_sql(wanted, out),
                #[expect(clippy::cast_precision_loss, reason = "a count compared with a fraction")]
                Type::FLOAT8 => (*value as f64).to_sql(wanted, out),
                _ => value.to_sql(wanted, out),
            },
            Self::Real(value) => value.to_sql(wanted, out),
            Self::Text(value) => value.to_sql(wanted, out),
            Self::Blob(value) => value.to_sql(wanted, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Unfit> {
        Ok(match *kind {
            Type::INT8 => Self::Int(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(kind, raw)?.into()),
            Type::INT2 => Self::Int(i16::from_sql(kind, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(kind, raw)?.into()),
            Type::FLOAT8 => Self::Real(f64::from_sql(kind, raw)?),
            Type::BYTEA => Self::Blob(Vec::from_sql(kind, raw)?),
            // What a function without a result returns.
            Type::VOID => Self::Null,
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Unfit> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(
            *kind,
            Type::INT8
                | Type::INT4
                | Type::INT2
                | Type::BOOL
                | Type::FLOAT8
                | Type::BYTEA
                | Type::VOID
                | Type::TEXT
                | Type::VARCHAR
                | Type::NAME
                | Type::BPCHAR
        )
    }
}
