//! The rules of the two wires, and what is answered where nothing is scripted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Body, Fault};
use super::{Called, Received, Script, Wire};

const NEWEST: &str = "2026-07-28";
const OLDER: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How a request has to be answered, and in which session.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) is_stateless: bool,
    /// A session that begins with it.
    pub(super) session: Option<String>,
}

impl Reply {
    fn stateless(answer: Answer) -> Self {
        Self { answer, is_stateless: true, session: None }
    }

    fn in_session(answer: Answer) -> Self {
        Self { answer, is_stateless: false, session: None }
    }
}

/// Decides what a request is answered.
pub(super) fn reply(script: &mut Script, wire: Wire, received: &Received) -> Reply {
    let meta = &received.body["params"]["_meta"];
    if meta["io.modelcontextprotocol/protocolVersion"].is_string() {
        if wire == Wire::Sessions {
            return Reply::in_session(error(400, -32_000, "Bad Request: no valid session id"));
        }
        return Reply::stateless(match stateless_rules(script, received) {
            Some(refusal) => refusal,
            None => scripted(script, received).unwrap_or_else(|| unscripted(script, received)),
        });
    }
    if wire == Wire::Stateless {
        let mut refusal = error(400, -32_022, "Unsupported protocol version");
        set_data(&mut refusal, json!({"supported": [NEWEST], "requested": OLDER[0]}));
        return Reply::stateless(refusal);
    }
    if received.rpc() == "initialize" {
        return initialize(script, received);
    }
    if let Some(refusal) = session_rules(script, received) {
        return Reply::in_session(refusal);
    }
    Reply::in_session(scripted(script, received).unwrap_or_else(|| unscripted(script, received)))
}

fn error(status: u16, code: i64, message: &str) -> Answer {
    Answer::error(code, message).fault(Fault::ErrorStatus(status))
}

fn set_data(answer: &mut Answer, value: Value) {
    if let Body::Error { data, .. } = &mut answer.body {
        *data = value;
    }
}

/// Checks that the headers of a stateless request say what its body says.
fn stateless_rules(script: &Script, received: &Received) -> Option<Answer> {
    let params = &received.body["params"];
    let mismatch = |what: &str| Some(error(400, -32_020, &format!("Header mismatch: {what}")));
    let meta = &params["_meta"];
    if received.header("mcp-protocol-version") != meta["io.modelcontextprotocol/protocolVersion"] {
        return mismatch("MCP-Protocol-Version");
    }
    if received.header("mcp-protocol-version") != NEWEST {
        let mut refusal = error(400, -32_022, "Unsupported protocol version");
        set_data(&mut refusal, json!({"supported": [NEWEST]}));
        return Some(refusal);
    }
    if received.header("mcp-method") != received.rpc() {
        return mismatch("Mcp-Method");
    }
    if !meta["io.modelcontextprotocol/clientCapabilities"].is_object() {
        return Some(error(400, -32_602, "The client's capabilities are missing."));
    }
    if received.rpc() == "tools/call" {
        if params["name"] != decoded(received.header("mcp-name")) {
            return mismatch("Mcp-Name");
        }
        let tool = script.tools.iter().find(|tool| params["name"] == tool.name());
        for (name, property) in tool?.definition["inputSchema"]["properties"].as_object()? {
            let Some(header) = property["x-mcp-header"].as_str() else { continue };
            let expected = match &params["arguments"][name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if decoded(received.header(&format!("mcp-param-{header}"))) != expected {
                return mismatch(header);
            }
        }
    }
    None
}

fn decoded(value: &str) -> String {
    let wrapped = value.strip_prefix("=?base64?").and_then(|value| value.strip_suffix("?="));
    match wrapped.and_then(|wrapped| STANDARD.decode(wrapped).ok()) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => value.to_owned(),
    }
}

fn session_rules(script: &Script, received: &Received) -> Option<Answer> {
    let session = received.header("mcp-session-id");
    if session.is_empty() {
        return Some(error(400, -32_000, "Bad Request: no valid session id"));
    }
    if !script.sessions.contains(session) {
        return Some(error(404, -32_001, "Session not found"));
    }
    if !OLDER.contains(&received.header("mcp-protocol-version")) {
        return Some(error(400, -32_000, "Bad Request: unsupported protocol version"));
    }
    None
}

fn initialize(script: &mut Script, received: &Received) -> Reply {
    if let Some(answer) = scripted(script, received) {
        return Reply::in_session(answer);
    }
    let wanted = received.body["params"]["protocolVersion"].as_str().unwrap_or(OLDER[0]);
    let version = script.version.clone().unwrap_or_else(|| wanted.to_owned());
    script.sessions_begun += 1;
    let session = format!("session-{}", script.sessions_begun);
    script.sessions.insert(session.clone());
    let answer = Answer::result(json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "fake", "version": "1"},
    }));
    Reply { answer: answer.as_json(), is_stateless: false, session: Some(session) }
}

fn scripted(script: &mut Script, received: &Received) -> Option<Answer> {
    let method = received.rpc();
    if method == "tools/call" {
        let tool = received.body["params"]["name"].as_str().unwrap_or_default();
        return script.next.get_mut(&format!("tools/call {tool}"))?.pop_front();
    }
    script.next.get_mut(method)?.pop_front()
}

fn unscripted(script: &Script, received: &Received) -> Answer {
    let params = &received.body["params"];
    match received.rpc() {
        "ping" => Answer::result(json!({})).as_json(),
        "server/discover" => Answer::result(json!({
            "supportedVersions": [NEWEST],
            "capabilities": {"tools": {}},
            "ttlMs": 0,
            "cacheScope": "public",
        }))
        .as_json(),
        "tools/list" => list(script, params).as_json(),
        "tools/call" => {
            let Some(tool) = script.tools.iter().find(|tool| params["name"] == tool.name()) else {
                return Answer::error(-32_602, "Unknown tool");
            };
            let is_resumed = !params["inputResponses"].is_null() || !params["requestState"].is_null();
            match &tool.answer.then {
                Some(then) if is_resumed => (**then).clone(),
                _ => tool.answer.clone(),
            }
        }
        _ => error(404, -32_601, "Method not found"),
    }
}

fn list(script: &Script, params: &Value) -> Answer {
    let start = params["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let size = script.page_size.unwrap_or(usize::MAX);
    let tools: Vec<_> =
        script.tools.iter().skip(start).take(size).map(|tool| tool.definition.clone()).collect();
    let end = start + tools.len();
    let mut result = Map::new();
    result.insert("tools".into(), Value::Array(tools));
    if end < script.tools.len() {
        result.insert("nextCursor".into(), end.to_string().into());
    }
    if let Some(ttl) = &script.ttl_ms {
        result.insert("ttlMs".into(), ttl.clone());
    }
    Answer::result(Value::Object(result))
}

/// Reads a call of a tool.
pub(super) fn called(received: &Received) -> Option<Called> {
    if received.rpc() != "tools/call" {
        return None;
    }
    let params = &received.body["params"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let session = received.header("mcp-session-id");
    Some(Called {
        tool: text(&params["name"]).unwrap_or_default(),
        args: params["arguments"].clone(),
        idempotency_key: text(&params["_meta"]["ingram-cloud/idempotency-key"]).unwrap_or_default(),
        traceparent: text(&params["_meta"]["traceparent"]).unwrap_or_default(),
        input_responses: params["inputResponses"].clone(),
        request_state: text(&params["requestState"]),
        session: (!session.is_empty()).then(|| session.to_owned()),
        headers: received.headers.clone(),
    })
}
