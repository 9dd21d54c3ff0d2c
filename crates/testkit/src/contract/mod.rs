//! Checks answers against the reference contract in `contract/openapi.json`, and against the rules on headers, errors and
//! streams that a schema cannot say.

mod errors;
mod head;
mod routes;
mod schemas;
mod stream;

use std::sync::OnceLock;

use http::HeaderMap;
use serde_json::Value;

use routes::{Match, Routes};
use schemas::Schemas;

pub use stream::{StreamCheck, StreamStart};

/// The only version of the API.
pub const API_VERSION: &str = "2026-05-01";

const DOCUMENT: &str = include_str!("../../../../contract/openapi.json");

/// Statuses that any operation may answer with an `Error`, whether it lists them or not: they come from what lies before
/// or below every operation (transport, authentication, routing, limits, a provider, a bug).
const COMMON_ERRORS: &[u16] = &[400, 401, 404, 405, 409, 413, 422, 429, 500, 502, 503];

/// An answer as it came over the wire. `path` is the concrete path (a query is ignored) or the template.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// The reference contract, parsed.
#[derive(Debug)]
pub struct Contract {
    document: Value,
    routes: Routes,
    schemas: Schemas,
}

impl Contract {
    /// Returns the contract; it is read once per process.
    ///
    /// # Panics
    /// When the document is broken.
    pub fn load() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| {
            let document = serde_json::from_str(DOCUMENT);
            let document: Value = document.unwrap_or_else(|error| panic!("contract/openapi.json: {error}"));
            let routes = Routes::of(&document);
            Self { document, routes, schemas: Schemas::default() }
        })
    }

    /// Checks a whole answer, and lists all that is wrong with it.
    ///
    /// A route that the contract does not know may only answer 404 or 405, unless `extra_routes` names it: exact paths, or
    /// beginnings of paths that end with `*`. Of such a route only the headers and the errors are checked.
    ///
    /// # Errors
    /// One line per violation.
    pub fn check(&self, answer: &Observed<'_>, extra_routes: &[&str]) -> Result<(), Vec<String>> {
        let mut violations = self.check_head(answer.method, answer.path, answer.status, answer.headers);
        if answer.status >= 400 {
            errors::check(answer, &mut violations);
        }
        match self.routes.find(answer.method, answer.path) {
            Match::Operation(operation) => self.check_operation(operation, answer, &mut violations),
            Match::OtherMethod if answer.status == 405 => self.check_json("Error", answer, &mut violations),
            Match::Nothing if answer.status == 404 => self.check_json("Error", answer, &mut violations),
            Match::OtherMethod | Match::Nothing if routes::is_listed(extra_routes, answer.path) => {}
            Match::OtherMethod | Match::Nothing => {
                violations.push(format!("the contract has no {} {}", answer.method, answer.path));
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    /// Checks the head of an answer whose body comes later, and lists all that is wrong with it.
    pub fn check_head(&self, method: &str, path: &str, status: u16, headers: &HeaderMap) -> Vec<String> {
        let mut violations = Vec::new();
        head::check(status, headers, &mut violations);
        head::check_run(method, self.routes.template(method, path), status, headers, &mut violations);
        violations
    }

    /// Lists every operation: method in upper case, path template, operation id.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.routes.all().map(|route| {
            let id = self.operation(route.pointer()).and_then(|operation| operation.get("operationId"));
            (route.method(), route.template(), id.and_then(Value::as_str).unwrap_or_default())
        })
    }

    /// Lists how a value breaks the component schema of that name.
    pub fn violations_of(&self, schema: &str, value: &Value) -> Vec<String> {
        self.schemas.violations(&self.document, &schemas::component(schema), value)
    }

    fn operation(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    fn check_operation(&self, pointer: &str, answer: &Observed<'_>, violations: &mut Vec<String>) {
        let status = answer.status.to_string();
        let declared = self.operation(pointer).and_then(|operation| operation.get("responses")?.get(&status));
        let media_type = head::media_type(answer.headers);
        if media_type == Some("text/event-stream") && answer.status == 200 {
            self.check_stream(answer, violations);
            return;
        }
        let Some(declared) = declared else {
            if COMMON_ERRORS.contains(&answer.status) {
                self.check_json("Error", answer, violations);
            } else {
                violations.push(format!("status {status} is not declared"));
            }
            return;
        };
        let Some(content) = declared.get("content").and_then(Value::as_object) else {
            if !answer.body.is_empty() {
                violations.push(format!("status {status} has no body, but {} bytes came", answer.body.len()));
            }
            return;
        };
        let Some(schema) = media_type.and_then(|media_type| content.get(media_type)?.get("schema")) else {
            let declared: Vec<&str> = content.keys().map(String::as_str).collect();
            violations.push(format!("content type {media_type:?}, declared is {}", declared.join(" or ")));
            return;
        };
        if media_type == Some("application/json") {
            self.check_body(schema, answer.body, violations);
        }
    }

    fn check_json(&self, schema: &str, answer: &Observed<'_>, violations: &mut Vec<String>) {
        if head::media_type(answer.headers) != Some("application/json") {
            violations
                .push(format!("content type {:?}, not application/json", head::media_type(answer.headers)));
        }
        self.check_body(&schemas::component(schema), answer.body, violations);
    }

    fn check_body(&self, schema: &Value, body: &[u8], violations: &mut Vec<String>) {
        match crate::json::parse(body) {
            Ok(value) => violations.extend(self.schemas.violations(&self.document, schema, &value)),
            Err(error) => violations.push(format!("the body is no JSON: {error}")),
        }
    }

    fn check_stream(&self, answer: &Observed<'_>, violations: &mut Vec<String>) {
        let mut check = StreamCheck::new(self, answer.method, answer.path, answer.headers);
        let mut parser = crate::sse::Parser::default();
        let events = parser.push(answer.body).and_then(|events| parser.finish().map(|()| events));
        match events {
            Ok(events) => events.iter().for_each(|event| check.event(event)),
            Err(problem) => violations.push(problem),
        }
        violations.extend(check.end());
    }
}

#[cfg(test)]
mod tests;
