//! What the revisions of the protocol have different in each request: its `_meta` and its headers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::model::{
    ClientCapabilities, ElicitationCapability, FormElicitationCapability, Implementation, ProtocolVersion,
    RequestMetaObject, UrlElicitationCapability,
};
use serde_json::{Map, Value};

use super::session::Session;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// How a request is dressed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect<'a> {
    /// Revision 2026-07-28: each request says all there is to know.
    Stateless,
    /// The first request of an older revision.
    Handshake,
    /// A later request of an older revision.
    Session(&'a Session),
}

impl Dialect<'_> {
    /// Adds to the parameters of a request what the revision wants in its `_meta`.
    pub(crate) fn dress(
        self,
        mut params: Map<String, Value>,
        mut meta: Map<String, Value>,
    ) -> Map<String, Value> {
        if matches!(self, Self::Stateless) {
            meta.extend(stateless_meta());
        }
        if !meta.is_empty() {
            params.insert("_meta".to_owned(), Value::Object(meta));
        }
        params
    }

    /// Returns the headers of a request, without those that every request has.
    pub(crate) fn headers(self, method: &str, name: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        match self {
            Self::Stateless => {
                headers.insert(PROTOCOL_VERSION, HeaderValue::from_static(NEWEST));
                headers.extend(header_value(method).map(|value| (METHOD, value)));
                headers.extend(name.and_then(header_value).map(|value| (NAME, value)));
            }
            Self::Handshake => {}
            Self::Session(session) => {
                headers.extend(header_value(session.version()).map(|value| (PROTOCOL_VERSION, value)));
                headers.extend(session.id().cloned().map(|id| (SESSION_ID, id)));
            }
        }
        headers
    }

    /// Tells whether a stream that breaks off can be read on where the server names its events.
    pub(crate) const fn is_resumable(self) -> bool {
        matches!(self, Self::Session(_))
    }
}

/// The newest revision that this client speaks.
pub(crate) const NEWEST: &str = "2026-07-28";

fn stateless_meta() -> Map<String, Value> {
    let elicitation = ElicitationCapability::new()
        .with_form(FormElicitationCapability::default())
        .with_url(UrlElicitationCapability::default());
    let mut capabilities = ClientCapabilities::default();
    capabilities.elicitation = Some(elicitation);
    RequestMetaObject::with_client_context(ProtocolVersion::V_2026_07_28, client_info(), capabilities).0.0
}

/// Says who calls.
pub(crate) fn client_info() -> Implementation {
    Implementation::new("ingram", env!("CARGO_PKG_VERSION"))
}

/// Takes over a session's id, if it is one that a header can hold.
pub(crate) fn session_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(SESSION_ID)?;
    (!id.is_empty()).then(|| {
        let mut id = id.clone();
        id.set_sensitive(true);
        id
    })
}

/// Writes a text as the value of a header, wrapped in Base64 where it cannot stand for itself.
///
/// The form is that of the section "Value Encoding" of the transport's specification.
pub(crate) fn header_value(text: &str) -> Option<HeaderValue> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && text.trim() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if is_plain {
        return HeaderValue::from_str(text).ok();
    }
    HeaderValue::from_str(&format!("=?base64?{}?=", STANDARD.encode(text))).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stateless_request_says_all_there_is_to_know() {
        let mut meta = Map::new();
        meta.insert("progressToken".into(), json!(3));
        let params = Dialect::Stateless.dress(Map::new(), meta);
        assert_eq!(
            Value::Object(params),
            json!({"_meta": {
                "progressToken": 3,
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "ingram", "version": env!("CARGO_PKG_VERSION")},
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}},
            }})
        );
        assert!(Dialect::Handshake.dress(Map::new(), Map::new()).is_empty());
    }

    #[test]
    fn what_a_header_cannot_hold_is_wrapped() {
        let check = |text, expected: &str| assert_eq!(header_value(text).unwrap(), expected, "{text:?}");
        check("us-west1", "us-west1");
        check("a b", "a b");
        check("", "");
        check("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?=");
        check(" padded ", "=?base64?IHBhZGRlZCA=?=");
        check("line1\nline2", "=?base64?bGluZTEKbGluZTI=?=");
        check("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
    }
}
