//! One call of a tool of a server.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout_at};

use super::dialect::Dialect;
use super::elicitation::{self, Wanted};
use super::link::{self, Request};
use super::patience::Patience;
use super::revision::{self, Revision};
use super::session::{self, Cancelling, IsNew, Session};
use super::trouble::Trouble;
use super::{Mcp, Server, manifest, parameters, result};
use crate::call::{Call, Outcome, Resumption};

/// Under which name a call's idempotency key is sent, in `_meta`.
const IDEMPOTENCY_KEY: &str = "ingram-cloud/idempotency-key";

/// The field of `_meta` for the W3C trace context (SEP-414), which goes without a prefix.
const TRACEPARENT: &str = "traceparent";

/// How often a server may want nothing but another call.
const MAX_CALLS: u32 = 6;

/// The wait before the first of them; it doubles with every further one.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes the call, in the revision that the server is known or found to speak.
pub(crate) async fn make(
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    patience: &mut Patience,
) -> Result<Outcome, Trouble> {
    let known = server.protocol.as_deref().and_then(Revision::of);
    let revision = match known {
        Some(revision) => revision,
        None => revision::probe(&mcp.link, server, patience).await?,
    };
    let trouble = match make_in(revision, mcp, server, call, patience).await {
        Err(trouble) if known.is_some() && trouble.is_turned_away() => trouble,
        made => return made,
    };
    // The server may have changed its revision since its tools were listed.
    match revision::probe(&mcp.link, server, patience).await? {
        found if found == revision => Err(trouble),
        found => make_in(found, mcp, server, call, patience).await,
    }
}

async fn make_in(
    revision: Revision,
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    patience: &mut Patience,
) -> Result<Outcome, Trouble> {
    match revision {
        Revision::Stateless => Box::pin(make_stateless(mcp, server, call, patience)).await,
        Revision::Initialized => Box::pin(make_in_session(mcp, server, call, patience)).await,
    }
}

/// Makes the call in revision 2026-07-28. Dropping it closes the stream, which cancels it.
async fn make_stateless(
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    patience: &mut Patience,
) -> Result<Outcome, Trouble> {
    let mut resumption = call.resumption.clone();
    let mut pause = PAUSE;
    for _ in 0..MAX_CALLS {
        let result = ask_stateless(mcp, server, call, resumption.as_ref(), patience).await?;
        match result.get("resultType").and_then(Value::as_str) {
            None | Some("complete") => return Ok(answered(mcp, result)),
            Some("input_required") => {}
            Some(_) => {
                return Err(Trouble::Nonsense("answered with a kind of result that was not asked for"));
            }
        }
        match elicitation::wanted(result, &mcp.link.options)? {
            Wanted::Answers { questions, request_state } => {
                return Ok(Outcome::Asks { questions, request_state });
            }
            Wanted::AnotherCall { request_state } => {
                resumption = Some(Resumption { request_state: Some(request_state), replies: Vec::new() });
            }
        }
        timeout_at(patience.until(), sleep(pause)).await.map_err(|_| link::late())?;
        pause = pause.saturating_mul(2);
    }
    Err(Trouble::Nonsense("only ever wants to be called again"))
}

async fn ask_stateless(
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    resumption: Option<&Resumption>,
    patience: &mut Patience,
) -> Result<Map<String, Value>, Trouble> {
    let key = session::key_of(server, None);
    let dressed = || {
        let mut request = request(mcp, call, resumption);
        if let Some(mirrored) = mcp.mirrored.get(&key).and_then(|tools| tools.get(&call.tool).cloned()) {
            request.headers = parameters::headers(&mirrored, &call.args);
        }
        request
    };
    match mcp.link.ask(server, Dialect::Stateless, dressed(), patience).await {
        // The server wants arguments repeated in headers. Which, only its list tells.
        Err(trouble) if trouble.has_code(ErrorCode::HEADER_MISMATCH) => {
            let listing = manifest::list(&mcp.link, server, Dialect::Stateless, patience).await?;
            mcp.keep_mirrored(server, listing.mirrored);
            mcp.link.ask(server, Dialect::Stateless, dressed(), patience).await
        }
        asked => asked,
    }
    .map(|reply| reply.result)
}

/// Makes the call in an older revision.
async fn make_in_session(
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    patience: &mut Patience,
) -> Result<Outcome, Trouble> {
    if call.resumption.is_some() {
        return Err(Trouble::Unusable(
            "does not take answers to what it has asked: it speaks an older revision now",
        ));
    }
    let (session, is_new) = mcp.sessions.of_run(&mcp.link, server, call.run, patience).await?;
    let trouble = match ask_in(&session, mcp, server, call, patience).await {
        Ok(result) => return Ok(answered(mcp, result)),
        Err(trouble) => trouble,
    };
    if !is_forgotten(&trouble, &session, is_new) {
        if names_session(&trouble) {
            // The next call begins another one. This one is not repeated: the tool itself may have said so.
            session.forget();
        }
        return Err(trouble);
    }
    session.forget();
    let (session, _) = mcp.sessions.of_run(&mcp.link, server, call.run, patience).await?;
    ask_in(&session, mcp, server, call, patience).await.map(|result| answered(mcp, result))
}

/// Tells whether the server has refused a call because it does not know its session any more: it has not looked at it.
///
/// The protocol has 404 for that. Any other status may come of the call itself, and does not say that nothing was done.
fn is_forgotten(trouble: &Trouble, session: &Session, is_new: IsNew) -> bool {
    let Trouble::Status { status, .. } = trouble else { return false };
    session.id().is_some() && is_new == IsNew(false) && *status == StatusCode::NOT_FOUND
}

/// Tells whether a server speaks of the session in refusing a request: some answer 400 when they do not know it any more.
fn names_session(trouble: &Trouble) -> bool {
    let Trouble::Status { status: StatusCode::BAD_REQUEST, error: Some(error) } = trouble else {
        return false;
    };
    error.message.to_ascii_lowercase().contains("session")
}

async fn ask_in(
    session: &Arc<Session>,
    mcp: &Mcp,
    server: &Server,
    call: &Call,
    patience: &mut Patience,
) -> Result<Map<String, Value>, Trouble> {
    let request = request(mcp, call, None);
    let mut cancelling = Cancelling::of(Arc::clone(session), request.id);
    let asked = mcp.link.ask(server, Dialect::Session(session), request, patience).await;
    // Where the answer is lost, the call may still be under way there.
    if !matches!(asked, Err(Trouble::Lost(_))) {
        cancelling.answered();
    }
    asked.map(|reply| reply.result)
}

fn request(mcp: &Mcp, call: &Call, resumption: Option<&Resumption>) -> Request {
    let mut params = Map::new();
    params.insert("name".to_owned(), Value::String(call.tool.clone()));
    params.insert("arguments".to_owned(), Value::Object(call.args.clone()));
    if let Some(resumption) = resumption {
        elicitation::resume(&mut params, resumption);
    }
    let mut request = Request::new(&mcp.link, "tools/call", params);
    request.name = Some(call.tool.clone());
    request.meta.insert(IDEMPOTENCY_KEY.to_owned(), Value::String(call.idempotency_key.clone()));
    request.meta.insert(TRACEPARENT.to_owned(), Value::String(call.traceparent()));
    request.hears_progress = true;
    request
}

fn answered(mcp: &Mcp, result: Map<String, Value>) -> Outcome {
    Outcome::Answered(result::answer(result, &mcp.link.options))
}
