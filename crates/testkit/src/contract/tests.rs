use serde_json::json;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let usual = [("ic-api-version", API_VERSION), ("x-request-id", "req_1111111111111111111111")];
    let pairs = usual.iter().chain(pairs);
    pairs.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

fn check(
    method: &str,
    path: &str,
    status: u16,
    extra: &[(&'static str, &'static str)],
    body: &str,
) -> Vec<String> {
    let headers = headers(extra);
    let answer = Observed { method, path, status, headers: &headers, body: body.as_bytes() };
    Contract::load().check(&answer, &["/console", "/assets/*"]).err().unwrap_or_default()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const STREAM: &[(&str, &str)] = &[
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
    ("ic-run-id", "run_1"),
    ("ic-thread-id", "t"),
];

fn error(kind: &str, code: &str) -> String {
    json!({"error": {"message": "Do that.", "type": kind, "param": null, "code": code}}).to_string()
}

#[track_caller]
fn assert_tells(violations: &[String], expected: &str) {
    assert!(violations.iter().any(|text| text.contains(expected)), "no {expected:?} in {violations:#?}");
}

#[test]
fn every_schema_of_the_document_compiles() {
    let contract = Contract::load();
    let names = contract.document["components"]["schemas"].as_object().unwrap().keys();
    for name in names {
        contract.violations_of(name, &Value::Null);
    }
    assert!(contract.operations().count() > 200);
    assert!(contract.operations().all(|(_, _, id)| !id.is_empty()));
}

#[test]
fn a_right_answer_passes_and_a_wrong_field_is_named() {
    let right = r#"{"ok":true,"service":"ingram","commit":"abc"}"#;
    assert_eq!(check("GET", "/health?x=1", 200, &[JSON], right), Vec::<String>::new());
    assert_tells(
        &check("GET", "/health", 200, &[JSON], r#"{"ok":1,"service":"ingram","commit":"a"}"#),
        "at \"/ok\"",
    );
    assert_tells(&check("GET", "/health", 200, &[JSON], r#"{"ok":true}"#), "service");
    assert_tells(&check("GET", "/health", 200, &[JSON], "no"), "no JSON");
    assert_tells(&check("GET", "/health", 201, &[JSON], right), "201 is not declared");
    assert_tells(&check("GET", "/health", 200, &[("content-type", "text/plain")], right), "content type");
}

#[test]
fn a_literal_segment_beats_a_parameter() {
    let routes = &Contract::load().routes;
    assert_eq!(
        routes.template("POST", "/v1/smiths/smt_1/runs/run_1/submit"),
        "/v1/smiths/{pid}/runs/{rid}/submit"
    );
    assert_eq!(routes.template("POST", "/v1/agents/import"), "/v1/agents/import");
    assert_eq!(routes.find("DELETE", "/health"), Match::OtherMethod);
    assert_eq!(routes.find("GET", "/v1/nothing/here/at/all"), Match::Nothing);
}

#[test]
fn errors_outside_the_list_of_an_operation_must_still_be_errors() {
    let body = error("api_error", "service_overloaded");
    let retry = ("retry-after", "1");
    assert!(check("GET", "/v1/smiths", 503, &[JSON, retry], &body).is_empty());
    assert_tells(&check("GET", "/v1/smiths", 503, &[JSON], &body), "Retry-After");
    assert_tells(&check("GET", "/v1/smiths", 500, &[JSON], "{}"), "error");
    assert_tells(
        &check("GET", "/v1/smiths", 500, &[JSON], &error("rate_limit_error", "internal_error")),
        "api_error",
    );
    assert_tells(
        &check("GET", "/v1/smiths", 500, &[JSON], &error("api_error", "no_such_code")),
        "/error/code",
    );
    assert_tells(&check("GET", "/v1/smiths", 418, &[JSON], &body), "418 is not declared");
}

#[test]
fn a_401_asks_for_a_bearer_and_a_405_names_what_is_allowed() {
    let body = error("authentication_error", "auth_required");
    assert!(check("GET", "/v1/smiths", 401, &[JSON, ("www-authenticate", "Bearer")], &body).is_empty());
    assert_tells(&check("GET", "/v1/smiths", 401, &[JSON], &body), "WWW-Authenticate");
    let body = error("invalid_request_error", "invalid_request");
    assert!(check("DELETE", "/v1/smiths", 405, &[JSON, ("allow", "GET")], &body).is_empty());
    assert_tells(&check("DELETE", "/v1/smiths", 405, &[JSON], &body), "without Allow");
}

#[test]
fn a_final_conflict_tells_clients_not_to_repeat() {
    let no_retry = ("x-should-retry", "false");
    let conflict = error("invalid_request_error", "smith_exists");
    assert!(check("POST", "/v1/smiths", 409, &[JSON, no_retry], &conflict).is_empty());
    assert_tells(&check("POST", "/v1/smiths", 409, &[JSON], &conflict), "x-should-retry");
    let running = error("invalid_request_error", "idempotency_in_progress");
    assert!(check("POST", "/v1/smiths", 409, &[JSON, ("retry-after", "1")], &running).is_empty());
    assert_tells(&check("POST", "/v1/smiths", 409, &[JSON], &running), "Retry-After");
}

#[test]
fn headers_are_on_every_answer() {
    let answer = Observed {
        method: "DELETE",
        path: "/v1/smiths/smt_1",
        status: 204,
        headers: &HeaderMap::new(),
        body: b"x",
    };
    let violations = Contract::load().check(&answer, &[]).unwrap_err();
    assert_tells(&violations, "IC-Api-Version");
    assert_tells(&violations, "X-Request-Id");
    assert_tells(&violations, "no body");
}

#[test]
fn unknown_routes_are_404_or_listed() {
    assert!(check("GET", "/console", 200, &[], "page").is_empty());
    assert!(check("GET", "/assets/a.js", 200, &[], "script").is_empty());
    assert!(check("GET", "/v1/none", 404, &[JSON], &error("invalid_request_error", "not_found")).is_empty());
    assert_tells(&check("GET", "/v1/none", 404, &[JSON], "{}"), "error");
    assert_tells(&check("GET", "/v1/none", 200, &[JSON], "{}"), "the contract has no GET /v1/none");
}

fn frame(seq: Option<u64>, event: &str, fields: &Value) -> String {
    let mut data = json!({"v": 1, "run_id": "run_1"});
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let id = seq.map(|seq| format!("id: {seq}\n")).unwrap_or_default();
    format!("{id}event: {event}\ndata: {data}\n\n")
}

fn started() -> String {
    frame(Some(0), "run.started", &json!({"smith_id": "smt_1", "thread_id": "t"}))
}

fn completed(seq: u64) -> String {
    frame(Some(seq), "run.completed", &json!({"stop_reason": "end_turn", "usage": {}}))
}

fn run_stream(body: &str) -> Vec<String> {
    check("POST", "/v1/smiths/smt_1/runs", 200, STREAM, &format!(": open\n\n{body}"))
}

#[test]
fn a_whole_run_passes() {
    let delta = frame(Some(1), "message.delta", &json!({"delta": "Hi"}));
    let message = frame(Some(2), "message.completed", &json!({"content": "Hi"}));
    let body = [started(), delta, message, completed(3)].concat();
    assert_eq!(run_stream(&body), Vec::<String>::new());
    let duplicate = json!({"smith_id": "s", "thread_id": "t", "status": "completed"});
    assert_eq!(run_stream(&frame(None, "run.duplicate", &duplicate)), Vec::<String>::new());
}

#[test]
fn broken_run_streams_are_told() {
    let delta = |seq| frame(Some(seq), "message.delta", &json!({"delta": "Hi"}));
    let cases = [
        (started() + &completed(2), "expected was 1"),
        (completed(1), "expected was 0"),
        (started(), "ends after Some(\"run.started\")"),
        (started() + &completed(1) + &delta(2), "message.delta after run.completed"),
        (started() + &delta(1) + &completed(2), "without message.completed"),
        (started() + &frame(Some(1), "run.cancelled", &json!({"event": "x"})), "payload key `event`"),
        (started() + &frame(Some(1), "run.cancelled", &json!({"run_id": "run_2"})), "another run"),
        (started() + &frame(Some(1), "run.cancelled", &json!({"v": 2})), "/v"),
        (started() + &frame(Some(1), "run.failed", &json!({"error": {}, "code": "run_failed"})), "no text"),
        (started() + &frame(None, "run.cancelled", &json!({})), "without an id"),
        (started() + &completed(1).replace('\n', "\r\n"), "carriage return"),
        (started() + completed(1).trim_end(), "inside a frame"),
    ];
    for (body, expected) in cases {
        assert_tells(&run_stream(&body), expected);
    }
    let bare = [("content-type", "text/event-stream")];
    let violations = check("POST", "/v1/smiths/smt_1/runs", 200, &bare, &(started() + &completed(1)));
    assert_tells(&violations, "cache-control");
    assert_tells(&violations, "no header ic-run-id");
    assert_tells(&violations, "no comment line");
}

#[test]
fn a_log_may_begin_anywhere_and_hold_a_pause() {
    let pause = frame(Some(4), "run.paused", &json!({"reason": "tool", "tool_calls": []}));
    let log = |query: &str, body: &str| {
        let path = format!("/v1/smiths/smt_1/runs/run_1/events{query}");
        check("GET", &path, 200, STREAM, &format!(": open\n\n{body}"))
    };
    assert_eq!(log("", &(pause + &completed(5))), Vec::<String>::new());
    assert_eq!(log("", ""), Vec::<String>::new());
    assert_tells(&log("", &started()), "ends after");
    assert_eq!(log("?follow=false", &started()), Vec::<String>::new());
}

#[test]
fn chat_chunks_end_with_done_and_responses_with_their_status() {
    let chunk =
        r#"data: {"id":"run_1","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}"#;
    let chat = |body: &str| {
        check(
            "POST",
            "/v1/chat/completions",
            200,
            &[("content-type", "text/event-stream")],
            &format!(": x\n\n{body}"),
        )
    };
    assert_eq!(chat(&format!("{chunk}\n\ndata: [DONE]\n\n")), Vec::<String>::new());
    assert_tells(&chat(&format!("{chunk}\n\n")), "ends after");
    let event = |number: u64, kind: &str| {
        format!("id: {number}\nevent: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number}}}\n\n")
    };
    let responses = |body: &str| {
        check(
            "POST",
            "/v1/responses",
            200,
            &[("content-type", "text/event-stream")],
            &format!(": x\n\n{body}"),
        )
    };
    assert_eq!(
        responses(&(event(0, "response.created") + &event(1, "response.completed"))),
        Vec::<String>::new()
    );
    assert_tells(
        &responses(&(event(0, "response.created") + &event(2, "response.completed"))),
        "id 2 after 0",
    );
}
