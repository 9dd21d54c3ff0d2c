use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap as Sent, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use domain::ids::Id as _;
use serde_json::json;
use vault::SystemClock;

use super::*;
use crate::testing::{call, ids, serve};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The requests that came in: path, headers, body.
type Received = Arc<Mutex<Vec<(String, Sent, Bytes)>>>;

/// Starts a tool that gives these answers one after the other, the last one again and again.
async fn tool(answers: Vec<(u16, Vec<u8>)>) -> (SocketAddr, Received) {
    let received = Received::default();
    let kept = Arc::clone(&received);
    let handler = async move |uri: Uri, headers: Sent, body: Bytes| -> Response {
        let mut kept = kept.lock().unwrap();
        kept.push((uri.path().to_owned(), headers, body));
        let (status, answer) = answers[(kept.len() - 1).min(answers.len() - 1)].clone();
        let location = [("location", "/elsewhere")];
        (StatusCode::from_u16(status).unwrap(), location, answer).into_response()
    };
    (serve(Router::new().fallback(post(handler))).await, received)
}

async fn answering(status: u16, answer: &str) -> (SocketAddr, Received) {
    tool(vec![(status, answer.as_bytes().to_vec())]).await
}

fn options() -> Options {
    Options { webhook_backoff: Duration::ZERO, ..Options::default() }
}

fn webhooks(policy: Policy, options: &Options) -> Webhooks {
    Webhooks::new(&Egress::new().unwrap(), policy, options, ids()).unwrap()
}

fn target(url: &str) -> Target {
    Target {
        url: url.to_owned(),
        secret: SigningSecret::parse(SECRET).unwrap(),
        timeout: Duration::from_secs(20),
        is_repeatable: false,
    }
}

fn repeatable(url: &str) -> Target {
    Target { is_repeatable: true, ..target(url) }
}

async fn ask(target: &Target) -> WebhookAnswer {
    webhooks(Policy::LocalToo, &options()).call(target, &call("pay", json!({"amount": 12.5})), None).await
}

#[track_caller]
fn failed(answer: &WebhookAnswer, status: Option<u16>, output: &str, trouble: &str) {
    assert!(answer.answer.is_error);
    let found = (answer.status, answer.answer.output.as_str(), answer.answer.trouble.as_deref());
    assert_eq!(found, (status, output, Some(trouble)));
}

#[tokio::test]
async fn the_request_tells_the_call_and_is_signed_both_ways() {
    let (address, received) = answering(200, "{\"paid\": true}").await;
    let mut call = call("pay", json!({"amount": 12.5, "to": "Zoë"}));
    call.person.external_id = Some("user-7".to_owned());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // The independent library holds the time against the clock of the machine.
    let ids = Ids::new(Arc::new(SystemClock));
    let egress = Egress::new().unwrap();
    let webhooks = Webhooks::new(&egress, Policy::LocalToo, &options(), ids).unwrap();
    let answer = webhooks.call(&target(&format!("http://{address}/tools/pay?v=2")), &call, Some(trace)).await;
    assert_eq!((answer.answer, answer.status), (Answer::text("{\"paid\": true}"), Some(200)));

    let (path, headers, body) = received.lock().unwrap().remove(0);
    assert_eq!(path, "/tools/pay");
    let (run, smith) = (call.run, call.smith);
    let expected = format!(
        "{{\"tool\":\"pay\",\"args\":{{\"amount\":12.5,\"to\":\"Zoë\"}},\"tool_call_id\":\"call_1\",\"run_id\":\"{run}\",\
         \"smith_id\":\"{smith}\",\"external_id\":\"user-7\",\"thread_id\":\"main\"}}"
    );
    assert_eq!(body, expected.as_bytes());
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("idempotency-key"), format!("{run}::call_1"));
    assert_eq!(header("webhook-id"), header("idempotency-key"));
    assert_eq!(header("traceparent"), trace);
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(&body, &headers).unwrap();
    let own = header("x-ic-signature");
    assert!(own.starts_with(&format!("t={},v1=", header("webhook-timestamp"))), "{own}");
}

#[tokio::test]
async fn what_is_not_known_is_null_and_no_trace_is_made_up() {
    let (address, received) = answering(204, "").await;
    let answer = ask(&target(&format!("http://{address}/"))).await;
    assert_eq!((answer.answer, answer.status), (Answer::text(""), Some(204)));
    let (_, headers, body) = received.lock().unwrap().remove(0);
    assert!(body.ends_with(b"\"external_id\":null,\"thread_id\":\"main\"}"));
    assert!(!headers.contains_key("traceparent"));
}

#[tokio::test]
async fn a_text_is_a_result_as_it_is() {
    let (address, _) = answering(201, "  All paid.\n").await;
    assert_eq!(ask(&target(&format!("http://{address}/"))).await.answer, Answer::text("  All paid.\n"));
}

#[tokio::test]
async fn another_status_is_an_error_whose_words_only_the_model_reads() {
    let (address, received) = answering(422, " The account of Zoë is closed. ").await;
    let answer = ask(&repeatable(&format!("http://{address}/"))).await;
    failed(
        &answer,
        Some(422),
        "The tool failed: it answered with HTTP status 422 and said: The account of Zoë is closed.",
        "it answered with HTTP status 422.",
    );
    assert_eq!(received.lock().unwrap().len(), 1, "another attempt would end the same way");
    let (address, _) = answering(400, &"ö".repeat(5_000)).await;
    let answer = ask(&target(&format!("http://{address}/"))).await;
    assert_eq!(answer.answer.output.matches('ö').count(), 500);
    let (address, _) = tool(vec![(400, vec![0xff, 0xfe, 1])]).await;
    let words = "The tool failed: it answered with HTTP status 400.";
    failed(
        &ask(&target(&format!("http://{address}/"))).await,
        Some(400),
        words,
        "it answered with HTTP status 400.",
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (address, received) = answering(307, "").await;
    let reason = "it answered with HTTP status 307, and redirects are not followed.";
    let answer = ask(&repeatable(&format!("http://{address}/"))).await;
    failed(&answer, Some(307), &format!("The tool failed: {reason}"), reason);
    assert_eq!(received.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_result_has_its_largest_size_and_is_text() {
    let limited = webhooks(Policy::LocalToo, &Options { webhook_max_bytes: 10, ..options() });
    for (answer, expected) in
        [("0123456789", None), ("0123456789a", Some("its result has more than 10 bytes."))]
    {
        let (address, _) = answering(200, answer).await;
        let answer =
            limited.call(&repeatable(&format!("http://{address}/")), &call("pay", json!({})), None).await;
        assert_eq!(answer.answer.trouble.as_deref(), expected);
    }
    let (address, received) = tool(vec![(200, vec![0xff, 0xfe])]).await;
    let answer = ask(&repeatable(&format!("http://{address}/"))).await;
    failed(
        &answer,
        Some(200),
        "It was carried out, but its result cannot be read: its result is no text in UTF-8.",
        "its result is no text in UTF-8.",
    );
    assert_eq!(received.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_the_same_key() {
    for passing in [500, 502, 503, 429] {
        let (address, received) =
            tool(vec![(passing, vec![]), (passing, vec![]), (200, b"ok".to_vec())]).await;
        let call = call("pay", json!({"amount": 12.5}));
        let (target, trace) = (repeatable(&format!("http://{address}/")), call.traceparent());
        let answer = webhooks(Policy::LocalToo, &options()).call(&target, &call, Some(&trace)).await;
        assert_eq!((answer.answer, answer.status), (Answer::text("ok"), Some(200)));
        let received = received.lock().unwrap();
        assert_eq!(received.len(), 3);
        for (_, headers, body) in received.iter() {
            assert_eq!(headers["idempotency-key"], received[0].1["idempotency-key"]);
            assert_eq!(headers["traceparent"], trace);
            assert_eq!(body, &received[0].2);
        }
    }
    let (address, received) = answering(500, "").await;
    let answer = ask(&repeatable(&format!("http://{address}/"))).await;
    assert_eq!((answer.answer.is_error, answer.status), (true, Some(500)));
    assert!(answer.answer.output.ends_with("Whether it was carried out is not known."));
    assert_eq!(received.lock().unwrap().len(), 3, "two more attempts and no further one");
}

#[tokio::test]
async fn what_may_have_an_effect_is_never_tried_again() {
    for passing in [500, 503, 429] {
        let (address, received) = answering(passing, "").await;
        assert!(ask(&target(&format!("http://{address}/"))).await.answer.is_error);
        assert_eq!(received.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_tool_that_is_too_slow_is_given_up() {
    let started = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&started);
    let slow = async move || {
        *counted.lock().unwrap() += 1;
        std::future::pending::<()>().await;
    };
    let address = serve(Router::new().fallback(slow)).await;
    let url = format!("http://{address}/");
    let patience = Duration::from_millis(50);
    let answer = ask(&Target { timeout: patience, ..target(&url) }).await;
    let words = "The tool failed: it did not answer in time. Whether it was carried out is not known.";
    failed(&answer, None, words, "it did not answer in time.");
    assert!(answer.duration >= patience);
    assert_eq!(*started.lock().unwrap(), 1);
    ask(&Target { timeout: patience, ..repeatable(&url) }).await;
    assert_eq!(*started.lock().unwrap(), 4);
}

#[tokio::test]
async fn a_tool_that_is_not_there_is_an_error() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = ask(&repeatable(&format!("http://{closed}/"))).await;
    failed(&answer, None, "The tool failed: no connection to its server.", "no connection to its server.");
    let answer = ask(&target("not an address")).await;
    assert!(answer.answer.is_error && answer.status.is_none());
}

#[tokio::test]
async fn an_address_that_the_guard_refuses_is_not_called_and_not_shown_to_the_model() {
    let (address, received) = answering(200, "inside").await;
    let public = webhooks(Policy::Public, &options());
    for url in [format!("http://{address}/"), format!("http://localhost:{}/", address.port())] {
        let answer = public.call(&repeatable(&url), &call("pay", json!({})), None).await;
        assert_eq!(answer.answer.output, "The tool failed: this server does not call its address.");
        assert!(answer.answer.trouble.unwrap().contains("a loopback address"), "{url}");
    }
    for host in ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "2852039166", "0.0.0.0"] {
        let answer = ask(&target(&format!("http://{host}/"))).await;
        assert_eq!(answer.answer.output, "The tool failed: this server does not call its address.", "{host}");
    }
    assert!(received.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_id_of_a_call_that_no_header_can_hold_is_written_so_that_one_can() {
    assert_eq!(printable("run_1::call 1%é\n"), "run_1::call%201%25%C3%A9%0A");
    let (address, received) = answering(200, "").await;
    let mut call = call("pay", json!({}));
    call.idempotency_key = format!("{}::call\r\nx-evil: 1", RunId::from_bytes([0; 16]));
    let target = target(&format!("http://{address}/"));
    webhooks(Policy::LocalToo, &options()).call(&target, &call, None).await;
    let (_, headers, _) = received.lock().unwrap().remove(0);
    assert!(headers["idempotency-key"].to_str().unwrap().ends_with("::call%0D%0Ax-evil:%201"));
    assert!(!headers.contains_key("x-evil"));
}

#[test]
fn waits_grow_and_differ() {
    let webhooks = webhooks(Policy::Public, &Options::default());
    let second = Duration::from_secs(1);
    for _ in 0..100 {
        assert!((second / 4..=second / 2).contains(&webhooks.wait(1)));
        assert!((second / 2..=second).contains(&webhooks.wait(2)));
    }
    assert_ne!(webhooks.wait(1), webhooks.wait(1));
}
