use domain::tools::{Annotations, CallError, Execution, MOST_PROJECT_TOOLS, OnReject};
use domain::{Clock as _, Timestamp};
use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::testing::{Driven, both, open, open_at};
use crate::{Location, Store};

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

fn webhook(name: &str) -> NewProjectTool {
    NewProjectTool {
        name: name.to_owned(),
        description: "Looks an order up.".to_owned(),
        input_schema: json!({"type": "object", "properties": {"z": {}, "a": {"const": "\0"}}}),
        execution: Execution::Webhook,
        url: Some("https://tools.example/order?key=canary-url".to_owned()),
        always_asks: true,
        on_reject: OnReject::Continue,
        annotations: Annotations { read_only: true, ..Annotations::default() },
        timeout_seconds: 600,
    }
}

fn external(name: &str) -> NewProjectTool {
    NewProjectTool { execution: Execution::External, url: None, ..webhook(name) }
}

async fn order(project: &ProjectStore) -> (ToolRecord, Option<String>) {
    project.project_tools_named(&["order".to_owned()]).await.unwrap().found.pop().unwrap()
}

#[tokio::test]
async fn a_tool_is_found_as_it_was_registered() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let project = project(&store).await;
        let new = webhook("order");
        let registered = project.put_project_tool(&new, "whsec_first").await.unwrap();
        assert!(registered.takes_secret);
        let found = project.project_tool("order").await.unwrap().unwrap();
        assert_eq!(found, registered.record.tool);
        assert_eq!(found.input_schema.to_string(), new.input_schema.to_string(), "the order of keys is kept");
        assert_eq!((found.url, found.annotations.read_only), (new.url.clone(), true));
        assert_eq!((found.on_reject, found.always_asks), (OnReject::Continue, true));
        assert_eq!(
            (found.timeout_seconds, found.created_at, found.updated_at),
            (600, clock.now(), clock.now())
        );

        // A replacement keeps its place, its first time, and the secret.
        clock.advance(60);
        let replaced = NewProjectTool { description: "Finds an order.".to_owned(), ..new.clone() };
        let again = project.put_project_tool(&replaced, "whsec_second").await.unwrap();
        assert!(!again.takes_secret);
        assert_eq!(again.record.id, registered.record.id);
        let (ToolRecord { tool, .. }, secret) = order(&project).await;
        assert_eq!(secret.as_deref(), Some("whsec_first"));
        assert_eq!((tool.description.as_str(), tool.created_at), ("Finds an order.", found.created_at));
        assert_eq!(tool.updated_at, clock.now());

        // An external tool has no secret, and a webhook in its place gets a new one.
        assert!(!project.put_project_tool(&external("order"), "whsec_x").await.unwrap().takes_secret);
        let (ToolRecord { tool, .. }, secret) = order(&project).await;
        assert_eq!((tool.url, secret), (None, None));
        assert!(project.put_project_tool(&new, "whsec_third").await.unwrap().takes_secret);

        assert!(project.delete_project_tool("order").await.unwrap());
        assert!(!project.delete_project_tool("order").await.unwrap());
        assert!(!project.delete_project_tool("\0").await.unwrap());
        assert_eq!(project.project_tool("order").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_tool_whose_row_is_damaged_is_left_out_and_named() {
    for sql in [
        "sealed_url = $1",
        "sealed_secret = $1",
        "input_schema = 'x'",
        "annotations = '['",
        "execution = 'x'",
    ] {
        both(async |location| {
            let store = open(location).await;
            let project = project(&store).await;
            for name in ["good", "bad"] {
                project.put_project_tool(&webhook(name), "whsec_x").await.unwrap();
            }
            let mut batch = Batch::new();
            let values = if sql.contains("$1") { params![b"x".to_vec()] } else { Vec::new() };
            batch.exec(format!("update project_tools set {sql} where name = 'bad'"), values);
            store.db().commit(batch).await.unwrap();
            let read = project.project_tools_named(&["bad".to_owned(), "good".to_owned()]).await.unwrap();
            let found: Vec<_> = read.found.iter().map(|(record, _)| record.tool.name.as_str()).collect();
            assert_eq!((found, read.damaged), (vec!["good"], vec!["bad".to_owned()]), "{sql}");
        })
        .await;
    }
}

#[tokio::test]
async fn tools_are_found_in_the_order_in_which_they_are_named() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        for name in ["a", "b", "c"] {
            project.put_project_tool(&external(name), "").await.unwrap();
        }
        let names = ["c", "nobody", "\0", "a", "c"].map(str::to_owned);
        let found = project.project_tools_named(&names).await.unwrap().found;
        assert_eq!(found.iter().map(|(record, _)| record.tool.name.as_str()).collect::<Vec<_>>(), ["c", "a"]);
        assert!(project.project_tools_named(&[]).await.unwrap().found.is_empty());

        let page = project.project_tools(None, 2).await.unwrap();
        assert_eq!(page.iter().map(|record| record.tool.name.as_str()).collect::<Vec<_>>(), ["c", "b"]);
        let rest = project.project_tools(Some(page[1].id), 2).await.unwrap();
        assert_eq!(rest.iter().map(|record| record.tool.name.as_str()).collect::<Vec<_>>(), ["a"]);
    })
    .await;
}

#[tokio::test]
async fn another_project_has_tools_of_its_own_under_the_same_names() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let project = store.project(first.project);
        let organization = store.organization(first.organization);
        let other = organization.create_project("other", &serde_json::Map::new(), None).await.unwrap();
        let other = store.project(other.id);
        project.put_project_tool(&webhook("order"), "whsec_own").await.unwrap();
        assert_eq!(other.project_tool("order").await.unwrap(), None);
        assert!(other.project_tools(None, 10).await.unwrap().is_empty());
        assert!(!other.delete_project_tool("order").await.unwrap());
        let error = CallError { message: "theirs".to_owned(), at: Timestamp::from_seconds(1) };
        other.note_project_tool_error("order", &error).await.unwrap();
        assert!(other.put_project_tool(&webhook("order"), "whsec_other").await.unwrap().takes_secret);
        let (ToolRecord { tool, .. }, secret) = order(&project).await;
        assert_eq!((tool.last_call_error, secret.as_deref()), (None, Some("whsec_own")));
    })
    .await;
}

#[tokio::test]
async fn the_last_error_of_a_tool_stays_until_it_is_registered_again() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        project.put_project_tool(&webhook("order"), "").await.unwrap();
        let at = |seconds, message: &str| CallError {
            message: message.to_owned(),
            at: Timestamp::from_seconds(seconds),
        };
        project.note_project_tool_error("order", &at(9, "It answered\0with 500.")).await.unwrap();
        project.note_project_tool_error("order", &at(8, "Earlier, and told late.")).await.unwrap();
        project.note_project_tool_error("nobody", &at(9, "x")).await.unwrap();
        let tool = project.project_tool("order").await.unwrap().unwrap();
        assert_eq!(tool.last_call_error, Some(at(9, "It answered with 500.")));
        project.put_project_tool(&webhook("order"), "").await.unwrap();
        assert_eq!(project.project_tool("order").await.unwrap().unwrap().last_call_error, None);
    })
    .await;
}

#[tokio::test]
async fn of_registrations_at_once_one_makes_the_secret() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let new = webhook("order");
        let secrets: Vec<String> = (0..6).map(|number| format!("whsec_{number}")).collect();
        let puts = secrets.iter().map(|secret| project.put_project_tool(&new, secret));
        let taken: Vec<bool> =
            join_all(puts).await.into_iter().map(|put| put.unwrap().takes_secret).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        let winner = taken.iter().position(|taken| *taken).unwrap();
        let (_, secret) = order(&project).await;
        assert_eq!(secret.as_ref(), Some(&secrets[winner]));
        assert_eq!(project.project_tools(None, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_project_has_a_bounded_number_of_tools() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        for number in 0..MOST_PROJECT_TOOLS {
            project.put_project_tool(&external(&format!("tool_{number}")), "").await.unwrap();
        }
        let refused = project.put_project_tool(&external("more"), "").await.unwrap_err();
        assert!(matches!(refused, PutToolError::TooMany), "{refused}");
        // One that is there can be replaced, and a place that is free again can be taken.
        project.put_project_tool(&webhook("tool_7"), "").await.unwrap();
        assert!(project.delete_project_tool("tool_9").await.unwrap());
        project.put_project_tool(&external("more"), "").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn neither_addresses_nor_secrets_lie_in_the_database_in_the_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(Location::Sqlite(directory.path().join("ingram.db"))).await;
    let project = project(&store).await;
    project.put_project_tool(&webhook("order"), "whsec_canary-secret").await.unwrap();
    store.db().close().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for canary in [&b"canary-secret"[..], b"canary-url"] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary));
        }
    }
}
