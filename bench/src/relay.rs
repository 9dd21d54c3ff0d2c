//! The least that a durable relay costs on this machine: it passes a request on to the mock and the answer back, and keeps both
//! on disk as the server does: the request while the model is called, of the answer nothing is passed on before it is kept, and
//! what waits together is kept together.
//!
//! It knows nobody and decides nothing. What it adds is what the machine takes for one more process on the way, and its disk.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

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
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::client::{Client, Connection};

/// Space that is written over, as the server's log is: a file that grows takes longer to keep.
const SPACE: usize = 64 << 20;
/// Records that may wait to be kept.
const WAITING: usize = 4_096;

/// A relay in a process of its own, which ends with this one: its standard input is closed then.
pub(crate) struct Relay {
    process: Process,
    pub(crate) client: Client,
}

struct Process(Child);

impl Relay {
    pub(crate) fn start(upstream: SocketAddr, folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--relay").arg(upstream.to_string()).arg("--folder").arg(folder);
        let mut process = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        let mut address = String::new();
        BufReader::new(process.0.stdout.take().context("no output")?).read_line(&mut address)?;
        let address = address.trim_end().parse().context("the relay does not tell where it is")?;
        Ok(Self { process, client: Client::new(address)? })
    }

    /// Ends it and waits until it has ended.
    pub(crate) fn stop(self) {
        drop(self.process);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What goes on in that process. It tells where it is on its standard output, and ends when its standard input does.
pub(crate) async fn serve(upstream: SocketAddr, folder: &Path) -> anyhow::Result<()> {
    let (records, log) = mpsc::channel(WAITING);
    let file = space(tempfile::tempfile_in(folder)?)?;
    std::thread::spawn(move || keep_all(file, log));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let passing = Passing { upstream: Client::new(upstream)?, records, tasks: TaskTracker::new() };
    let (left, alone) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = left.send(());
    });
    tokio::select! {
        ended = accept(listener, Arc::new(passing)) => ended,
        _ = alone => Ok(()),
    }
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
    records: mpsc::Sender<Record>,
    tasks: TaskTracker,
}

/// Something to be kept, and who waits for that.
struct Record {
    bytes: Bytes,
    kept: oneshot::Sender<()>,
}

impl Passing {
    /// Returns once it is on disk.
    async fn keep(&self, bytes: Bytes) -> anyhow::Result<()> {
        let (kept, done) = oneshot::channel();
        self.records.send(Record { bytes, kept }).await?;
        Ok(done.await?)
    }
}

fn space(mut file: File) -> std::io::Result<File> {
    file.write_all(&vec![0; SPACE])?;
    file.sync_all()?;
    file.rewind()?;
    Ok(file)
}

/// Keeps what waits together with one write and one wait for the disk. Where that fails, those who wait are left without a word.
fn keep_all(mut file: File, mut log: mpsc::Receiver<Record>) {
    let mut bytes = Vec::new();
    while let Some(first) = log.blocking_recv() {
        let records: Vec<Record> =
            std::iter::once(first).chain(std::iter::from_fn(|| log.try_recv().ok())).collect();
        bytes.clear();
        for record in &records {
            bytes.extend_from_slice(&record.bytes);
        }
        if append(&mut file, &bytes).is_ok() {
            for record in records {
                // Whoever waited may have gone.
                let _ = record.kept.send(());
            }
        }
    }
}

/// Writes where it left off, and from the start again before the space ends.
fn append(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    if file.stream_position()? > (SPACE / 2) as u64 {
        file.rewind()?;
    }
    file.write_all(bytes)?;
    file.sync_data()
}

/// An answer on its way.
struct Answer {
    body: Incoming,
    connection: Connection,
    /// The keeping of the request, until it is known to be over.
    request: Option<JoinHandle<anyhow::Result<()>>>,
}

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

async fn pass(passing: Arc<Passing>, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let asked = request.into_body().collect().await?.to_bytes();
    let (keeping, kept) = (Arc::clone(&passing), asked.clone());
    let request = passing.tasks.spawn(async move { keeping.keep(kept).await });
    let mut connection = passing.upstream.connection().await?;
    let response = connection.send_request(passing.upstream.request(Method::POST, &path, asked)?).await?;
    let (head, body) = response.into_parts();
    let answer = Answer { body, connection, request: Some(request) };
    let parts = stream::try_unfold(Some(answer), move |answer| part(Arc::clone(&passing), answer));
    Ok(Response::from_parts(head, StreamBody::new(parts).boxed_unsync()))
}

/// Takes what has come of an answer, keeps it and passes it on. An answer that breaks on the way is cut, which counts as a failure.
async fn part(
    passing: Arc<Passing>,
    answer: Option<Answer>,
) -> anyhow::Result<Option<(Frame<Bytes>, Option<Answer>)>> {
    let Some(mut answer) = answer else { return Ok(None) };
    // The part before is written first, and not together with this one.
    tokio::task::yield_now().await;
    let mut part = BytesMut::new();
    let mut next = answer.body.frame().await;
    let has_ended = loop {
        match next {
            Some(frame) => part.extend(frame?.into_data().ok()),
            None => break true,
        }
        match answer.body.frame().now_or_never() {
            Some(frame) => next = frame,
            None => break false,
        }
    };
    if let Some(request) = answer.request.take() {
        request.await??;
    }
    let part = part.freeze();
    if !part.is_empty() {
        passing.keep(part.clone()).await?;
    }
    if !has_ended {
        return Ok(Some((Frame::data(part), Some(answer))));
    }
    passing.upstream.keep(answer.connection);
    Ok((!part.is_empty()).then_some((Frame::data(part), None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Mock, PATH};

    #[tokio::test]
    async fn a_relay_passes_nothing_on_that_it_has_not_kept() {
        let mock = Mock::start().await.unwrap();
        let (records, mut log) = mpsc::channel(WAITING);
        let upstream = Client::new(mock.address()).unwrap();
        let passing = Arc::new(Passing { upstream, records, tasks: TaskTracker::new() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(listener.local_addr().unwrap()).unwrap();
        let relay = TaskTracker::new().spawn(accept(listener, passing));
        for stream in [false, true] {
            let asked =
                serde_json::json!({ "model": "mock-3", "stream": stream, "messages": [] }).to_string();
            let request = client.request(Method::POST, PATH, asked.clone().into()).unwrap();
            let (response, _lease) = client.send(request).await.unwrap();
            let mut body = response.into_body();
            let request = log.recv().await.unwrap();
            assert_eq!(request.bytes, asked);
            assert!(body.frame().now_or_never().is_none(), "the request is not on disk yet");
            request.kept.send(()).unwrap();
            let (mut kept, mut passed) = (Vec::new(), Vec::new());
            loop {
                tokio::select! {
                    biased;
                    Some(record) = log.recv() => {
                        assert!(body.frame().now_or_never().is_none(), "the part is not on disk yet");
                        kept.extend_from_slice(&record.bytes);
                        record.kept.send(()).unwrap();
                        passed.extend_from_slice(body.frame().await.unwrap().unwrap().data_ref().unwrap());
                    }
                    end = body.frame() => {
                        assert!(end.is_none());
                        break;
                    }
                }
            }
            assert_eq!(kept, passed);
            assert!(String::from_utf8(passed).unwrap().contains("completion_tokens"));
        }
        relay.abort();
    }

    #[test]
    fn what_waits_together_is_kept_together() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (records, log) = mpsc::channel(WAITING);
        let mut waiting = Vec::new();
        for word in ["one", "two"] {
            let (kept, done) = oneshot::channel();
            records.try_send(Record { bytes: word.into(), kept }).unwrap();
            waiting.push(done);
        }
        drop(records);
        keep_all(space(file.reopen().unwrap()).unwrap(), log);
        assert!(waiting.into_iter().all(|mut done| done.try_recv().is_ok()));
        assert!(std::fs::read(file.path()).unwrap().starts_with(b"onetwo"));
    }
}
