//! `DELETE /v1/smiths/{pid}`

use axum::extract::State;
use domain::ids::SmithId;
use domain::{Code, Problem};
use http::StatusCode;

use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Caller, PathId};

/// Why the runs of an archived smith end, as their frames tell it.
const REASON: &str = "The smith was archived.";

/// Archives a smith: its pair is free again, its tokens are revoked, and its open runs are cancelled.
#[utoipa::path(
    delete,
    path = "/v1/smiths/{pid}",
    operation_id = "smiths.delete",
    tag = "Smiths",
    params(("pid" = String, Path, description = "The smith's id.")),
    responses((status = 204, description = "The smith is archived."))
)]
pub(crate) async fn delete(
    caller: Caller,
    State(app): State<App>,
    PathId(smith): PathId<SmithId>,
) -> Result<StatusCode, ApiError> {
    let project = caller.administered(&app)?;
    let open_runs = project.archive_smith(smith).await?.ok_or_else(|| Problem::not_found("smith"))?;
    // The newest first: those that wait are gone before the end of another would call them up.
    for run in open_runs.into_iter().rev() {
        match app.engine.cancel(&project, run, Some(REASON)).await {
            Ok(()) => {}
            // It ended by itself meanwhile.
            Err(problem) if problem.code == Code::RunNotPaused => {}
            // The smith is archived all the same, so the caller is not told to come again.
            Err(problem) => {
                tracing::warn!(run.id = %run, code = %problem.code, "A run of an archived smith could not be cancelled.");
            }
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    #[tokio::test]
    async fn the_open_runs_of_an_archived_smith_are_cancelled() {
        both(async |server| {
            let admin = server.admin_token().await;
            let made = server.call(&admin, Method::POST, "/v1/smiths", json!({})).await.body;
            let smith = format!("/v1/smiths/{}", made["id"].as_str().unwrap());
            let runs = format!("{smith}/runs");
            let run = async {
                let body = json!({"input": [{"role": "user", "content": "Count to ten"}]});
                server.call(&admin, Method::POST, &runs, body).await.body
            };
            let archive = async {
                loop {
                    let listed =
                        server.call(&admin, Method::GET, "/v1/runs?status=running", Value::Null).await.body;
                    if listed["data"] != json!([]) {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                server.call(&admin, Method::DELETE, &smith, Value::Null).await.status
            };
            let (run, archived) = futures::join!(run, archive);
            assert_eq!((archived.as_u16(), &run["status"]), (204, &json!("cancelled")));
        })
        .await;
    }
}
