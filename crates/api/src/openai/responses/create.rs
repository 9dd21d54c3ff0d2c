//! `POST /v1/responses`

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::content::InputLimits;
use domain::ids::RunId;
use domain::overlay::{Overlay, Summary};
use domain::principals::Permission;
use domain::response_format::{ResponseFormat, parse_response_format};
use domain::run::Status;
use domain::smiths::parse_metadata;
use domain::{Code, Problem};
use engine::{Follower, Mode, Seat};
use http::HeaderMap;
use serde_json::{Map, Value};
use store::runs::RunRecord;
use store::{ProjectStore, SmithSeal};

use super::body::{ResponsesEvent, ResponsesIn, ResponsesOut};
use super::facts::Facts;
use super::input::{self, Step};
use super::object::Request;
use super::stream::{self, From, Opened};
use super::{echo, object, reading, references, servers, thread};
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, Earlier, Fields, Idempotency, JsonBody, Once, mark_as_replayed};
use crate::native::runs::reply::{goes_on, name_run};
use crate::openai::identity::acting_smith;
use crate::openai::turn::{
    self, Asking, CancelOnDrop, Chosen, Continued, Conversation, Resolved, Turn, effort, functions, sampling,
    tool_choice,
};

/// How the caller wants to hear of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Once it rests.
    Whole,
    /// At once, however it stands.
    Background,
    Events,
}

/// The same, with the follower's place that it takes.
enum Seated {
    Whole(Seat),
    Background,
    Events(Seat),
}

impl Wanted {
    fn seated(self, app: &App) -> Result<Seated, Problem> {
        Ok(match self {
            Self::Whole => Seated::Whole(app.engine.seat()?),
            Self::Background => Seated::Background,
            Self::Events => Seated::Events(app.engine.seat()?),
        })
    }
}

/// The run that a request is about, and what of it its caller is told.
struct Told {
    run: RunId,
    seal: SmithSeal,
    thread_id: String,
    /// The seq from which on the frames are new to the caller.
    from: u64,
}

impl Told {
    fn of(record: &RunRecord, seal: SmithSeal, from: u64) -> Self {
        Self { run: record.id, seal, thread_id: record.thread_id.clone(), from }
    }
}

/// Answers a turn of a conversation, or goes on with a response that waits.
///
/// A response is a run: it belongs to the server, and a client that goes away does not cancel it. Calls that the server
/// carries out come as `mcp_call` items, and what waits for a person as `mcp_approval_request`.
#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "responses.create",
    tag = "OpenAI-compatible",
    request_body(content = ResponsesIn, content_type = "application/json"),
    responses((status = 200, description = "The response once it rests, or its events.", content(
        (ResponsesOut = "application/json"),
        (ResponsesEvent = "text/event-stream"),
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
    let limits = InputLimits {
        messages: app.options.max_input_messages,
        parts: app.options.max_input_parts,
        text_bytes: app.options.max_input_text_bytes,
    };
    let mut steps = input::read(fields.value("input"), limits)?;
    let options = Options::read(&app, &fields)?;
    // Before the smith, which may be made: a refusal has done nothing.
    let seated = wanted.seated(&app)?;
    let smith = acting_smith(&project, &caller, &headers, fields.value("user"), Some(&app.engine)).await?;
    let place = thread::place(&project, &smith, &fields, &headers).await?;
    let reads = caller.allow(Permission::RunsRead).is_ok();
    if steps.iter().any(|step| matches!(step, Step::Reference { .. })) && reads {
        steps = references::resolve(&project, smith.id, steps, limits).await?;
    } else if !reads {
        references::refuse(&steps)?;
    }
    let Conversation { instructions, entries } = input::conversation(steps);
    let asking = Asking { app: &app, project: &project, caller: &caller, smith: smith.id, key: once.key() };
    let items = match turn::resolve(&asking, entries).await? {
        Resolved::Turn(items) => items,
        Resolved::Continued(continued) => {
            let continued = goes_on_with(&app, &project, *continued, seated).await;
            return continued.map_err(|problem| problem.after_work().into());
        }
    };
    let (past, input) = Conversation::part(items);
    let overlay = Overlay {
        instructions: options.instructions.into_iter().chain(instructions).collect::<Vec<_>>().join("\n\n"),
        echo: echo::of(&fields, place.conversation.as_deref()),
        ..options.overlay
    };
    let request = Request { metadata: options.metadata.clone(), echo: overlay.echo.clone() };
    let seal = smith.seal.clone();
    let turn = Turn {
        model: options.model,
        thread_id: place.thread_id,
        past: place.chain.into_iter().chain(past).collect(),
        input,
        overlay,
        response_format: options.response_format,
        metadata: options.metadata,
        actor: caller.actor(),
        key: once.key(),
        is_streamed: wanted == Wanted::Events,
    };
    if turn.response_format.is_some() && place.is_named {
        return Err(stateless().into());
    }
    let started = turn::start(&app, &project, smith, turn, |_| CancelOnDrop::never()).await;
    let Some((started, _guard)) = started.map_err(in_input)? else {
        // The same request was faster elsewhere. Its answer takes a place of its own.
        drop(seated);
        let response = repeated(&app, &project, &once, wanted).await?;
        return response.ok_or_else(|| Problem::internal().into());
    };
    let told = Told { run: started.id, seal, thread_id: started.thread_id.clone(), from: 0 };
    let shell = || object::started(&started, &request);
    answer(&app, &project, told, shell, seated).await.map_err(|problem| match problem.after_work {
        true => problem.into(),
        false => goes_on(problem, started.id).into(),
    })
}

/// What a request asks for besides its conversation.
struct Options {
    model: Option<String>,
    instructions: Option<String>,
    metadata: Map<String, Value>,
    overlay: Overlay,
    response_format: Option<ResponseFormat>,
}

impl Options {
    fn read(app: &App, fields: &Fields<'_>) -> Result<Self, Problem> {
        let tools = fields.list("tools")?.unwrap_or_default();
        let is = |tool: &Value, kind: &str| tool.get("type").and_then(Value::as_str) == Some(kind);
        if let Some(index) = tools.iter().position(|tool| !is(tool, "function") && !is(tool, "mcp")) {
            let message = "Only tools of the types `function` and `mcp` can come with a request. Others are enabled for the smith.";
            let problem = Problem::new(Code::UnsupportedTools, message);
            return Err(problem.at(format!("tools[{index}].type")));
        }
        let of_kind =
            |wanted: &'static str| tools.iter().enumerate().filter(move |(_, tool)| is(tool, wanted));
        let chosen: Chosen = tool_choice(fields.value("tool_choice"))?;
        let functions = chosen.of(functions(of_kind("function"))?);
        let servers = chosen.of_servers(servers::servers(app, of_kind("mcp"))?);
        let leaves = !functions.is_empty() || !servers.is_empty();
        fields.texts("include")?;
        let reasoning = fields.object("reasoning")?;
        let text = fields.object("text")?;
        let overlay = Overlay {
            tools: functions,
            servers,
            tool_choice: chosen.choice_of(!tools.is_empty(), leaves),
            reasoning_effort: effort(
                reasoning.and_then(|reasoning| reasoning.get("effort")),
                "reasoning.effort",
            )?,
            // A wish, like the other keys beside the effort: one that is not known is no error.
            reasoning_summary: reasoning
                .and_then(|reasoning| reasoning.get("summary"))
                .and_then(Value::as_str)
                .and_then(Summary::parse),
            max_output_tokens: fields.whole("max_output_tokens", 1..=u64::from(u32::MAX))?,
            sampling: sampling(fields),
            ..Overlay::default()
        };
        let format = text.and_then(|text| text.get("format"));
        let given =
            |name| Ok::<_, Problem>(fields.text(name)?.filter(|text| !text.is_empty()).map(str::to_owned));
        Ok(Self {
            model: given("model")?,
            instructions: given("instructions")?,
            metadata: fields.value("metadata").map(parse_metadata).transpose()?.unwrap_or_default(),
            overlay,
            response_format: parse_response_format(format, "text.format")?,
        })
    }
}

fn stateless() -> Problem {
    let message = "Structured output is one stateless shot: leave out `text.format`, or the thread, `conversation` and \
                   `previous_response_id`.";
    Problem::new(Code::InvalidResponseFormat, message).at("text.format")
}

fn wanted(fields: &Fields<'_>) -> Result<Wanted, Problem> {
    let (stream, background) = (fields.flag("stream")?, fields.flag("background")?);
    Ok(match (stream, background) {
        (Some(true), _) => Wanted::Events,
        (_, Some(true)) => Wanted::Background,
        _ => Wanted::Whole,
    })
}

/// Answers with what came of the answers that a request gave.
async fn goes_on_with(
    app: &App,
    project: &ProjectStore,
    continued: Continued,
    seated: Seated,
) -> Result<Response, Problem> {
    let Continued { record, seal, from } = continued;
    let from = reading::last_stretch(project, &seal, record.id, from).await?;
    answer(app, project, Told::of(&record, seal, from), || object::shell(&record), seated).await
}

/// Names in a refusal of the run's input the field that it came from: its items are not counted like the run's messages.
fn in_input(mut problem: Problem) -> Problem {
    if problem.param.as_deref().is_some_and(|param| param.starts_with("input")) {
        problem.param = Some("input".to_owned());
    }
    problem
}

/// Answers with a response once it rests, at once, or with its events. They begin with `shell`, the response before anything
/// came of it.
async fn answer(
    app: &App,
    project: &ProjectStore,
    told: Told,
    shell: impl FnOnce() -> Map<String, Value> + Send,
    seated: Seated,
) -> Result<Response, Problem> {
    let Told { run, seal, thread_id, from } = told;
    let mut response = match seated {
        Seated::Events(seat) => {
            let opened = Opened { run, seal, shell: shell(), facts: Facts::default() };
            stream::follow(app, project.clone(), opened, From::Seq(from), seat)
        }
        Seated::Background => {
            let saved = reading::saved(project, run).await?;
            Json(reading::show(project, &saved, from).await?).into_response()
        }
        Seated::Whole(seat) => {
            let follower = app.engine.follow(seat, project.clone(), seal, run, 0, Mode::Unhurried);
            // An error is named like an answer: there is a run behind it.
            whole(project, follower, from).await.unwrap_or_else(|problem| {
                let problem = if problem.after_work { problem } else { goes_on(problem, run) };
                ApiError::from(problem).into_response()
            })
        }
    };
    name_run(&mut response, run, &thread_id);
    Ok(response)
}

/// Answers with a response once it rests.
async fn whole(project: &ProjectStore, mut follower: Follower, from: u64) -> Result<Response, Problem> {
    let record = follower.rest().await?;
    if record.status == Status::Cancelled {
        return Err(Problem::new(Code::RunCancelled, "The response was cancelled.").after_work());
    }
    if let Some(error) = record.result.as_ref().and_then(|result| result.error.as_ref()) {
        return Err(turn::failed(error).after_work());
    }
    Ok(Json(reading::show_rested(project, follower, &record, from).await?).into_response())
}

/// Answers a request whose key was used before, if it was.
async fn repeated(
    app: &App,
    project: &ProjectStore,
    once: &Once,
    wanted: Wanted,
) -> Result<Option<Response>, Problem> {
    let run = match once.earlier().await? {
        None => return Ok(None),
        Some(Earlier::Answer(response)) => return Ok(Some(response)),
        Some(Earlier::Run(run)) => run,
    };
    let saved = reading::saved(project, run).await?;
    let status = saved.record.status;
    if wanted == Wanted::Whole && !status.is_final() && !status.is_paused() {
        let message =
            format!("The request with this key is still at work, as the response {run}. Ask again shortly.");
        return Err(Problem::new(Code::IdempotencyInProgress, message).at("Idempotency-Key"));
    }
    let told = Told::of(&saved.record, saved.seal, 0);
    let shell = || object::shell(&saved.record);
    let mut response = answer(app, project, told, shell, wanted.seated(app)?).await?;
    mark_as_replayed(&mut response);
    Ok(Some(response))
}
