//! Archives that nobody reads, and archives that are cut.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Engine, Server, Setup, Smith};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::unzipped;

const LARGE: usize = 3_500_000;

/// What somebody says with a large file that cannot be made smaller.
pub(crate) fn noise() -> Value {
    let mut bytes = vec![0_u8; LARGE];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut bytes);
    let file = json!({"type": "file", "filename": "noise.bin", "file_data": STANDARD.encode(bytes)});
    json!([{"role": "user", "content": [{"type": "text", "text": "Hello"}, file]}])
}

/// A smith with more in a file than lies between a server and a client that does not read.
async fn large(server: &Server) -> Smith {
    let smith = server.smith(json!({"model": "scripted/demo"})).await;
    let body = json!({"input": noise(), "stream": true});
    // The file is stored with the run, before its stream begins; what becomes of the run does not matter.
    server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await.take(1).await;
    smith
}

/// Begins to export, and reads no further than the first line of the head.
pub(crate) async fn begun(server: &Server, smith: &Smith) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let address = server.base_url().trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nic-api-version: 2026-05-01\r\n\r\n",
        smith.path("/export"),
        server.admin_token()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn archives_at_once_are_bounded_and_a_reader_that_goes_away_frees_its_place() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).with_variable("INGRAM_HTTP_MAX_EXPORTS", "1").start().await;
        let smith = large(&server).await;
        let unread = begun(&server, &smith).await;
        let path = smith.path("/export");
        server.admin().get(&path).await.expect_error(503, "service_overloaded");
        drop(unread);
        let mut answer = server.admin().get(&path).await;
        while answer.status == 503 {
            answer = server.admin().get(&path).await;
        }
        assert!(unzipped(&answer).values().any(|file| file.len() == LARGE));
    }
}

#[tokio::test]
async fn an_archive_that_is_cut_does_not_look_complete() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine).start().await;
        let smith = large(&server).await;
        let mut unread = begun(&server, &smith).await;
        server.admin().post(&smith.path("/erase"), &json!({})).await.expect(200);
        let mut rest = Vec::new();
        // However the connection ends: neither the body nor the archive in it comes to its end.
        let _ = unread.read_to_end(&mut rest).await;
        assert!(!rest.ends_with(b"0\r\n\r\n"));
        let directory = b"PK\x05\x06";
        assert!(!rest.windows(directory.len()).any(|part| part == directory));
    }
}
