//! `POST /v1/embeddings`

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::models::Provider;
use domain::principals::{Permission, Principal};
use domain::{Code, Problem};
use engine::keys::Choice;
use http::StatusCode;
use models::{EmbeddingRequest, Embeddings, Failure, FailureKind};
use serde::Serialize;
use store::ProjectStore;
use utoipa::ToSchema;

use super::input;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody};
use crate::openai::ListObject;

/// The model of requests that name none.
const DEFAULT: &str = "text-embedding-3-small";
/// What may stand before a model's name.
const PREFIXES: [&str; 2] = ["openai.", "openai/"];
const LONGEST_MODEL: usize = 255;
/// The most numbers of a vector that can be asked for. Models have bounds of their own.
const MOST_DIMENSIONS: u64 = 65_536;

/// What is to be embedded, and how.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct EmbeddingsIn {
    #[schema(inline)]
    input: InputIn,
    /// `openai.` in front may be left out. Default: `openai.text-embedding-3-small`.
    #[schema(required = false)]
    model: String,
    /// How long the vectors are to be, for models that can shorten them.
    #[schema(required = false, minimum = 1, maximum = 65_536)]
    dimensions: Option<u64>,
    /// `float` or `base64`: little-endian numbers of 32 bits. Default: `float`.
    #[schema(required = false)]
    encoding_format: Option<String>,
}

/// A text, several texts (2,048 at most), or the same cut into tokens.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
enum InputIn {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// Vectors, in the order of the input.
#[derive(Serialize, ToSchema)]
struct EmbeddingsOut {
    #[schema(inline)]
    object: ListObject,
    #[schema(inline)]
    data: Vec<EmbeddingOut>,
    /// The model that the provider says it has used.
    model: String,
    #[schema(inline)]
    usage: EmbeddingsUsage,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingOut {
    #[schema(inline)]
    object: EmbeddingObject,
    index: usize,
    #[schema(value_type = Vec<f32>)]
    embedding: Vector,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum EmbeddingObject {
    Embedding,
}

#[derive(Serialize, ToSchema)]
struct EmbeddingsUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

/// How the caller wants its vectors.
#[derive(Clone, Copy)]
enum Encoding {
    Float,
    Base64,
}

/// Makes embeddings with the project's own key for OpenAI, or the server's.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "embeddings.create",
    tag = "OpenAI-compatible",
    request_body = EmbeddingsIn,
    responses((status = 200, description = "The vectors.", body = EmbeddingsOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.permitted(&app, Permission::EmbeddingsWrite)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let fields = body.fields();
    let input = input::parse(fields.value("input"), app.options.max_embedding_bytes)?;
    let model = model(&fields)?;
    let dimensions = fields.whole("dimensions", 1..=MOST_DIMENSIONS)?;
    let encoding = encoding(&fields)?;
    let Choice { route, credentials, .. } = key(&app, &project, model).await?;
    let request = EmbeddingRequest { model: route.model, input, dimensions };
    let smith = match &caller.0 {
        Principal::Smith { smith, .. } => Some(*smith),
        _ => None,
    };
    let models = app.engine.models().clone();
    let work = async move {
        let made = models.embed(&credentials, &request).await.map_err(problem)?;
        Ok(Answer::json(StatusCode::OK, &shown(made, encoding)).about(smith))
    };
    once.alone(&app, Box::pin(work)).await
}

fn model<'a>(fields: &Fields<'a>) -> Result<&'a str, Problem> {
    let given = fields.text_of("model", 0..=LONGEST_MODEL)?.unwrap_or_default();
    let bare = PREFIXES.iter().find_map(|prefix| given.strip_prefix(prefix)).unwrap_or(given);
    Ok(if bare.is_empty() { DEFAULT } else { bare })
}

fn encoding(fields: &Fields<'_>) -> Result<Encoding, Problem> {
    match fields.text("encoding_format")? {
        None | Some("float") => Ok(Encoding::Float),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(fields.refuse("encoding_format", "`float` or `base64`")),
    }
}

/// Finds the key. Keys of smiths are for their own runs, so none is asked for one.
async fn key(app: &App, project: &ProjectStore, model: &str) -> Result<Choice, Problem> {
    let routed = format!("{}/{model}", Provider::Openai.as_str());
    let choice = app.engine.keys().choose(project, None, &routed).await;
    choice.map_err(|problem| match problem.code {
        Code::ModelKeyMissing => {
            let message = "Embeddings need a key for OpenAI. Set one with PUT /v1/tenant/model_keys/openai.";
            Problem::new(Code::EmbeddingUnavailable, message)
        }
        _ => problem,
    })
}

fn problem(failure: Failure) -> Problem {
    let problem = Problem::new(Code::ModelRequestFailed, failure.message);
    match failure.kind {
        FailureKind::Unavailable => problem.with_status(502),
        FailureKind::Refused | FailureKind::Forbidden => problem,
    }
}

fn shown(made: Embeddings, encoding: Encoding) -> EmbeddingsOut {
    let data = made.vectors.into_iter().enumerate().map(|(index, vector)| EmbeddingOut {
        object: EmbeddingObject::Embedding,
        index,
        embedding: match encoding {
            Encoding::Float => Vector::Numbers(vector),
            Encoding::Base64 => {
                let bytes: Vec<u8> = vector.into_iter().flat_map(f32::to_le_bytes).collect();
                Vector::Base64(STANDARD.encode(bytes))
            }
        },
    });
    EmbeddingsOut {
        object: ListObject::List,
        data: data.collect(),
        model: made.model,
        usage: EmbeddingsUsage { prompt_tokens: made.prompt_tokens, total_tokens: made.total_tokens },
    }
}

#[cfg(test)]
mod tests;
