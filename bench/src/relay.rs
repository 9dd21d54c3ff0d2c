//! The least that a durable relay costs on this machine: it passes a request on to the mock and the answer back, and keeps both
//! on disk as the server does: the request while the model is called, and of the answer nothing is passed on before it is kept.
//!
//! It knows nobody and decides nothing. What it adds is what the machine takes for one more process on the way, and its disk.

use std::convert::Infallible;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, stream};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, block_in_place};
use tokio_util::task::TaskTracker;

use crate::client::{Client, Connection};

/// Space that is written over, as the server's log is: a file that grows takes longer to keep.
const SPACE: usize = 64 << 20;

/// A relay in a process of its own, which ends with this.
pub(crate) struct Relay {
    process: Child,
    pub(crate) client: Client,
}

impl Relay {
    pub(crate) fn start(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--relay").arg(upstream.to_string()).arg("--folder").arg(folder);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut address)?;
        let address = address.trim_end().parse().context("the relay does not tell where it is")?;
        Ok(Self { process, client: Client::new(address)? })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What goes on in that process, for as long as it lasts. It tells where it is on its standard output.
pub(crate) async fn serve(upstream: SocketAddr, folder: &Path) -> anyhow::Result<()> {
    let log = Log::within(tempfile::tempfile_in(folder)?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    accept(listener, Arc::new(Passing { upstream: Client::new(upstream)?, log, tasks: TaskTracker::new() }))
        .await
}

async fn accept(listener: TcpListener, passing: Arc<Passing>) -> anyhow::Result<()> {
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let passing = Arc::clone(&passing);
        connections.spawn(async move {
            let pass = service_fn(|request| pass(Arc::clone(&passing), request));
            // What breaks a connection breaks the exchange on it too, which reports it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), pass).await;
        });
    }
}

struct Passing {
    upstream: Client,
    log: Log,
    tasks: TaskTracker,
}

struct Log(Mutex<File>);

impl Log {
    fn within(mut file: File) -> std::io::Result<Self> {
        file.write_all(&vec![0; SPACE])?;
        file.sync_all()?;
        file.rewind()?;
        Ok(Self(Mutex::new(file)))
    }

    /// Returns once it is on disk. The thread's other tasks are taken over meanwhile.
    fn keep(&self, bytes: &[u8]) -> std::io::Result<()> {
        block_in_place(|| {
            let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if file.stream_position()? > (SPACE / 2) as u64 {
                file.rewind()?;
            }
            file.write_all(bytes)?;
            file.sync_data()
        })
    }
}

/// An answer on its way.
struct Answer {
    body: Incoming,
    connection: Connection,
    /// The keeping of the request, until it is known to be over.
    request: Option<JoinHandle<std::io::Result<()>>>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn pass(passing: Arc<Passing>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let asked = request.into_body().collect().await?.to_bytes();
    let (keeping, kept) = (Arc::clone(&passing), asked.clone());
    let request = passing.tasks.spawn(async move { keeping.log.keep(&kept) });
    let mut connection = passing.upstream.connection().await?;
    let response = connection.send_request(passing.upstream.request(Method::POST, &path, asked)?).await?;
    let (head, body) = response.into_parts();
    let answer = Answer { body, connection, request: Some(request) };
    let parts = stream::unfold(Some(answer), move |answer| part(Arc::clone(&passing), answer));
    Ok(Response::from_parts(head, StreamBody::new(parts).boxed_unsync()))
}

/// Takes what has come of an answer, keeps it and passes it on.
async fn part(
    passing: Arc<Passing>,
    answer: Option<Answer>,
) -> Option<(Result<Frame<Bytes>, Infallible>, Option<Answer>)> {
    let mut answer = answer?;
    // The part before is written first, and not together with this one.
    tokio::task::yield_now().await;
    let mut part = BytesMut::new();
    let mut next = answer.body.frame().await;
    let has_ended = loop {
        match next {
            Some(Ok(frame)) => part.extend(frame.into_data().ok()),
            Some(Err(_)) | None => break true,
        }
        match answer.body.frame().now_or_never() {
            Some(frame) => next = frame,
            None => break false,
        }
    };
    // Where the disk fails, the answer ends in the middle: that counts as a failure.
    if let Some(request) = answer.request.take() {
        request.await.ok()?.ok()?;
    }
    passing.log.keep(&part).ok()?;
    let rest = if has_ended {
        passing.upstream.keep(answer.connection);
        None
    } else {
        Some(answer)
    };
    Some((Ok(Frame::data(part.freeze())), rest))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::mock::{Mock, PATH};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_relay_passes_on_what_it_keeps() {
        let mock = Mock::start().await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = Log::within(file.reopen().unwrap()).unwrap();
        let passing = Arc::new(Passing {
            upstream: Client::new(mock.address()).unwrap(),
            log,
            tasks: TaskTracker::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap()).unwrap();
        let tasks = TaskTracker::new();
        let relay = tasks.spawn(accept(listener, passing));
        for stream in [false, true] {
            let asked =
                serde_json::json!({ "model": "mock-3", "stream": stream, "messages": [] }).to_string();
            let answer = client.text(Method::POST, PATH, asked.clone().into()).await.unwrap();
            assert!(answer.contains("completion_tokens"), "{answer}");
            let mut kept = Vec::new();
            file.reopen().unwrap().read_to_end(&mut kept).unwrap();
            let kept = String::from_utf8(kept).unwrap();
            assert!(kept.contains(&asked), "the request is on disk");
            let last = answer.trim_end().rsplit("\n\n").next().unwrap();
            assert!(kept.contains(last), "what was answered is on disk");
        }
        relay.abort();
    }
}
