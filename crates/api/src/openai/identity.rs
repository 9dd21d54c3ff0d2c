//! Whose request it is: the acting smith on the routes of this surface, whose paths name none.

use domain::ids::AgentId;
use domain::principals::Principal;
use domain::{Code, Problem};
use engine::Engine;
use http::HeaderMap;
use serde_json::Value;
use store::ProjectStore;
use store::smiths::{EnsureError, NewSmith, SmithRecord};

/// The header that names the agent of a smith that `user` makes.
const AGENT: &str = "IC-Agent-Id";
/// The header that names the smith itself.
const SMITH: &str = "IC-Smith-Id";
/// The most characters of a `user`: it becomes an external id.
const LONGEST_USER: usize = 255;

/// Finds the smith that a request acts as.
///
/// A smith token is its smith, and `user` is ignored, whatever it is. A tenant-admin token acts as the smith that `IC-Smith-Id`
/// names, else as the one whose external id is `user`: that one is made, on the agent in `IC-Agent-Id` or the default agent,
/// where there is none yet. With neither there is nobody to act as (`smith_required`).
///
/// A smith token that names another smith was refused when the caller was authenticated. None is made for a run for which that
/// engine has no room.
pub(crate) async fn acting_smith(
    project: &ProjectStore,
    caller: &Principal,
    headers: &HeaderMap,
    user: Option<&Value>,
    run_on: Option<&Engine>,
) -> Result<SmithRecord, Problem> {
    if let Principal::Smith { smith, .. } = caller {
        return project.smith(*smith).await?.ok_or_else(|| Problem::not_found("smith"));
    }
    let user = external_id(user)?;
    if let Some(named) = headers.get(SMITH) {
        let smith = match named.to_str().ok().and_then(|named| named.parse().ok()) {
            Some(smith) => project.smith(smith).await?,
            None => None,
        };
        return smith.ok_or_else(|| Problem::not_found("smith").at(SMITH));
    }
    let Some(user) = user else { return Err(nobody()) };
    let agent = agent(headers)?;
    if let Some(Err(no_room)) = run_on.map(Engine::check_room) {
        // What goes on with a run that is there may need none.
        return project.smith_of(user, agent).await?.ok_or(no_room);
    }
    let new = NewSmith {
        external_id: Some(user.to_owned()),
        agent,
        author: Some(caller.actor()),
        ..NewSmith::default()
    };
    match project.ensure_smith(&new, None).await {
        Ok(ensured) => Ok(ensured.smith),
        Err(EnsureError::NoAgent) => Err(no_agent()),
        Err(EnsureError::Unpublished | EnsureError::NoVersion) => Err(unpublished()),
        Err(EnsureError::Store(error)) => Err(error.into()),
    }
}

/// Reads `user` as the external id that it is taken for, None where it names nobody.
fn external_id(user: Option<&Value>) -> Result<Option<&str>, Problem> {
    let user = match user {
        None | Some(Value::Null) => return Ok(None),
        Some(user) => user.as_str(),
    };
    match user {
        Some("") => Ok(None),
        // The databases cannot hold the character NUL.
        Some(user) if user.chars().count() <= LONGEST_USER && !user.contains('\0') => Ok(Some(user)),
        _ => {
            let message = format!(
                "`user` must be a text of at most {LONGEST_USER} characters, without the character NUL."
            );
            Err(Problem::invalid_input("user", message))
        }
    }
}

/// Reads the agent that is named. One that is no id is as unknown as one that nothing has.
fn agent(headers: &HeaderMap) -> Result<Option<AgentId>, Problem> {
    let Some(named) = headers.get(AGENT) else { return Ok(None) };
    let agent = named.to_str().ok().and_then(|named| named.parse().ok());
    agent.map(Some).ok_or_else(no_agent)
}

fn nobody() -> Problem {
    let message = "This request names no smith. Send the header `IC-Smith-Id`, or `user` with your own name for the person in the \
                   body, or use a smith token.";
    Problem::new(Code::SmithRequired, message)
}

fn no_agent() -> Problem {
    Problem::not_found("agent").at(AGENT)
}

fn unpublished() -> Problem {
    let message = "The agent has no version yet. Publish one with POST /v1/agents/{aid}/versions first.";
    Problem::new(Code::AgentUnpublished, message).at(AGENT)
}

#[cfg(test)]
mod tests {
    use domain::ids::{Id as _, SmithId, TokenId};
    use http::HeaderValue;
    use serde_json::json;

    use super::*;
    use crate::testing::{TestApp, both};

    struct Acting {
        server: TestApp,
        project: ProjectStore,
        tenant: Principal,
    }

    impl Acting {
        fn on(server: TestApp) -> Self {
            let project = server.app.store.project(server.first.project);
            let token = TokenId::from_bytes([1; 16]);
            let tenant = Principal::Tenant { project: server.first.project, token };
            Self { server, project, tenant }
        }

        async fn check(
            &self,
            headers: &[(&'static str, &str)],
            user: Value,
        ) -> Result<SmithRecord, (Code, String)> {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
            let acting =
                acting_smith(&self.project, &self.tenant, &headers.collect(), Some(&user), None).await;
            acting.map_err(|problem| (problem.code, problem.param.unwrap_or_default()))
        }
    }

    #[tokio::test]
    async fn a_user_is_the_same_smith_every_time() {
        both(async |server| {
            let acting = Acting::on(server);
            let first = acting.check(&[], json!("ada")).await.unwrap();
            assert_eq!(first.external_id.as_deref(), Some("ada"));
            assert_eq!(first.agent, acting.project.default_agent().await.unwrap().id);
            assert_eq!(acting.check(&[], json!("ada")).await.unwrap().id, first.id);
            assert_ne!(acting.check(&[], json!("Ada")).await.unwrap().id, first.id, "verbatim");
            let named = first.id.to_string();
            assert_eq!(acting.check(&[("ic-smith-id", &named)], json!("grace")).await.unwrap().id, first.id);
            let agent = first.agent.to_string();
            assert_eq!(acting.check(&[("ic-agent-id", &agent)], json!("ada")).await.unwrap().id, first.id);
        })
        .await;
    }

    #[tokio::test]
    async fn whoever_names_nobody_is_told_how() {
        both(async |server| {
            let acting = Acting::on(server);
            for user in [Value::Null, json!("")] {
                assert_eq!(acting.check(&[], user).await.err().unwrap().0, Code::SmithRequired);
            }
            let refused = async |headers: &[(&'static str, &str)], user: Value| {
                let (code, param) = acting.check(headers, user).await.err().unwrap();
                (code, param)
            };
            let stranger = SmithId::from_bytes([9; 16]).to_string();
            for named in [stranger.as_str(), "nobody", ""] {
                let refused = refused(&[("ic-smith-id", named)], json!("ada")).await;
                assert_eq!(refused, (Code::NotFound, "IC-Smith-Id".to_owned()), "{named}");
            }
            for named in ["agt_nobody", "agt_1111111111111111111111"] {
                let refused = refused(&[("ic-agent-id", named)], json!("ada")).await;
                assert_eq!(refused, (Code::NotFound, "IC-Agent-Id".to_owned()), "{named}");
            }
            for user in [json!(7), json!("a\0b"), json!("x".repeat(256))] {
                assert_eq!(refused(&[], user).await, (Code::InvalidInput, "user".to_owned()));
            }
            assert!(acting.check(&[], json!("ä".repeat(255))).await.is_ok());
        })
        .await;
    }

    #[tokio::test]
    async fn a_smith_token_is_its_smith_whatever_the_user_says() {
        both(async |server| {
            let acting = Acting::on(server);
            let smith = acting.check(&[], json!("ada")).await.unwrap().id;
            let project = acting.server.first.project;
            let token = TokenId::from_bytes([2; 16]);
            let own = Principal::Smith { project, smith, token, permissions: Vec::new() };
            for user in [json!("grace"), json!(7)] {
                let found =
                    acting_smith(&acting.project, &own, &HeaderMap::new(), Some(&user), None).await.unwrap();
                assert_eq!(found.id, smith);
            }
            assert!(acting.project.smith_of("grace", None).await.unwrap().is_none());
        })
        .await;
    }
}
