//! The list of a server's tools.

use std::collections::{HashMap, HashSet};

use domain::tools::{Annotations, Manifest, ManifestTool};
use serde_json::{Map, Value};

use super::Server;
use super::dialect::{Dialect, NEWEST};
use super::link::{Link, Request};
use super::parameters::{self, Mirrored};
use super::patience::Patience;
use super::schema;
use super::trouble::Trouble;

/// The most pages that a list may have.
const MAX_PAGES: usize = 256;

/// The longest name of a tool, in characters: what the protocol recommends.
const MAX_NAME: usize = 128;

/// The list, and the arguments that are repeated in headers, by tool.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) manifest: Manifest,
    pub(crate) mirrored: HashMap<String, Vec<Mirrored>>,
}

/// Reads all pages of a server's list.
pub(crate) async fn list(
    link: &Link,
    server: &Server,
    dialect: Dialect<'_>,
    patience: &mut Patience,
) -> Result<Listing, Trouble> {
    let mut pages = Pages::new(link, dialect);
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let params = cursor.map(|cursor| ("cursor".to_owned(), cursor)).into_iter().collect();
        let request = Request::new(link, "tools/list", params);
        let page = link.ask(server, dialect, request, patience).await?.result;
        cursor = match page.get("nextCursor") {
            Some(Value::String(cursor)) => Some(Value::String(cursor.clone())),
            _ => None,
        };
        pages.add(page)?;
        if cursor.is_none() {
            return Ok(pages.listing);
        }
    }
    Err(Trouble::Nonsense("does not come to an end with the list of its tools"))
}

/// The pages so far.
struct Pages<'a> {
    link: &'a Link,
    is_stateless: bool,
    listing: Listing,
    names: HashSet<String>,
    bytes: usize,
}

impl<'a> Pages<'a> {
    fn new(link: &'a Link, dialect: Dialect<'_>) -> Self {
        let protocol = match dialect {
            Dialect::Session(session) => session.version(),
            Dialect::Stateless | Dialect::Handshake => NEWEST,
        };
        let manifest = Manifest { tools: Vec::new(), protocol: protocol.to_owned(), ttl_ms: None };
        Self {
            link,
            is_stateless: protocol == NEWEST,
            listing: Listing { manifest, mirrored: HashMap::new() },
            names: HashSet::new(),
            bytes: 0,
        }
    }

    fn add(&mut self, mut page: Map<String, Value>) -> Result<(), Trouble> {
        let Some(Value::Array(tools)) = page.remove("tools") else {
            return Err(Trouble::Nonsense("answered with a list of tools that is none"));
        };
        // A list is as fresh as its page that goes stale first. A negative time is no time.
        if let Some(ttl) = page.get("ttlMs").and_then(Value::as_f64) {
            let ttl = ttl.max(0.0) as u64;
            self.listing.manifest.ttl_ms =
                Some(self.listing.manifest.ttl_ms.map_or(ttl, |other| other.min(ttl)));
        }
        let options = &self.link.options;
        for tool in tools {
            let (tool, mirrored) = match read(tool, self.is_stateless) {
                Ok(read) => read,
                Err(LeftOut { name, reason }) => {
                    tracing::info!(tool = name, reason, "a tool of an MCP server is left out");
                    continue;
                }
            };
            if !self.names.insert(tool.name.clone()) {
                tracing::info!(
                    tool = tool.name,
                    reason = "its name is taken",
                    "a tool of an MCP server is left out"
                );
                continue;
            }
            self.bytes = self.bytes.saturating_add(size(&tool));
            if self.names.len() > options.max_tools {
                return Err(Trouble::Nonsense("offers more tools than this server keeps"));
            }
            if self.bytes > options.max_manifest_bytes {
                return Err(Trouble::Nonsense(
                    "offers a list of tools that is larger than this server keeps",
                ));
            }
            if !mirrored.is_empty() {
                self.listing.mirrored.insert(tool.name.clone(), mirrored);
            }
            self.listing.manifest.tools.push(tool);
        }
        Ok(())
    }
}

/// A tool that cannot be offered to a model.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    name: String,
    reason: &'static str,
}

fn read(tool: Value, is_stateless: bool) -> Result<(ManifestTool, Vec<Mirrored>), LeftOut> {
    let Value::Object(mut fields) = tool else {
        return Err(LeftOut { name: String::new(), reason: "it is no object" });
    };
    let mut text = |field: &str| match fields.remove(field) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let name = text("name").unwrap_or_default();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let name = name.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect();
        return Err(LeftOut { name, reason: "its name is none that a tool may have" });
    }
    let description = text("description").or_else(|| text("title")).filter(|text| !text.is_empty());
    let input_schema = fields.remove("inputSchema").unwrap_or(Value::Null);
    if let Err(unfit) = schema::check(&input_schema) {
        return Err(LeftOut { name, reason: unfit.as_str() });
    }
    // Older revisions do not know the keyword, and have no rules for it.
    let mirrored = if is_stateless { parameters::mirrored(&input_schema) } else { Ok(Vec::new()) };
    let Ok(mirrored) = mirrored else {
        return Err(LeftOut {
            name,
            reason: "its schema wants arguments in headers that no header can hold",
        });
    };
    let annotations = annotations(fields.get("annotations"));
    Ok((ManifestTool { name, description, input_schema, annotations }, mirrored))
}

/// Takes over what a tool says of itself. The protocol's defaults are no statements.
fn annotations(hints: Option<&Value>) -> Annotations {
    let says = |hint| hints.and_then(|hints| hints.get(hint)) == Some(&Value::Bool(true));
    Annotations {
        read_only: says("readOnlyHint"),
        idempotent: says("idempotentHint"),
        destructive: says("destructiveHint"),
    }
}

fn size(tool: &ManifestTool) -> usize {
    let description = tool.description.as_ref().map_or(0, String::len);
    tool.name.len() + description + tool.input_schema.to_string().len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_a_tool_says_counts() {
        let hints = json!({"readOnlyHint": true, "idempotentHint": "true", "destructiveHint": false});
        let expected = Annotations { read_only: true, ..Annotations::default() };
        assert_eq!(annotations(Some(&hints)), expected);
        assert_eq!(annotations(None), Annotations::default());
    }

    #[test]
    fn a_tool_that_cannot_be_offered_is_left_out_with_a_reason() {
        let reason = |tool| read(tool, true).unwrap_err().reason;
        let schema = json!({"type": "object"});
        assert_eq!(reason(json!("pay")), "it is no object");
        assert_eq!(reason(json!({"inputSchema": schema})), "its name is none that a tool may have");
        assert_eq!(
            reason(json!({"name": "a\nb", "inputSchema": schema})),
            "its name is none that a tool may have"
        );
        assert_eq!(reason(json!({"name": "a".repeat(129)})), "its name is none that a tool may have");
        assert_eq!(reason(json!({"name": "pay"})), "its arguments are no object");
    }

    #[test]
    fn marks_for_headers_mean_nothing_to_older_revisions() {
        let marked = json!({"name": "a", "inputSchema": {"type": "object", "x-mcp-header": "A"}});
        assert!(read(marked.clone(), true).is_err());
        assert!(read(marked, false).is_ok());
    }

    #[test]
    fn a_tool_without_a_description_has_its_title() {
        let tool = json!({"name": "a", "title": "Pay", "inputSchema": {"type": "object"}});
        assert_eq!(read(tool, true).unwrap().0.description.as_deref(), Some("Pay"));
    }
}
