//! UI templates: HTML that a design brings along, and what is said about it.

use serde_json::{Map, Value, json};

use crate::problems::Problem;

/// How many templates one design may have.
pub const MOST_TEMPLATES: usize = 32;
/// Bytes of what is said about one template, as JSON.
pub const METADATA_BYTES: usize = 32 * 1024;
/// Characters of a template's name.
pub const LONGEST_NAME: usize = 63;

/// The fields that are kept, in the order in which they are shown.
const FIELDS: &[&str] = &["csp", "permissions", "prefers_border", "domain", "tool"];
const DOMAINS: &[&str] = &["connectDomains", "resourceDomains", "frameDomains", "baseUriDomains"];
/// Characters of `domain`, as many as a host's name can have.
const LONGEST_DOMAIN: usize = 253;

/// What is said about a template. Values are kept as they came: clients compare them as text.
#[derive(Clone, Debug, PartialEq)]
pub struct UiTemplate {
    pub name: String,
    fields: Map<String, Value>,
}

impl UiTemplate {
    /// Reads the `metadata` of an upload. Keys that mean nothing are left out.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > METADATA_BYTES {
            return Err(refuse("metadata", &format!("at most {METADATA_BYTES} bytes long")));
        }
        let Ok(Value::Object(metadata)) = serde_json::from_str(text) else {
            return Err(refuse("metadata", "the JSON text of an object"));
        };
        let name = metadata.get("name").and_then(Value::as_str).filter(|name| is_name(name));
        let Some(name) = name else {
            let expected = format!(
                "a small letter or digit, followed by small letters, digits, `_` and `-`: {LONGEST_NAME} characters at most"
            );
            return Err(refuse("metadata.name", &expected));
        };
        let mut fields = Map::new();
        for field in FIELDS {
            let Some(value) = metadata.get(*field) else { continue };
            if !value.is_null() {
                check(field, value)?;
            }
            fields.insert((*field).to_owned(), value.clone());
        }
        Ok(Self { name: name.to_owned(), fields })
    }

    /// Returns the record of the template, as a design holds it and the API shows it.
    pub fn record(&self, content_hash: &str) -> Value {
        let mut record = Map::new();
        record.insert("name".to_owned(), json!(self.name));
        record.insert("content_hash".to_owned(), json!(content_hash));
        record.extend(self.fields.clone());
        Value::Object(record)
    }
}

/// Finds the record of a name in a design.
pub fn find<'a>(records: &'a [Value], name: &str) -> Option<&'a Value> {
    records.iter().find(|record| name_of(record) == Some(name))
}

pub fn name_of(record: &Value) -> Option<&str> {
    record.get("name").and_then(Value::as_str)
}

pub fn content_hash_of(record: &Value) -> Option<&str> {
    record.get("content_hash").and_then(Value::as_str)
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= LONGEST_NAME
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().all(|byte| is_plain(byte) || matches!(byte, b'_' | b'-'))
}

fn check(field: &str, value: &Value) -> Result<(), Problem> {
    let at = format!("metadata.{field}");
    match field {
        "csp" => check_csp(&at, value),
        "permissions" if !value.is_object() => Err(refuse(&at, "an object or null")),
        "prefers_border" if !value.is_boolean() => Err(refuse(&at, "true, false or null")),
        "domain" if value.as_str().is_none_or(|text| text.chars().count() > LONGEST_DOMAIN) => {
            Err(refuse(&at, &format!("a text of at most {LONGEST_DOMAIN} characters, or null")))
        }
        "tool" => check_tool(&at, value),
        _ => Ok(()),
    }
}

fn check_csp(at: &str, value: &Value) -> Result<(), Problem> {
    let Some(csp) = value.as_object() else { return Err(refuse(at, "an object or null")) };
    for list in DOMAINS {
        let Some(domains) = csp.get(*list) else { continue };
        if !domains.as_array().is_some_and(|domains| domains.iter().all(Value::is_string)) {
            return Err(refuse(&format!("{at}.{list}"), "a list of texts"));
        }
    }
    Ok(())
}

fn check_tool(at: &str, value: &Value) -> Result<(), Problem> {
    let Some(tool) = value.as_object() else { return Err(refuse(at, "an object or null")) };
    let wrong = |field: &str, expected: &str| Err(refuse(&format!("{at}.{field}"), expected));
    let is_wrong = |field: &str, fits: fn(&Value) -> bool| tool.get(field).is_some_and(|value| !fits(value));
    if !tool.get("description").is_some_and(Value::is_string) {
        return wrong("description", "given, as a text");
    }
    if is_wrong("input_schema", Value::is_object) {
        return wrong("input_schema", "an object");
    }
    if is_wrong("instruction", |value| value.is_string() || value.is_null()) {
        return wrong("instruction", "a text or null");
    }
    if is_wrong("mutating", Value::is_boolean) {
        return wrong("mutating", "true or false");
    }
    let sees = |value: &Value| matches!(value.as_str(), Some("model" | "app"));
    if let Some(visibility) = tool.get("visibility")
        && !visibility.as_array().is_some_and(|names| names.iter().all(sees))
    {
        return wrong("visibility", "a list of `model` and `app`");
    }
    Ok(())
}

fn refuse(param: &str, expected: &str) -> Problem {
    Problem::invalid_input(param, format!("`{param}` must be {expected}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"tool":{"visibility":["app","model"],"mutating":true,"description":"d","input_schema":{"z":1,"a":[]},"instruction":null,"own":{"b":1,"a":null}},"name":"card","prefers_border":null,"csp":{"resourceDomains":[],"connectDomains":["https://a"],"own":1},"domain":"","permissions":{"z":{},"a":null},"title":"gone"}"#;

    #[test]
    fn what_is_kept_is_kept_as_it_came() {
        let record = UiTemplate::parse(WHOLE).unwrap().record("ab");
        assert_eq!(
            record.to_string(),
            r#"{"name":"card","content_hash":"ab","csp":{"resourceDomains":[],"connectDomains":["https://a"],"own":1},"permissions":{"z":{},"a":null},"prefers_border":null,"domain":"","tool":{"visibility":["app","model"],"mutating":true,"description":"d","input_schema":{"z":1,"a":[]},"instruction":null,"own":{"b":1,"a":null}}}"#
        );
        // What was not said is not there.
        let bare = UiTemplate::parse(r#"{"name":"a"}"#).unwrap().record("ab");
        assert_eq!(bare.to_string(), r#"{"name":"a","content_hash":"ab"}"#);
        let records = [record, bare];
        assert_eq!(find(&records, "a").and_then(content_hash_of), Some("ab"));
        assert!(find(&records, "b").is_none());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let nested = format!("{{\"name\":\"a\",\"tool\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let long = format!("{{\"name\":\"a\",\"domain\":\"{}\"}}", "x".repeat(METADATA_BYTES));
        for (text, param) in [
            ("", "metadata"),
            ("[]", "metadata"),
            ("{\"name\":", "metadata"),
            (nested.as_str(), "metadata"),
            (long.as_str(), "metadata"),
            ("{}", "metadata.name"),
            (r#"{"name":1}"#, "metadata.name"),
            (r#"{"name":""}"#, "metadata.name"),
            (r#"{"name":"Card"}"#, "metadata.name"),
            (r#"{"name":"-card"}"#, "metadata.name"),
            (r#"{"name":"a/b"}"#, "metadata.name"),
            (r#"{"name":"a","csp":[]}"#, "metadata.csp"),
            (r#"{"name":"a","csp":{"frameDomains":"x"}}"#, "metadata.csp.frameDomains"),
            (r#"{"name":"a","csp":{"baseUriDomains":[1]}}"#, "metadata.csp.baseUriDomains"),
            (r#"{"name":"a","permissions":true}"#, "metadata.permissions"),
            (r#"{"name":"a","prefers_border":"yes"}"#, "metadata.prefers_border"),
            (r#"{"name":"a","domain":7}"#, "metadata.domain"),
            (r#"{"name":"a","tool":"x"}"#, "metadata.tool"),
            (r#"{"name":"a","tool":{}}"#, "metadata.tool.description"),
            (r#"{"name":"a","tool":{"description":"","input_schema":[]}}"#, "metadata.tool.input_schema"),
            (r#"{"name":"a","tool":{"description":"","instruction":1}}"#, "metadata.tool.instruction"),
            (r#"{"name":"a","tool":{"description":"","mutating":null}}"#, "metadata.tool.mutating"),
            (r#"{"name":"a","tool":{"description":"","visibility":["user"]}}"#, "metadata.tool.visibility"),
        ] {
            let refusal = UiTemplate::parse(text).unwrap_err();
            assert_eq!((refusal.status, refusal.param.as_deref()), (422, Some(param)), "{text:.80}");
        }
        for name in ["a", "0", "a-b_c", &"n".repeat(63)] {
            assert!(UiTemplate::parse(&format!("{{\"name\":\"{name}\"}}")).is_ok());
        }
        assert!(UiTemplate::parse(&format!("{{\"name\":\"{}\"}}", "n".repeat(64))).is_err());
    }
}
