//! The client that puts load on a server: plain HTTP/1.1 over connections that stay open.

mod exchange;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

pub(crate) use exchange::{Exchange, Timing};

/// Connections at once. A request beyond them waits, and its clock runs meanwhile.
const MOST_CONNECTIONS: usize = 2_000;

pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// A client of one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    headers: HeaderMap,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
    tasks: TaskTracker,
}

/// A connection in use, and its place among those allowed.
pub(crate) struct Lease<'a> {
    connection: Connection,
    _room: SemaphorePermit<'a>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Self::with_headers(address, HeaderMap::new())
    }

    /// Makes a client of the native API.
    pub(crate) fn with_token(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}"))?);
        headers.insert("ic-api-version", HeaderValue::from_static("2026-05-01"));
        Self::with_headers(address, headers)
    }

    fn with_headers(address: SocketAddr, mut headers: HeaderMap) -> anyhow::Result<Self> {
        headers.insert(HOST, HeaderValue::from_str(&address.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self(Arc::new(Inner {
            address,
            headers,
            idle: Mutex::default(),
            room: Semaphore::new(MOST_CONNECTIONS),
            tasks: TaskTracker::new(),
        })))
    }

    /// Asks for JSON and expects it with a status of success.
    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = self.text(method, path, Bytes::from(body.to_string())).await?;
        serde_json::from_str(&body).with_context(|| format!("{path} did not answer with JSON"))
    }

    /// Asks for a body of text and expects it with a status of success.
    pub(crate) async fn text(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<String> {
        let (response, lease) = self.send(self.request(method, path, body)?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        self.give_back(lease);
        let body = String::from_utf8_lossy(&body).into_owned();
        ensure!(status.is_success(), "{path} answered {status}: {body}");
        Ok(body)
    }

    /// Makes a request with everything that this server wants to see.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path).body(Full::new(body))?;
        *request.headers_mut() = self.0.headers.clone();
        Ok(request)
    }

    /// Sends a request on a connection that is free, or on a new one.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(Response<Incoming>, Lease<'_>)> {
        let room = self.0.room.acquire().await?;
        let mut connection = self.connection().await?;
        let response = connection.send_request(request).await?;
        Ok((response, Lease { connection, _room: room }))
    }

    /// Keeps a connection for the next request. Its answer must have been read to the end.
    pub(crate) fn give_back(&self, lease: Lease<'_>) {
        self.keep(lease.connection);
    }

    /// The same with a connection that was taken without a place.
    pub(crate) fn keep(&self, connection: Connection) {
        self.idle().push(connection);
    }

    /// Returns a connection that is free, or a new one.
    pub(crate) async fn connection(&self) -> anyhow::Result<Connection> {
        loop {
            let idle = self.idle().pop();
            let Some(mut connection) = idle else { break };
            // A server may have closed it meanwhile.
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.0.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What breaks a connection breaks the exchange on it too, which reports it.
        self.0.tasks.spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
