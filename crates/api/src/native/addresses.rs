//! Addresses that a project gives for this server to call.

use domain::{Code, Problem};
use egress::Url;

use crate::app::App;
use crate::extract::Fields;

const LONGEST: usize = 2_048;
/// What a server may call that only its own machine can reach.
const LOOPBACK: &str = "http://127.0.0.1/";

/// Reads the address of a tool or an MCP server, and refuses one that would not be called; an empty one is none.
///
/// Names are looked up when they are called, and checked again then. The messages do not repeat the address: it may hold a
/// secret.
pub(crate) fn url<'a>(app: &App, fields: &Fields<'a>) -> Result<Option<&'a str>, Problem> {
    let text = fields.text("url")?.map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    check(app, text, "url", "url")?;
    Ok(Some(text))
}

/// Refuses an address that would not be called: that of the field `name`, whose path is `at`.
pub(crate) fn check(app: &App, text: &str, name: &str, at: &str) -> Result<(), Problem> {
    let invalid = |message: String| Problem::new(Code::InvalidUrl, message).at(at);
    let url = Url::parse(text).ok().filter(|url| text.len() <= LONGEST && url.has_host());
    let Some(url) = url else {
        let expected = format!("an https URL of at most {LONGEST} bytes, such as https://host.example/path");
        return Err(invalid(format!("`{name}` must be {expected}.")));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid(format!("`{name}` must hold no user and no password.")));
    }
    app.engine.models().check_address(&url).map_err(|refusal| invalid(refusal.to_string()))?;
    if url.scheme() == "http" && !may_call_in_the_open(app) {
        return Err(invalid(format!("`{name}` must be an https URL: this server calls no others.")));
    }
    Ok(())
}

/// Tells whether calls without TLS are good enough: where they may stay on the machine or its network.
fn may_call_in_the_open(app: &App) -> bool {
    Url::parse(LOOPBACK).is_ok_and(|loopback| app.engine.models().check_address(&loopback).is_ok())
}
