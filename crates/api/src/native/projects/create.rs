//! `POST /v1/organization/projects`

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::smiths::parse_metadata;
use domain::{Code, Problem};
use http::StatusCode;
use serde_json::{Map, Value};
use store::projects::Project;
use utoipa::ToSchema;

use super::ProjectOut;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::{Answer, Caller, Fields, Idempotency, JsonBody};

const LONGEST_NAME: usize = 255;

/// What the project is to be.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct ProjectIn {
    /// Names the project within the organization. A live project of this name is adopted as it is.
    name: String,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// Creates a project, or adopts the live one of the same name.
#[utoipa::path(
    post,
    path = "/v1/organization/projects",
    operation_id = "organization.projects.create",
    tag = "Projects",
    request_body = ProjectIn,
    responses((status = 201, description = "The project, new or adopted.", body = ProjectOut))
)]
pub(crate) async fn create(
    caller: Caller,
    State(app): State<App>,
    idempotency: Idempotency,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let organization = caller.organized(&app)?;
    let once = idempotency.once(&app, &caller, body.fingerprint());
    if let Some(replay) = once.replay().await? {
        return Ok(replay);
    }
    let fields = body.fields();
    let name = name(&fields)?;
    let metadata = fields.value("metadata").map(parse_metadata).transpose()?.unwrap_or_default();
    let answer = |project: &Project| Answer::json(StatusCode::CREATED, &ProjectOut::from(project.clone()));
    let remember = once.remembering(&answer);
    match organization.create_project(name, &metadata, remember.as_ref().map(|remember| remember as _)).await
    {
        Ok(project) => Ok(answer(&project).into_response()),
        Err(error) => once.lost(error).await,
    }
}

fn name<'a>(fields: &Fields<'a>) -> Result<&'a str, Problem> {
    match fields.text_of("name", 0..=LONGEST_NAME)? {
        Some(name) if !name.trim().is_empty() => Ok(name),
        _ => Err(Problem::new(Code::NameRequired, "A project needs a `name`.").at("name")),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::testing::both;

    const PATH: &str = "/v1/organization/projects";

    #[tokio::test]
    async fn a_live_name_is_adopted_and_an_archived_one_is_free() {
        both(async |server| {
            let key = server.organization_key().await;
            let create = async |body: Value| {
                let reply = server.call(&key, Method::POST, PATH, body).await;
                assert_eq!(reply.status, 201);
                reply.body
            };
            let made = create(json!({"name": "shop", "metadata": {"z": 1, "a": null}})).await;
            assert_eq!(create(json!({"name": "shop"})).await, made);
            assert_eq!(made["metadata"].to_string(), r#"{"z":1,"a":null}"#);

            let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
            assert_eq!(server.call(&key, Method::GET, &path, Value::Null).await.body, made);
            let tokens = format!("{path}/tokens");
            let minted = server.call(&key, Method::POST, &tokens, json!({"name": "ci"})).await;
            assert_eq!((minted.status.as_u16(), &minted.body["sub"]), (201, &made["id"]));
            let token = minted.body["token"].as_str().unwrap();
            assert_eq!(server.call(token, Method::GET, "/v1/smiths", Value::Null).await.status, 200);

            assert_eq!(server.call(&key, Method::DELETE, &path, Value::Null).await.status, 204);
            let gone = (404, "not_found".to_owned(), String::new());
            assert_eq!(server.refused(&key, Method::DELETE, &path, Value::Null).await, gone);
            assert_eq!(server.refused(&key, Method::GET, &path, Value::Null).await, gone);
            assert_eq!(server.refused(&key, Method::POST, &tokens, Value::Null).await, gone);
            assert_eq!(
                server.refused(token, Method::GET, "/v1/smiths", Value::Null).await.1,
                "unauthenticated"
            );
            assert_ne!(create(json!({"name": "shop"})).await["id"], made["id"]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_name_is_needed_and_a_wrong_type_is_named() {
        both(async |server| {
            let key = server.organization_key().await;
            for (body, code, param) in [
                (json!({}), "name_required", "name"),
                (json!({"name": " "}), "name_required", "name"),
                (json!({"name": 1}), "invalid_input", "name"),
                (json!({"name": "a".repeat(256)}), "invalid_input", "name"),
                (json!({"name": "a", "metadata": []}), "invalid_input", "metadata"),
            ] {
                let refused = server.refused(&key, Method::POST, PATH, body).await;
                assert_eq!(refused, (422, code.to_owned(), param.to_owned()));
            }
        })
        .await;
    }

    #[tokio::test]
    async fn projects_are_listed_by_name_and_a_token_is_revoked_within_its_project() {
        both(async |server| {
            let key = server.organization_key().await;
            let made = server.call(&key, Method::POST, PATH, json!({"name": "a b"})).await.body;
            let listed = server.call(&key, Method::GET, &format!("{PATH}?name=a+b"), Value::Null).await.body;
            assert_eq!(listed["data"], json!([made]));
            let listed = server.call(&key, Method::GET, &format!("{PATH}?name=%00"), Value::Null).await.body;
            assert_eq!((&listed["data"], &listed["has_more"]), (&json!([]), &json!(false)));

            let own = format!("{PATH}/{}/tokens", made["id"].as_str().unwrap());
            let token = server.call(&key, Method::POST, &own, Value::Null).await.body;
            let id = token["id"].as_str().unwrap();
            let foreign = format!("{PATH}/{}/tokens/{id}", server.first.project);
            assert_eq!(server.refused(&key, Method::DELETE, &foreign, Value::Null).await.1, "not_found");
            assert_eq!(
                server.call(&key, Method::DELETE, &format!("{own}/{id}"), Value::Null).await.status,
                204
            );
            for text in ["nobody", "a%20b", "%F0%9F%98%80", "..."] {
                let refused = server.refused(&key, Method::GET, &format!("{PATH}/{text}"), Value::Null).await;
                assert_eq!(refused.1, "not_found");
            }
        })
        .await;
    }
}
