//! `POST /v1/smiths/{pid}/revisions/{version}/restore`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::Problem;
use domain::ids::SmithId;
use http::StatusCode;
use store::smiths::{RestoreError, Revision};
use utoipa::ToSchema;

use super::SmithRevisionOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Idempotency, JsonBody, PathParams};

const LONGEST_NOTE: usize = 500;

/// Why the revision is restored, for those who read on later.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct RestoreIn {
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// Makes a smith's own configuration what it was. That is a new revision: nothing is taken back.
#[utoipa::path(
    post,
    path = "/v1/smiths/{pid}/revisions/{version}/restore",
    operation_id = "smiths.revisions.restore",
    tag = "Smiths",
    params(
        ("pid" = String, Path, description = "The smith's id."),
        ("version" = String, Path, description = "The number of the revision.")
    ),
    request_body = RestoreIn,
    responses((status = 200, description = "The new revision.", body = SmithRevisionOut))
)]
pub(crate) async fn restore(
    caller: Caller,
    State(app): State<App>,
    path: PathParams,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let project = caller.administered(&app)?;
    let smith: SmithId = path.id("pid")?;
    let number = path.number("version").ok_or_else(no_revision)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    // What is not there comes before what is said of it.
    if !project.has_smith(smith).await? {
        return Err(Problem::not_found("smith").into());
    }
    let note = body.fields().text_of("note", 0..=LONGEST_NOTE)?;
    // What the smith was told is erased with it.
    let about = |revision: &Revision| answer(revision).about(Some(smith));
    let remember = once.remembering(&about);
    let remember = remember.as_ref().map(|remember| remember as _);
    match project.restore_revision(smith, number, &caller.actor(), note, remember).await {
        Ok(revision) => Ok(answer(&revision).into_response()),
        Err(RestoreError::NoSmith) => Err(Problem::not_found("smith").into()),
        Err(RestoreError::NoRevision) => Err(no_revision().into()),
        Err(RestoreError::Store(error)) => once.lost(error).await,
    }
}

fn answer(revision: &Revision) -> Answer {
    Answer::json(StatusCode::OK, &SmithRevisionOut::from(revision.clone()))
}

fn no_revision() -> Problem {
    Problem::not_found("revision")
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn a_revision_that_is_restored_is_the_newest_one() {
        both(async |server| {
            let admin = server.admin_token().await;
            let body = json!({"instructions": "one", "skills": [{"version": 2, "skill_id": "s"}]});
            let made = server.call(&admin, Method::POST, "/v1/smiths", body.clone()).await.body;
            let smith = format!("/v1/smiths/{}", made["id"].as_str().unwrap());
            server.call(&admin, Method::PATCH, &smith, json!({"instructions": "two", "skills": null})).await;
            let revisions = format!("{smith}/revisions");
            let restore = format!("{revisions}/1/restore");
            let restored = server.call(&admin, Method::POST, &restore, json!({"note": "back"})).await.body;
            assert_eq!((&restored["version"], &restored["note"]), (&json!(3), &json!("back")));
            assert_eq!(
                restored["snapshot"].to_string(),
                r#"{"instructions":"one","skills":[{"version":2,"skill_id":"s"}]}"#
            );
            assert!(restored["created_by"].as_str().unwrap().starts_with("tok_"));
            let listed = server.call(&admin, Method::GET, &revisions, Value::Null).await.body;
            assert_eq!(listed["data"][0], restored);
            let shown = server.call(&admin, Method::GET, &smith, Value::Null).await.body;
            assert_eq!((&shown["instructions"], &shown["skills"]), (&body["instructions"], &body["skills"]));
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_no_revision_is_not_found() {
        both(async |server| {
            let admin = server.admin_token().await;
            let made = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body;
            let smith = format!("/v1/smiths/{}", made["id"].as_str().unwrap());
            for number in ["0", "2", "-1", "+1", "1.0", "one", "4294967296", "%31x"] {
                let path = format!("{smith}/revisions/{number}/restore");
                let refused = server.refused(&admin, Method::POST, &path, json!({})).await;
                assert_eq!(refused, (404, "not_found".into(), String::new()), "{number}");
            }
            let path = format!("{smith}/revisions/1/restore");
            for note in [json!(1), json!("n".repeat(501)), json!("\0")] {
                let refused = server.refused(&admin, Method::POST, &path, json!({"note": note})).await;
                assert_eq!(refused, (422, "invalid_input".into(), "note".into()));
            }
            let nobody = "/v1/smiths/smt_11111111111111111111zz/revisions/1/restore";
            assert_eq!(server.refused(&admin, Method::POST, nobody, json!({"note": 1})).await.1, "not_found");
        })
        .await;
    }
}
