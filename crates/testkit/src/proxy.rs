//! A TCP proxy in front of a database that closes, freezes, or loses an answer when a test says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Connections stay, and nothing moves on them.
    Frozen,
    /// There are no connections, and new ones are cut at once.
    Closed,
}

/// What is waited for on the connections, once.
#[derive(Clone, Debug)]
enum Trap {
    /// These texts, sent in this order on one connection; then the connection ends without the answer that holds `answer`.
    LoseAnswer { sent: Vec<Vec<u8>>, answer: Vec<u8> },
    /// An answer that holds this; it waits until it is released.
    HoldAnswer(Vec<u8>),
}

struct Shared {
    target: String,
    mode: watch::Sender<Mode>,
    trap: Mutex<Option<Trap>>,
    /// How many traps have caught something.
    caught: watch::Sender<usize>,
    /// Whether a held answer may pass.
    released: watch::Sender<bool>,
}

/// A running proxy; ends with the value.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Starts a proxy in front of the server that a URL names.
    ///
    /// # Panics
    /// When the URL names no host and port, or there is no free port.
    pub async fn start(url: &str) -> Self {
        let Some(target) = authority(url) else { panic!("no host and port in the URL of a database") };
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else { panic!("no free port") };
        let Ok(address) = listener.local_addr() else { panic!("a listener has an address") };
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            mode: watch::Sender::new(Mode::Open),
            trap: Mutex::new(None),
            caught: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        #[expect(clippy::disallowed_methods, reason = "the task ends with the proxy")]
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, accepting }
    }

    /// Returns a URL that leads through the proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(&self.shared.target, &self.address.to_string(), 1)
    }

    /// Cuts all connections, and new ones too, as a server does that is down.
    pub fn close(&self) {
        self.shared.mode.send_replace(Mode::Closed);
    }

    /// Lets nothing pass on any connection, as a server does that hangs.
    pub fn freeze(&self) {
        self.shared.mode.send_replace(Mode::Frozen);
    }

    /// Lets everything pass again.
    pub fn open(&self) {
        self.shared.mode.send_replace(Mode::Open);
    }

    /// Cuts the next connection on which all of `sent` was sent, once the server has answered with `answer`, which is lost.
    pub fn lose_answer(&self, sent: &[&[u8]], answer: &[u8]) {
        let sent = sent.iter().map(|text| text.to_vec()).collect();
        *self.shared.trap() = Some(Trap::LoseAnswer { sent, answer: answer.to_vec() });
    }

    /// Holds the next answer that holds these bytes back until [`Proxy::release`].
    pub fn hold_answer(&self, answer: &[u8]) {
        *self.shared.trap() = Some(Trap::HoldAnswer(answer.to_vec()));
    }

    /// Lets the answer pass that was held back.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Waits until a trap has caught something.
    pub async fn caught(&self) {
        let _ = self.shared.caught.subscribe().wait_for(|count| *count > 0).await;
    }
}

impl Shared {
    fn trap(&self) -> MutexGuard<'_, Option<Trap>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spring(&self) {
        *self.trap() = None;
        self.caught.send_modify(|count| *count += 1);
    }

    async fn until(&self, wanted: impl FnMut(&Mode) -> bool) {
        let _ = self.mode.subscribe().wait_for(wanted).await;
    }
}

/// Finds `host:port` in `postgres://user:password@host:port/name`.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.contains(':').then_some(host)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            tokio::select! {
                () = pass(client, &shared) => {}
                () = shared.until(|mode| *mode == Mode::Closed) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, shared: &Shared) {
    let Ok(server) = TcpStream::connect(&shared.target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // What the server must have answered before the connection ends, once it is doomed.
    let doom = watch::Sender::new(None);
    tokio::select! {
        () = requests(from_client, to_server, shared, &doom) => {}
        () = answers(from_server, to_client, shared, &doom) => {}
    }
}

type Doom = watch::Sender<Option<Vec<u8>>>;

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, doom: &Doom) {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        shared.until(|mode| *mode == Mode::Open).await;
        let trap = shared.trap().clone();
        match trap {
            Some(Trap::LoseAnswer { sent, answer }) => {
                seen.extend_from_slice(&buffer[..count]);
                if holds_in_order(&seen, &sent) {
                    doom.send_replace(Some(answer));
                    // Another connection does not fall into the same trap.
                    *shared.trap() = None;
                }
            }
            _ => seen.clear(),
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared, doom: &Doom) {
    let mut swallowed = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        shared.until(|mode| *mode == Mode::Open).await;
        let answer = doom.borrow().clone();
        if let Some(answer) = answer {
            swallowed.extend_from_slice(&buffer[..count]);
            if find(&swallowed, &answer).is_some() {
                shared.spring();
                return;
            }
            continue;
        }
        let trap = shared.trap().clone();
        if let Some(Trap::HoldAnswer(wanted)) = trap
            && find(&buffer[..count], &wanted).is_some()
        {
            shared.spring();
            let _ = shared.released.subscribe().wait_for(|released| *released).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

fn holds_in_order(bytes: &[u8], wanted: &[Vec<u8>]) -> bool {
    let mut rest = bytes;
    for text in wanted {
        let Some(place) = find(rest, text) else { return false };
        rest = &rest[place + text.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres;

    async fn connected(proxy: &Proxy, url: &str) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&proxy.url(url), tokio_postgres::NoTls).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "ends with the client")]
        tokio::spawn(connection);
        client
    }

    #[test]
    fn the_server_is_found_in_its_url() {
        assert_eq!(authority("postgres://u:p@h:5432/name?sslmode=disable"), Some("h:5432"));
        assert_eq!(authority("postgres://h:1"), Some("h:1"));
        assert_eq!(authority("postgres://h/name"), None);
    }

    #[tokio::test]
    async fn a_closed_proxy_cuts_and_refuses_and_an_open_one_passes() {
        let database = postgres::database().await;
        let proxy = Proxy::start(&database.url()).await;
        let before = connected(&proxy, &database.url()).await;
        before.batch_execute("select 1").await.unwrap();
        proxy.close();
        before.batch_execute("select 1").await.unwrap_err();
        assert!(tokio_postgres::connect(&proxy.url(&database.url()), tokio_postgres::NoTls).await.is_err());
        proxy.open();
        connected(&proxy, &database.url()).await.batch_execute("select 1").await.unwrap();
    }

    #[tokio::test]
    async fn a_lost_answer_is_one_that_was_given() {
        let database = postgres::database().await;
        let proxy = Proxy::start(&database.url()).await;
        let client = connected(&proxy, &database.url()).await;
        proxy.lose_answer(&[b"notes", b"commit"], b"COMMIT");
        let script = "begin; create table notes (text text); commit";
        client.batch_execute(script).await.unwrap_err();
        proxy.caught().await;
        database.client().await.batch_execute("select * from notes").await.unwrap();
    }
}
