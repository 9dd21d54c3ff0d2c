//! `POST /v1/agents/{aid}/attach`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::ids::{AgentId, SmithId};
use domain::{Code, Problem};
use http::StatusCode;
use serde::Serialize;
use store::agents::{Attach, AttachError, AttachedSmiths, MOST_ATTACHED};
use utoipa::ToSchema;

use super::body::no_agent;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody, PathId};

/// Which smiths are to move: either all, or those that are named.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct AttachIn {
    /// All smiths of the project, a thousand a call.
    #[schema(required = false, default = false)]
    all: bool,
    /// At most a thousand.
    #[schema(max_items = 1000)]
    smith_ids: Option<Vec<String>>,
}

/// The smiths that have moved. Those that the agent had already are not among them.
#[derive(Serialize, ToSchema)]
struct AttachOut {
    attached: Vec<AttachedSmithOut>,
    count: usize,
    /// With `all`: there are more. Call again until it is false.
    has_more: bool,
}

/// A smith that has moved.
#[derive(Serialize, ToSchema)]
struct AttachedSmithOut {
    #[schema(value_type = String)]
    smith_id: SmithId,
    /// The fields in which it departs from its new agent.
    override_keys: Vec<String>,
}

/// Moves smiths to the agent. They keep their overrides and lose their pins.
///
/// A call moves all of the smiths that it answers, or none: when one cannot move, nothing is done.
#[utoipa::path(
    post,
    path = "/v1/agents/{aid}/attach",
    operation_id = "agents.attach",
    tag = "agents",
    params(("aid" = String, Path, description = "The agent's id.")),
    request_body = AttachIn,
    responses((status = 200, description = "The smiths that have moved.", body = AttachOut))
)]
pub(crate) async fn attach(
    caller: Caller,
    State(app): State<App>,
    PathId(agent): PathId<AgentId>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let (which, names) = which(&body.fields())?;
    let remember = once.remembering(&answer);
    match project.attach_smiths(agent, &which, remember.as_ref().map(|remember| remember as _)).await {
        Ok(attached) => Ok(answer(&attached).into_response()),
        Err(AttachError::Store(error)) => once.lost(error).await,
        Err(error) => Err(refusal(error, &names).into()),
    }
}

fn answer(attached: &AttachedSmiths) -> Answer {
    let smiths = attached.smiths.iter().cloned();
    let attached = AttachOut {
        count: attached.smiths.len(),
        attached: smiths
            .map(|smith| AttachedSmithOut { smith_id: smith.smith, override_keys: smith.override_keys })
            .collect(),
        has_more: attached.has_more,
    };
    Answer::json(StatusCode::OK, &attached)
}

/// Reads which smiths are meant, and those that are named in their order.
fn which(fields: &Fields<'_>) -> Result<(Attach, Vec<SmithId>), Problem> {
    let all = fields.flag("all")?.unwrap_or_default();
    let Some(texts) = fields.texts("smith_ids")? else {
        if all {
            return Ok((Attach::All, Vec::new()));
        }
        return Err(fields.refuse("smith_ids", "given, or `all` be true"));
    };
    if all {
        let message = "`all` and `smith_ids` exclude each other. Leave out one of the two.";
        return Err(Problem::new(Code::InvalidRequest, message).at("smith_ids"));
    }
    if texts.len() > MOST_ATTACHED {
        return Err(fields.refuse("smith_ids", &format!("a list of at most {MOST_ATTACHED} ids")));
    }
    let parse = |(place, text): (usize, &&str)| text.parse().map_err(|_| no_smith(Some(place)));
    let smiths: Vec<SmithId> = texts.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    Ok((Attach::Smiths(smiths.clone()), smiths))
}

fn no_smith(place: Option<usize>) -> Problem {
    Problem::not_found("smith").at(param(place))
}

fn param(place: Option<usize>) -> String {
    place.map_or_else(|| "smith_ids".to_owned(), |place| format!("smith_ids[{place}]"))
}

fn refusal(error: AttachError, named: &[SmithId]) -> Problem {
    let place = |smith: SmithId| named.iter().position(|one| *one == smith);
    match error {
        AttachError::NoAgent => no_agent(),
        AttachError::Unpublished => {
            let message = "The agent has no version that smiths could run. Publish one with POST /v1/agents/{aid}/versions first.";
            Problem::new(Code::AgentUnpublished, message)
        }
        AttachError::NoSmith(smith) => no_smith(place(smith)),
        AttachError::PairTaken(smith) => {
            let message = format!(
                "The agent would have two smiths of the external id of {smith}. Nothing was moved. Archive one of the two, or \
                 leave it out."
            );
            Problem::new(Code::SmithExists, message).at(param(place(smith)))
        }
        AttachError::Store(error) => error.into(),
    }
}
