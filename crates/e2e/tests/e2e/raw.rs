//! Requests that no well-behaved client sends, written byte by byte.

use e2e::Server;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use testkit::contract::{Contract, Observed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request that is written as it is told.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// What came back, already held against the contract.
pub(crate) struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, self.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
    }
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let headers = [("host", "localhost"), ("ic-api-version", "2026-05-01"), ("connection", "close")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { method: method.to_owned(), path: path.to_owned(), headers }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    async fn open(&self, server: &Server) -> TcpStream {
        let address = server.base_url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.expect("the head can be sent");
        stream
    }

    /// Sends the request without a body.
    pub(crate) async fn send(&self, server: &Server) -> Answer {
        self.answer(self.open(server).await).await
    }

    /// Sends a body of this text and goes away before any answer.
    pub(crate) async fn send_and_leave(&self, server: &Server, body: &str) {
        let mut stream = self.begin(server, body.len() as u64).await;
        stream.write_all(body.as_bytes()).await.expect("the body can be sent");
    }

    /// Sends a body in chunks, without saying how long it is. The server may answer before the end of it.
    pub(crate) async fn send_chunks(&self, server: &Server, chunks: &[&str]) -> Answer {
        let mut stream = self.clone().header("transfer-encoding", "chunked").open(server).await;
        for chunk in chunks {
            let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
            stream.write_all(chunk.as_bytes()).await.expect("the chunk can be sent");
        }
        self.answer(stream).await
    }

    /// Sends all of a body, and reads the answer then.
    pub(crate) async fn send_text(&self, server: &Server, body: &str) -> Answer {
        let mut stream = self.begin(server, body.len() as u64).await;
        stream.write_all(body.as_bytes()).await.expect("all of the body can be sent");
        self.answer(stream).await
    }

    /// Says that a body of this length comes, and waits for the answer to that.
    pub(crate) async fn announce(&self, server: &Server, length: u64) -> Answer {
        self.answer(self.begin(server, length).await).await
    }

    /// Says that a body of this length comes, and leaves it at that.
    async fn begin(&self, server: &Server, length: u64) -> TcpStream {
        self.clone().header("content-length", &length.to_string()).open(server).await
    }

    /// Says that a body of this length comes, and waits until the server asks for it.
    pub(crate) async fn wait_for_its_turn(&self, server: &Server, length: u64) -> TcpStream {
        let mut stream = self.clone().header("expect", "100-continue").begin(server, length).await;
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.expect("the server asks for the body");
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream
    }

    async fn answer(&self, mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        // A server that closes before it has read everything may reset the connection behind its answer.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the answer has a head");
        let (head, body) = bytes.split_at(end);
        let body = body.get(4..).unwrap_or_default();
        let head = String::from_utf8(head.to_vec()).expect("the head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.expect("the answer has a status");
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name of a header");
                (name, value.parse::<HeaderValue>().expect("a value of a header"))
            })
            .collect();
        let observed = Observed { method: &self.method, path: &self.path, status, headers: &headers, body };
        assert_eq!(Contract::load().check(&observed, &[]), Ok(()), "{} {}: {head}", self.method, self.path);
        Answer { status, body: serde_json::from_slice(body).unwrap_or_default() }
    }
}
