//! MCP servers that a request brings along: entries of `tools` of the type `mcp`.

use std::collections::{BTreeMap, HashSet};

use domain::tools::{Consent, RequestServer, ToolFilter, is_name};
use domain::{Code, Problem};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tools::mcp::is_free_header;

use crate::app::App;
use crate::native::addresses;

/// How many servers one request may bring along.
const MOST_SERVERS: usize = 16;
/// How many headers one server may be called with.
const MOST_HEADERS: usize = 32;
/// Bytes of all its headers together.
const MOST_HEADER_BYTES: usize = 16 * 1024;
/// How many tools a filter may name.
const MOST_NAMES: usize = 256;
const LONGEST_NAME: usize = 255;

/// Reads the servers among the tools of a request, which are given with their places there.
pub(super) fn servers<'a>(
    app: &App,
    tools: impl Iterator<Item = (usize, &'a Value)>,
) -> Result<Vec<RequestServer>, Problem> {
    let mut read: Vec<RequestServer> = Vec::new();
    let mut labels = HashSet::new();
    for (index, tool) in tools {
        if read.len() >= MOST_SERVERS {
            let message = format!("`tools` may hold at most {MOST_SERVERS} MCP servers.");
            return Err(Problem::invalid_input("tools", message));
        }
        let at = format!("tools[{index}]");
        let server = server(tool, &at)?;
        addresses::check(app, &server.url, "server_url", &format!("{at}.server_url"))?;
        if !labels.insert(server.label.clone()) {
            let message = "Two servers have the same label, so that their tools could not be told apart.";
            return Err(Problem::invalid_input(format!("{at}.server_label"), message));
        }
        read.push(server);
    }
    Ok(read)
}

fn server(tool: &Value, at: &str) -> Result<RequestServer, Problem> {
    let given = |key: &str| tool.get(key).filter(|value| !value.is_null());
    let wrong = |key: &str, message: &str| Problem::invalid_input(format!("{at}.{key}"), message);
    if given("connector_id").is_some() {
        let message = "There are no connectors here. Give the `server_url` of an MCP server, or register it with the project.";
        return Err(Problem::new(Code::UnsupportedTools, message).at(format!("{at}.connector_id")));
    }
    let label = given("server_label").and_then(Value::as_str).filter(|label| is_name(label));
    let Some(label) = label else {
        let message = "`server_label` must be a name of 1 to 64 letters, digits, `_` and `-`.";
        return Err(wrong("server_label", message));
    };
    let url = given("server_url").and_then(Value::as_str).map(str::trim).filter(|url| !url.is_empty());
    let Some(url) = url else {
        let message = "`server_url` must be the address of an MCP server.";
        return Err(Problem::new(Code::UrlRequired, message).at(format!("{at}.server_url")));
    };
    Ok(RequestServer {
        label: label.to_owned(),
        url: url.to_owned(),
        headers: headers(tool, at)?,
        allowed: given("allowed_tools")
            .map(|value| filter(value, &format!("{at}.allowed_tools")))
            .transpose()?,
        consent: consent(given("require_approval"), &format!("{at}.require_approval"))?,
    })
}

/// Reads what a server is called with: `headers`, and the token of `authorization`.
fn headers(tool: &Value, at: &str) -> Result<BTreeMap<String, String>, Problem> {
    let given = |key: &str| tool.get(key).filter(|value| !value.is_null());
    let mut read = BTreeMap::new();
    let mut bytes = 0_usize;
    let mut add = |name: &str, value: &str, at: String| {
        let parsed = name.parse::<HeaderName>().ok().filter(is_free_header);
        let Some(parsed) = parsed else {
            let message = "Not a header that can be sent: its name is none, or one of the protocol's own.";
            return Err(Problem::invalid_input(at, message));
        };
        if HeaderValue::from_str(value).is_err() {
            return Err(Problem::invalid_input(at, "A header holds printable characters only."));
        }
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len());
        if bytes > MOST_HEADER_BYTES || read.len() >= MOST_HEADERS {
            let message = format!(
                "A server may be called with {MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes together at most."
            );
            return Err(Problem::invalid_input(at, message));
        }
        if read.insert(parsed.as_str().to_owned(), value.to_owned()).is_some() {
            return Err(Problem::invalid_input(at, "A header is given twice."));
        }
        Ok(())
    };
    if let Some(headers) = given("headers") {
        let expected = || {
            Problem::invalid_input(
                format!("{at}.headers"),
                "`headers` must be an object whose values are texts.",
            )
        };
        for (name, value) in headers.as_object().ok_or_else(expected)? {
            // The name is the caller's own word, and may be a secret by mistake: the message does not hold it.
            add(name, value.as_str().ok_or_else(expected)?, format!("{at}.headers"))?;
        }
    }
    if let Some(token) = given("authorization") {
        let at = format!("{at}.authorization");
        let token = token.as_str().filter(|token| !token.is_empty());
        let expected = || Problem::invalid_input(at.clone(), "`authorization` must be a token, as a text.");
        add("authorization", &format!("Bearer {}", token.ok_or_else(expected)?), at.clone())?;
    }
    Ok(read)
}

/// Reads which tools are meant: a list of names, or an object that may narrow down to those that only read.
fn filter(value: &Value, at: &str) -> Result<ToolFilter, Problem> {
    let wrong = || {
        let message = format!(
            "Must be a list of at most {MOST_NAMES} names of tools, or an object with `tool_names` and `read_only`."
        );
        Problem::invalid_input(at, message)
    };
    let names = |value: &Value| {
        let names = value.as_array().filter(|names| names.len() <= MOST_NAMES).ok_or_else(wrong)?;
        let name = |name: &Value| name.as_str().filter(|name| name.len() <= LONGEST_NAME).map(str::to_owned);
        names.iter().map(|value| name(value).ok_or_else(wrong)).collect::<Result<Vec<_>, _>>()
    };
    if value.is_array() {
        return Ok(ToolFilter { names: Some(names(value)?), read_only: None });
    }
    let fields = value.as_object().ok_or_else(wrong)?;
    let given = |key: &str| fields.get(key).filter(|value| !value.is_null());
    Ok(ToolFilter {
        names: given("tool_names").map(names).transpose()?,
        read_only: given("read_only").map(|value| value.as_bool().ok_or_else(wrong)).transpose()?,
    })
}

fn consent(value: Option<&Value>, at: &str) -> Result<Consent, Problem> {
    let Some(value) = value else { return Ok(Consent::Always) };
    let some = |key: &str| {
        let given = value.get(key).filter(|value| !value.is_null());
        given.map(|value| filter(value, &format!("{at}.{key}"))).transpose()
    };
    match value.as_str() {
        Some("always") => Ok(Consent::Always),
        Some("never") => Ok(Consent::Never),
        None if value.is_object() => Ok(Consent::Some { always: some("always")?, never: some("never")? }),
        _ => {
            let message =
                "`require_approval` must be `always`, `never`, or an object with filters of these names.";
            Err(Problem::invalid_input(at, message))
        }
    }
}

/// Shows a server of a request again, without what it is called with.
pub(super) fn shown(tool: &Value) -> Value {
    let given = |key: &str| tool.get(key).cloned().unwrap_or_default();
    json!({
        "type": "mcp",
        "server_label": given("server_label"),
        "server_description": given("server_description"),
        "server_url": tool.get("server_url").and_then(Value::as_str).map(origin),
        "allowed_tools": given("allowed_tools"),
        "require_approval": tool.get("require_approval").filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!("always")),
        "headers": null,
    })
}

/// Shows where an address leads to. What stands behind the host may hold a secret.
fn origin(url: &str) -> String {
    let Ok(url) = egress::Url::parse(url.trim()) else { return "<redacted>".to_owned() };
    let origin = url.origin().ascii_serialization();
    if url.path() == "/" && url.query().is_none() { origin } else { format!("{origin}/<redacted>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tool: &Value) -> Result<RequestServer, Problem> {
        server(tool, "tools[0]")
    }

    fn with(key: &str, value: Value) -> Value {
        let mut tool =
            json!({"type": "mcp", "server_label": "crm", "server_url": "https://mcp.example/a?key=hush"});
        tool[key] = value;
        tool
    }

    #[test]
    fn a_server_is_read_in_every_form_that_clients_send() {
        let plain = read(&with("allowed_tools", Value::Null)).unwrap();
        assert_eq!((plain.allowed, plain.consent), (None, Consent::Always));
        assert_eq!(read(&with("require_approval", json!("never"))).unwrap().consent, Consent::Never);
        let named = |names: &[&str]| ToolFilter {
            names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            read_only: None,
        };
        let some = read(&with("require_approval", json!({"never": {"tool_names": ["a"]}, "always": null})));
        assert_eq!(some.unwrap().consent, Consent::Some { always: None, never: Some(named(&["a"])) });
        assert_eq!(read(&with("allowed_tools", json!(["a"]))).unwrap().allowed, Some(named(&["a"])));
        let read_only = read(&with("allowed_tools", json!({"read_only": true}))).unwrap().allowed;
        assert_eq!(read_only, Some(ToolFilter { names: None, read_only: Some(true) }));
        let headers =
            read(&with("headers", json!({"X-Key": "k", "Authorization": "Basic b"}))).unwrap().headers;
        assert_eq!(headers.get("authorization").map(String::as_str), Some("Basic b"));
        let token = read(&with("authorization", json!("tok"))).unwrap().headers;
        assert_eq!(token.get("authorization").map(String::as_str), Some("Bearer tok"));
    }

    #[test]
    fn what_is_wrong_with_a_server_is_named_by_its_place() {
        let refused = |key: &str, value: Value| {
            let problem = read(&with(key, value)).unwrap_err();
            assert!(!problem.message.contains("hush"), "{problem:?}");
            problem.param.unwrap()
        };
        for label in [json!(null), json!(""), json!("a b"), json!("x".repeat(65))] {
            assert_eq!(refused("server_label", label), "tools[0].server_label");
        }
        assert_eq!(refused("server_url", json!(7)), "tools[0].server_url");
        assert_eq!(refused("connector_id", json!("connector_x")), "tools[0].connector_id");
        for headers in [
            json!([]),
            json!({"a": 1}),
            json!({"a b": "x"}),
            json!({"Host": "hush"}),
            json!({"Mcp-Session-Id": "hush"}),
            json!({"a": "x\ny"}),
            json!({"A": "x", "a": "y"}),
            json!({"a": "x".repeat(MOST_HEADER_BYTES)}),
            (0..33).map(|number| (format!("a{number}"), json!(""))).collect(),
        ] {
            assert_eq!(refused("headers", headers), "tools[0].headers");
        }
        assert_eq!(refused("authorization", json!("")), "tools[0].authorization");
        for tools in [json!("a"), json!([7]), json!({"read_only": 1}), json!(vec!["a"; MOST_NAMES + 1])] {
            assert_eq!(refused("allowed_tools", tools), "tools[0].allowed_tools");
        }
        assert_eq!(refused("require_approval", json!("perhaps")), "tools[0].require_approval");
        assert_eq!(refused("require_approval", json!({"never": 7})), "tools[0].require_approval.never");
    }

    #[test]
    fn a_server_is_shown_again_without_what_it_is_called_with() {
        let mut tool = with("headers", json!({"X-Key": "hush"}));
        tool["authorization"] = json!("hush");
        let shown = shown(&tool);
        assert_eq!(shown["server_url"], "https://mcp.example/<redacted>");
        assert_eq!(shown["require_approval"], "always");
        assert!(!shown.to_string().contains("hush"), "{shown}");
        assert_eq!(origin("https://mcp.example"), "https://mcp.example");
    }
}
