//! `POST /v1/chat/completions`

use axum::extract::State;
use axum::response::Response;
use domain::content::InputLimits;
use domain::overlay::{FunctionTool, Overlay, ToolChoice};
use domain::principals::Permission;
use domain::response_format::parse_response_format;
use domain::smiths::parse_metadata;
use domain::{Code, Problem};
use http::HeaderMap;
use serde_json::Value;
use store::ProjectStore;
use utoipa::ToSchema;

use super::completion::ChatCompletionOut;
use super::messages;
use super::reply::{self, Told, Wanted};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Earlier, Fields, Idempotency, JsonBody, Once, mark_as_replayed};
use crate::native::runs::reply::{from_head, goes_on};
use crate::openai::conversations;
use crate::openai::identity::acting_smith;
use crate::openai::turn::{
    self, Asking, CancelOnDrop, Conversation, Resolved, Turn, effort, functions, sampling, tool_choice,
};

/// The header that names the thread to go on with.
const THREAD: &str = "IC-Thread-Id";

/// A chat. Keys that are not known are accepted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body in the OpenAPI document; it is read field by field")]
pub(super) struct ChatCompletionIn {
    /// Empty or absent: the smith's own model.
    #[schema(required = false)]
    model: String,
    /// The whole conversation; with `IC-Thread-Id` only what is new.
    #[schema(value_type = Vec<Object>, required = false)]
    messages: Vec<Value>,
    #[schema(default = false, required = false)]
    stream: bool,
    #[schema(value_type = Option<Object>)]
    stream_options: Option<Value>,
    /// The person's external id, where a tenant-admin token names no smith in `IC-Smith-Id`.
    #[schema(required = false)]
    user: String,
    /// Functions that the caller carries out. Where there are any, the smith's own tools sit out.
    #[schema(value_type = Vec<Object>, required = false)]
    tools: Vec<Value>,
    #[schema(value_type = Option<Value>)]
    tool_choice: Option<Value>,
    reasoning_effort: Option<String>,
    #[schema(value_type = Option<Object>)]
    response_format: Option<Value>,
}

/// A piece of a completion, in the `data:` line of an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the chunks in the OpenAPI document; they are rendered key by key")]
pub(super) struct ChatCompletionChunk {
    id: String,
    /// Always `chat.completion.chunk`.
    object: String,
    created: u64,
    model: String,
    #[schema(value_type = Vec<Object>)]
    choices: Vec<Value>,
}

/// Answers the last turn of a chat.
///
/// Calls that the server carries out are invisible. What a run waits for comes as calls whose ids name the run; a `tool`
/// message with such an id answers one. A client that goes away cancels the run, unless the request names a thread or has an
/// `Idempotency-Key`.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "completions.create",
    tag = "OpenAI-compatible",
    request_body(content = ChatCompletionIn, content_type = "application/json"),
    responses((status = 200, description = "The completion, or its chunks as they come.", content(
        (ChatCompletionOut = "application/json"),
        (ChatCompletionChunk = "text/event-stream"),
    )))
)]
pub(crate) async fn create(
    caller: Caller,
    headers: HeaderMap,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.permitted(&app, Permission::RunsWrite)?;
    let fields = body.fields();
    let wanted = wanted(&fields)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(response) = repeated(&app, &project, &once, wanted).await? {
        return Ok(response);
    }
    let request = Request::read(&app, &fields, &headers)?;
    // Before the smith, which may be made: a refusal has done nothing.
    let seat = app.engine.seat()?;
    let smith = acting_smith(&project, &caller, &headers, fields.value("user"), Some(&app.engine)).await?;
    if let Some(thread) = request.thread_id.as_deref().filter(|id| id.starts_with(conversations::PREFIX)) {
        conversations::find(&project, &smith, thread).await.map_err(|problem| problem.at(THREAD))?;
    }
    let keeps_going = once.key().is_some() || request.thread_id.is_some();
    let guard = {
        let (engine, project) = (app.engine.clone(), project.clone());
        move |run| match keeps_going {
            true => CancelOnDrop::never(),
            false => CancelOnDrop::new(engine, project, run),
        }
    };
    let asking = Asking { app: &app, project: &project, caller: &caller, smith: smith.id, key: once.key() };
    let Conversation { instructions, entries } = request.conversation;
    let items = match turn::resolve(&asking, entries).await? {
        Resolved::Turn(items) => items,
        Resolved::Continued(continued) => {
            let record = &continued.record;
            let told = Told {
                run: record.id,
                thread_id: record.thread_id.clone(),
                model: record.model.clone(),
                created: record.created_at.as_seconds(),
                seal: continued.seal,
                from: continued.from,
            };
            let guard = guard(told.run);
            return reply::answer(&app, &project, told, wanted, seat, guard).await.map_err(ApiError::from);
        }
    };
    let (past, input) = Conversation::part(items);
    let overlay = Overlay { instructions: instructions.join("\n\n"), ..request.overlay };
    let seal = smith.seal.clone();
    let turn = Turn {
        model: request.model,
        thread_id: request.thread_id,
        past,
        input,
        overlay,
        response_format: request.response_format,
        metadata: request.metadata,
        actor: caller.actor(),
        key: once.key(),
        is_streamed: wanted != Wanted::Completion,
    };
    let started = turn::start(&app, &project, smith, turn, guard).await.map_err(in_messages)?;
    let Some((started, guard)) = started else {
        // The same request was faster elsewhere. Its answer takes a place of its own.
        drop(seat);
        return repeated(&app, &project, &once, wanted).await?.ok_or_else(|| Problem::internal().into());
    };
    let told = Told {
        run: started.id,
        seal,
        thread_id: started.thread_id,
        model: started.model,
        created: started.created_at.as_seconds(),
        from: 0,
    };
    reply::answer(&app, &project, told, wanted, seat, guard).await.map_err(ApiError::from)
}

/// What is asked for, besides who asks.
struct Request {
    model: Option<String>,
    thread_id: Option<String>,
    conversation: Conversation,
    overlay: Overlay,
    response_format: Option<domain::response_format::ResponseFormat>,
    metadata: serde_json::Map<String, Value>,
}

impl Request {
    fn read(app: &App, fields: &Fields<'_>, headers: &HeaderMap) -> Result<Self, Problem> {
        if fields.value("n").is_some_and(|n| n.as_f64() != Some(1.0)) {
            return Err(fields.refuse("n", "1: a run has one answer"));
        }
        if fields.list("functions")?.is_some_and(|functions| !functions.is_empty()) {
            return Err(Problem::invalid_input(
                "functions",
                "`functions` is not taken any more: send `tools`.",
            ));
        }
        if fields.list("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
            return Err(fields.refuse("modalities", "`[\"text\"]`: a smith answers in text"));
        }
        let limits = InputLimits {
            messages: app.options.max_input_messages,
            parts: app.options.max_input_parts,
            text_bytes: app.options.max_input_text_bytes,
        };
        let Some(given) = fields.list("messages")?.filter(|messages| !messages.is_empty()) else {
            return Err(fields.refuse("messages", "an array with at least one message"));
        };
        let conversation = messages::read(given, limits)?;
        let (tools, tool_choice) = tools(fields)?;
        let most = |name| fields.whole(name, 1..=u64::from(u32::MAX));
        Ok(Self {
            model: fields.text("model")?.filter(|model| !model.is_empty()).map(str::to_owned),
            thread_id: thread(headers)?,
            conversation,
            overlay: Overlay {
                tools,
                tool_choice,
                reasoning_effort: effort(fields.value("reasoning_effort"), "reasoning_effort")?,
                max_output_tokens: most("max_completion_tokens")?.or(most("max_tokens")?),
                sampling: sampling(fields),
                ..Overlay::default()
            },
            response_format: parse_response_format(fields.value("response_format"), "response_format")?,
            metadata: fields.value("metadata").map(parse_metadata).transpose()?.unwrap_or_default(),
        })
    }
}

fn wanted(fields: &Fields<'_>) -> Result<Wanted, Problem> {
    let options = fields.object("stream_options")?;
    if fields.flag("stream")? != Some(true) {
        return Ok(Wanted::Completion);
    }
    let include_usage = options.and_then(|options| options.get("include_usage")) == Some(&Value::Bool(true));
    Ok(Wanted::Chunks { include_usage })
}

fn tools(fields: &Fields<'_>) -> Result<(Vec<FunctionTool>, ToolChoice), Problem> {
    let given = fields.list("tools")?.unwrap_or_default();
    for (index, tool) in given.iter().enumerate() {
        if tool.get("type").is_none_or(|kind| kind != "function") {
            let message = "Only tools of the type `function` can come with a chat.";
            return Err(Problem::new(Code::UnsupportedTools, message).at(format!("tools[{index}].type")));
        }
    }
    let chosen = tool_choice(fields.value("tool_choice"))?;
    let functions = chosen.of(functions(given.iter().enumerate())?);
    let choice = chosen.choice_of(!given.is_empty(), !functions.is_empty());
    Ok((functions, choice))
}

fn thread(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(named) = headers.get(THREAD) else { return Ok(None) };
    named.to_str().ok().and_then(from_head).map(Some).ok_or_else(|| {
        let message =
            "`IC-Thread-Id` must have 1 to 255 characters; what is not visible ASCII is percent-encoded.";
        Problem::invalid_input(THREAD, message)
    })
}

/// Names in a refusal of the run's input the field that it came from.
fn in_messages(mut problem: Problem) -> Problem {
    if problem.param.as_deref().is_some_and(|param| param.starts_with("input")) {
        problem.param = Some("messages".to_owned());
    }
    problem
}

/// Answers a request whose key was used before, if it was: with its run, told once more.
async fn repeated(
    app: &App,
    project: &ProjectStore,
    once: &Once,
    wanted: Wanted,
) -> Result<Option<Response>, ApiError> {
    let run = match once.earlier().await? {
        None => return Ok(None),
        Some(Earlier::Answer(response)) => return Ok(Some(response)),
        Some(Earlier::Run(run)) => run,
    };
    let (record, seal) = project.run_and_seal(run).await?.ok_or_else(|| Problem::not_found("run"))?;
    if wanted == Wanted::Completion && !record.status.is_final() && !record.status.is_paused() {
        let message =
            format!("The request with this key is still at work, as the run {run}. Ask again shortly.");
        return Err(Problem::new(Code::IdempotencyInProgress, message).at("Idempotency-Key").into());
    }
    let seal = seal.ok_or_else(|| goes_on(Problem::internal(), run))?;
    let told = Told {
        run,
        seal,
        thread_id: record.thread_id,
        model: record.model,
        created: record.created_at.as_seconds(),
        from: 0,
    };
    let mut response =
        reply::answer(app, project, told, wanted, app.engine.seat()?, CancelOnDrop::never()).await?;
    mark_as_replayed(&mut response);
    Ok(Some(response))
}
