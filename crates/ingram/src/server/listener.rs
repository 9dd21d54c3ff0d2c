//! Accepting connections and speaking HTTP on them.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Connections;

/// The most that a connection keeps in memory of what it reads or writes. Larger bodies pass through in parts; heads of
/// requests have to fit.
const BUFFER: usize = 16 * 1024;
/// How long to wait when the system has no more room for connections.
const FULL: Duration = Duration::from_secs(1);

/// A bound address.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    options: Connections,
}

/// Binds the first address that this machine has. One that is taken is no reason to go on to another: there the server would not
/// be looked for.
fn first(addresses: &[SocketAddr]) -> io::Result<StdListener> {
    let mut missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match StdListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => missing = error,
            bound => return bound,
        }
    }
    Err(missing)
}

impl Listener {
    /// Takes the first of the addresses that this machine has.
    pub(crate) fn bind(addresses: &[SocketAddr], options: &Connections) -> anyhow::Result<Self> {
        let bind = || {
            // The standard library sets SO_REUSEADDR, so that a restart needs not wait for old connections.
            let listener = first(addresses)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            io::Result::Ok((TcpListener::from_std(listener)?, address))
        };
        let (listener, address) = bind().with_context(|| {
            let tried: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("cannot listen on {}; choose another address with --listen HOST:PORT", tried.join(" or "))
        })?;
        Ok(Self { listener, address, options: options.clone() })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections until `shutdown`, each in a task of the returned tracker, which ends when the last one ends.
    pub(crate) fn serve(self, router: Router, shutdown: CancellationToken) -> TaskTracker {
        let connections = TaskTracker::new();
        connections.spawn(self.accept(router, shutdown, connections.clone()));
        connections.close();
        connections
    }

    async fn accept(self, router: Router, shutdown: CancellationToken, connections: TaskTracker) {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.options.header_timeout_ms.max(1)))
            .max_buf_size(BUFFER);
        let places = Arc::new(Semaphore::new(self.options.max_connections.min(Semaphore::MAX_PERMITS)));
        loop {
            let place = Arc::clone(&places).acquire_owned();
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = async { (place.await, self.listener.accept().await) } => accepted,
            };
            let (Ok(place), accepted) = accepted else { return };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    tracing::error!(error = %error, "No connection can be accepted now; trying again.");
                    tokio::time::sleep(FULL).await;
                    continue;
                }
            };
            // Fails only where the client has gone already.
            if prepare(&stream).is_err() {
                continue;
            }
            let service = TowerToHyperService::new(router.clone());
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                let mut connection = std::pin::pin!(connection);
                // How a connection ends is the client's business: it hung up, was too slow, or spoke no HTTP.
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = shutdown.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                drop(place);
            });
        }
    }
}

/// Tells an error of a connection that was gone before it was accepted from one of the system.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Has small writes sent at once: without this, the parts of a stream wait for each other's acknowledgement.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    /// Some port of this machine.
    const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn what_is_written_is_sent_at_once() {
        let listener = Listener::bind(&[ANY], &Connections::default()).unwrap();
        let (client, accepted) =
            tokio::join!(TcpStream::connect(listener.address()), listener.listener.accept());
        let (stream, _) = accepted.unwrap();
        assert!(!stream.nodelay().unwrap());
        prepare(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        drop(client);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = Listener::bind(&[ANY], &Connections::default()).unwrap();
        let error = Listener::bind(&[first.address()], &Connections::default()).err().unwrap();
        assert!(error.to_string().contains(&first.address().to_string()), "{error}");
    }

    #[tokio::test]
    async fn the_first_address_that_this_machine_has_is_taken() {
        // Kept for documents: no machine has it.
        let elsewhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);
        let bound = Listener::bind(&[elsewhere, ANY], &Connections::default()).unwrap();
        assert!(bound.address().ip().is_loopback());
        let both = [bound.address(), ANY];
        let error = Listener::bind(&both, &Connections::default()).err().unwrap().to_string();
        assert!(error.contains(&bound.address().to_string()), "another server is there: {error}");
    }
}
