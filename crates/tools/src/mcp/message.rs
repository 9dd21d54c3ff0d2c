//! JSON-RPC: what is said to a server, and what it says.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value, json};

/// A message of a server.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// The answer to the request with this id. The id of an error is null where the server could not read it.
    Answer {
        id: Value,
        result: Result<Value, ErrorData>,
    },
    /// Something that the server wants to know.
    Request {
        id: Value,
        method: String,
    },
    Notification {
        method: String,
        params: Map<String, Value>,
    },
}

/// Reads a message, or several in an array as revision 2025-03-26 has it. None: it is not JSON-RPC.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<Message>> {
    match serde_json::from_slice(text).ok()? {
        Value::Array(messages) => messages.into_iter().map(message).collect(),
        one => Some(vec![message(one)?]),
    }
}

fn message(value: Value) -> Option<Message> {
    let Value::Object(mut fields) = value else { return None };
    let id = fields.remove("id");
    if let Some(Value::String(method)) = fields.remove("method") {
        let params = match fields.remove("params") {
            Some(Value::Object(params)) => params,
            _ => Map::new(),
        };
        return Some(match id {
            Some(id) => Message::Request { id, method },
            None => Message::Notification { method, params },
        });
    }
    let id = id.unwrap_or(Value::Null);
    if let Some(error) = fields.remove("error") {
        return Some(Message::Answer { id, result: Err(error_data(error)) });
    }
    let result = fields.remove("result")?;
    Some(Message::Answer { id, result: Ok(result) })
}

/// Reads an error; one without a code of its own counts as the server's internal error.
fn error_data(error: Value) -> ErrorData {
    serde_json::from_value(error)
        .unwrap_or_else(|_| ErrorData::new(ErrorCode::INTERNAL_ERROR, String::new(), None))
}

pub(crate) fn request(id: u64, method: &str, params: Map<String, Value>) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) fn notification(method: &str, params: Option<Value>) -> Value {
    match params {
        Some(params) => json!({"jsonrpc": "2.0", "method": method, "params": params}),
        None => json!({"jsonrpc": "2.0", "method": method}),
    }
}

/// Answers what a server wants to know: that this client is there, and nothing else.
pub(crate) fn reply(id: &Value, method: &str) -> Value {
    if method == "ping" {
        return json!({"jsonrpc": "2.0", "id": id, "result": {}});
    }
    let error = ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "This client does not offer that.", None);
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Option<Message> {
        parse(text.as_bytes()).map(|mut messages| messages.remove(0))
    }

    #[test]
    fn messages_are_told_apart() {
        let answer = only(r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#);
        assert_eq!(answer, Some(Message::Answer { id: json!(1), result: Ok(json!({"a": 1})) }));
        let ping = only(r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#);
        assert_eq!(ping, Some(Message::Request { id: json!("x"), method: "ping".into() }));
        let notice = only(r#"{"method":"notifications/progress","params":{"progress":1}}"#);
        assert!(matches!(notice, Some(Message::Notification { params, .. }) if params["progress"] == 1));
    }

    #[test]
    fn an_error_is_read_however_little_it_says() {
        let code = |text| match only(text) {
            Some(Message::Answer { id: Value::Null, result: Err(error) }) => error.code.0,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(r#"{"id":null,"error":{"code":-32022,"message":"no"}}"#), -32_022);
        assert_eq!(code(r#"{"error":"Not found"}"#), -32_603);
    }

    #[test]
    fn batches_are_read_and_nonsense_is_not() {
        assert_eq!(parse(br#"[{"id":1,"result":{}},{"method":"m"}]"#).map(|all| all.len()), Some(2));
        for text in ["", "null", "{}", "<html>", r#"[{"id":1}]"#, "7"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_server_that_asks_is_told_that_nothing_else_is_offered() {
        assert_eq!(reply(&json!(1), "ping")["result"], json!({}));
        assert_eq!(reply(&json!(1), "roots/list")["error"]["code"], -32_601);
    }
}
