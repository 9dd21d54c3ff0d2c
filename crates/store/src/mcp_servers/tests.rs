use std::sync::Arc;

use domain::Clock as _;
use domain::tools::{
    Annotations, ApprovalRule, AuthKind, CallError, ClientMode, MOST_MCP_SERVERS, Manifest, ManifestTool,
    McpAuth, McpServer, McpStatus,
};
use serde_json::json;

use super::*;
use crate::Store;
use crate::testing::{Driven, both, open, open_at};

async fn project(store: &Store) -> ProjectStore {
    store.project(store.server().bootstrap().await.unwrap().project)
}

fn manifest(tools: &[&str]) -> Manifest {
    let tool = |name: &&str| ManifestTool {
        name: (*name).to_owned(),
        description: Some("Does it.".to_owned()),
        input_schema: json!({"type": "object"}),
        annotations: Annotations { destructive: true, ..Annotations::default() },
    };
    Manifest { tools: tools.iter().map(tool).collect(), protocol: "2026-07-28".to_owned(), ttl_ms: Some(5) }
}

fn server(name: &str, discovered: Option<Result<Manifest, String>>) -> NewMcpServer {
    let policy = json!([{"match": "a*", "on_reject": "continue"}]);
    NewMcpServer {
        name: name.to_owned(),
        url: "https://mcp.example/mcp?key=canary-url".to_owned(),
        auth: McpAuth { kind: AuthKind::Bearer, provider: None, client_mode: ClientMode::Tenant },
        secret: Some("canary-secret".to_owned()),
        catalog_slug: Some("shop".to_owned()),
        allowlist: Some(vec!["a".to_owned()]),
        approval_policy: ApprovalRule::parse_all(&policy, "approval_policy").unwrap(),
        discovered,
    }
}

async fn found(project: &ProjectStore, name: &str) -> McpServer {
    project.mcp_server(name).await.unwrap().unwrap().0
}

#[tokio::test]
async fn a_server_is_found_as_it_was_registered() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let project = project(&store).await;
        let new = server("shop", Some(Ok(manifest(&["a", "b"]))));
        let registered = project.put_mcp_server(new, None).await.unwrap();
        let (stored, secret) = project.mcp_server("shop").await.unwrap().unwrap();
        assert_eq!((&stored, secret.as_deref()), (&registered, Some("canary-secret")));
        let expected = server("shop", None);
        assert_eq!((stored.url.as_str(), &stored.auth), (expected.url.as_str(), &expected.auth));
        assert_eq!(stored.approval_policy, expected.approval_policy);
        assert_eq!((stored.allowlist, stored.catalog_slug), (expected.allowlist, expected.catalog_slug));
        assert_eq!(stored.manifest.as_deref(), Some(&manifest(&["a", "b"])));
        assert_eq!((stored.refreshed_at, stored.created_at), (Some(clock.now()), clock.now()));
        assert_eq!(registered.status(), McpStatus::Active);

        clock.advance(60);
        let bare = NewMcpServer {
            secret: None,
            allowlist: None,
            catalog_slug: None,
            approval_policy: Vec::new(),
            ..server("shop", Some(Err("It did\nnot answer.".to_owned())))
        };
        let replaced = project.put_mcp_server(bare, Some(&registered)).await.unwrap();
        assert_eq!((replaced.id, replaced.created_at), (registered.id, registered.created_at));
        assert_eq!(replaced.discovery_error.as_deref(), Some("It did not answer."));
        assert_eq!((replaced.status(), &replaced.manifest), (McpStatus::Degraded, &None));
        assert!(replaced.version > registered.version);
        assert!(replaced.manifest_version > registered.manifest_version);
        assert_eq!(project.mcp_server("shop").await.unwrap().unwrap().1, None);

        assert!(project.delete_mcp_server("shop").await.unwrap());
        assert!(!project.delete_mcp_server("shop").await.unwrap());
        assert!(!project.delete_mcp_server("a\0").await.unwrap());
        assert_eq!(project.mcp_server("shop").await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_server_whose_row_is_damaged_is_left_out_and_named() {
    let damages = [
        "sealed_url = $1",
        "sealed_secret = $1",
        "auth = 'x'",
        "approval_policy = '['",
        "manifest = 'x', manifest_version = manifest_version + 1",
    ];
    for sql in damages {
        both(async |location| {
            let store = open(location).await;
            let project = project(&store).await;
            for name in ["bad", "good"] {
                let new = server(name, Some(Ok(manifest(&["a"]))));
                project.put_mcp_server(new, None).await.unwrap();
            }
            let mut batch = Batch::new();
            let values = if sql.contains("$1") { params![b"x".to_vec()] } else { Vec::new() };
            batch.exec(format!("update mcp_servers set {sql} where name = 'bad'"), values);
            store.db().commit(batch).await.unwrap();
            for names in [None, Some(["bad".to_owned(), "good".to_owned()])] {
                let read = project.mcp_servers_for(names.as_ref().map(|names| &names[..])).await.unwrap();
                let found: Vec<_> = read.found.iter().map(|(server, _)| server.name.as_str()).collect();
                assert_eq!((found, read.damaged), (vec!["good"], vec!["bad".to_owned()]), "{sql}");
            }
            // Whoever asks for it alone is told that it cannot be read, and not that it is not there.
            assert!(project.mcp_server("bad").await.unwrap_err().is_damage(), "{sql}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_registration_that_has_changed_is_not_written_over() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let first = project.put_mcp_server(server("shop", None), None).await.unwrap();
        assert_eq!(first.status(), McpStatus::Pending);
        let refused = project.put_mcp_server(server("shop", None), None).await.unwrap_err();
        assert!(matches!(refused, PutServerError::Changed), "{refused}");
        project.put_mcp_server(server("shop", None), Some(&first)).await.unwrap();
        let refused = project.put_mcp_server(server("shop", None), Some(&first)).await.unwrap_err();
        assert!(matches!(refused, PutServerError::Changed), "{refused}");
        assert!(project.delete_mcp_server("shop").await.unwrap());
        let refused = project.put_mcp_server(server("shop", None), Some(&first)).await.unwrap_err();
        assert!(matches!(refused, PutServerError::Changed), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_list_of_tools_is_kept_for_the_registration_that_was_asked() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let project = project(&store).await;
        let first = project.put_mcp_server(server("shop", Some(Ok(manifest(&["a"])))), None).await.unwrap();
        let keep = async |version, discovered| {
            project.keep_manifest("shop", version, discovered, clock.now()).await.unwrap()
        };
        clock.advance(3_600);
        // A failure leaves the list that is there.
        assert!(keep(first.version, Err("Down.".to_owned())).await);
        let degraded = found(&project, "shop").await;
        assert_eq!((degraded.status(), degraded.tools().len()), (McpStatus::Degraded, 1));
        assert_eq!((degraded.refreshed_at, degraded.manifest_version), (first.refreshed_at, 1));
        assert!(keep(first.version, Ok(manifest(&["a", "b"]))).await);
        let active = found(&project, "shop").await;
        assert_eq!((active.status(), active.tools().len()), (McpStatus::Active, 2));
        assert_eq!((active.refreshed_at, active.manifest_version), (Some(clock.now()), 2));
        // What was asked earlier and comes late is no news.
        let earlier = clock.now().plus_seconds(-1);
        for late in [Ok(manifest(&[])), Err("Down.".to_owned())] {
            assert!(!project.keep_manifest("shop", first.version, late, earlier).await.unwrap());
        }

        let replaced = project.put_mcp_server(server("shop", None), Some(&active)).await.unwrap();
        clock.advance(1);
        assert!(!keep(first.version, Ok(manifest(&["old"]))).await);
        assert!(!keep(first.version, Err("Down.".to_owned())).await);
        assert_eq!(found(&project, "shop").await, replaced);
        assert!(!project.keep_manifest("nobody", 1, Ok(manifest(&[])), clock.now()).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn servers_are_read_for_a_run_by_name_or_all() {
    both(async |location| {
        let store = open(location).await;
        let first = store.server().bootstrap().await.unwrap();
        let project = store.project(first.project);
        for name in ["a", "b", "c"] {
            project.put_mcp_server(server(name, None), None).await.unwrap();
        }
        let named = async |names: Option<&[String]>| {
            let servers = project.mcp_servers_for(names).await.unwrap().found;
            assert!(servers.iter().all(|(_, secret)| secret.as_deref() == Some("canary-secret")));
            servers.into_iter().map(|(server, _)| server.name).collect::<Vec<_>>()
        };
        assert_eq!(named(None).await, ["a", "b", "c"]);
        assert_eq!(named(Some(&["c", "\0", "nobody", "a", "c"].map(str::to_owned))).await, ["a", "c"]);
        assert!(named(Some(&[])).await.is_empty());
        assert!(named(Some(&["\0".to_owned()])).await.is_empty());

        let page = project.mcp_servers(None, 2).await.unwrap();
        assert_eq!(page.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["c", "b"]);
        let rest = project.mcp_servers(Some(page[1].id), 2).await.unwrap();
        assert_eq!(rest.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["a"]);

        let organization = store.organization(first.organization);
        let other = organization.create_project("other", &serde_json::Map::new(), None).await.unwrap();
        let other = store.project(other.id);
        assert!(other.mcp_servers_for(None).await.unwrap().found.is_empty());
        assert!(!other.delete_mcp_server("a").await.unwrap());
        let error = CallError { message: "theirs".to_owned(), at: store.ids().now() };
        other.note_mcp_error("a", &error).await.unwrap();
        let at = store.ids().now();
        assert!(!other.keep_manifest("a", 1, Ok(manifest(&["x"])), at).await.unwrap());
        let a = found(&project, "a").await;
        assert_eq!((a.last_call_error, a.manifest), (None, None));
        assert_eq!(other.put_mcp_server(server("a", None), None).await.unwrap().name, "a");
    })
    .await;
}

#[tokio::test]
async fn a_list_of_tools_is_read_once_for_many_runs_and_never_in_an_older_version() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let listed = || Some(Ok(manifest(&["a"])));
        let shop = project.put_mcp_server(server("shop", listed()), None).await.unwrap();
        for (name, discovered) in [("bank", listed()), ("mute", None)] {
            project.put_mcp_server(server(name, discovered), None).await.unwrap();
        }
        // Behind the back of this process: what a run gets is what was read before.
        let write = async |sql: &'static str| {
            let mut batch = Batch::new();
            batch.exec(sql, params![]);
            store.db().commit(batch).await.unwrap();
        };
        write("update mcp_servers set manifest = 'not even JSON' where name = 'shop'").await;
        let tools = async || {
            let servers = project.mcp_servers_for(None).await.unwrap().found;
            servers.into_iter().map(|(server, _)| (server.name, server.manifest)).collect::<Vec<_>>()
        };
        let names = |tools: &[(String, Option<Arc<Manifest>>)]| {
            let names = |manifest: &Arc<Manifest>| {
                manifest.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>().join(" ")
            };
            let shown = |(server, manifest): &(String, Option<Arc<Manifest>>)| {
                format!("{server}: {}", manifest.as_ref().map_or("none".to_owned(), names))
            };
            tools.iter().map(shown).collect::<Vec<_>>()
        };
        let (first, second) = (tools().await, tools().await);
        assert_eq!(names(&first), ["shop: a", "bank: a", "mute: none"]);
        let shared = first[0].1.as_ref().zip(second[0].1.as_ref()).unwrap();
        assert!(Arc::ptr_eq(shared.0, shared.1), "it is not even copied");
        // The rest of a registration is read each time.
        write("update mcp_servers set allowlist = null where name = 'shop'").await;
        assert_eq!(found(&project, "shop").await.allowlist, None);

        // Another version, whoever has written it, is what the next run gets, and it stands in its place among the others.
        write(
            r#"update mcp_servers set manifest = '{"tools": [], "protocol": "2026-07-28"}', manifest_version = manifest_version + 1
            where name = 'shop'"#,
        )
        .await;
        assert_eq!(names(&tools().await), ["shop: ", "bank: a", "mute: none"]);
        let at = store.ids().now();
        assert!(project.keep_manifest("shop", shop.version, Ok(manifest(&["b", "c"])), at).await.unwrap());
        assert_eq!(names(&tools().await), ["shop: b c", "bank: a", "mute: none"]);
        let seen = found(&project, "shop").await;
        project.put_mcp_server(server("shop", None), Some(&seen)).await.unwrap();
        assert_eq!(names(&tools().await), ["shop: none", "bank: a", "mute: none"]);
        assert!(project.delete_mcp_server("bank").await.unwrap());
        project.put_mcp_server(server("bank", Some(Ok(manifest(&["z"])))), None).await.unwrap();
        assert_eq!(names(&tools().await), ["shop: none", "mute: none", "bank: z"]);
    })
    .await;
}

#[tokio::test]
async fn the_last_error_of_a_server_stays_until_it_is_registered_again() {
    both(async |location| {
        let clock = Driven::new();
        let store = open_at(location, &clock).await;
        let project = project(&store).await;
        let first = project.put_mcp_server(server("shop", None), None).await.unwrap();
        let error = |message: &str, seconds| CallError {
            message: message.to_owned(),
            at: clock.now().plus_seconds(seconds),
        };
        project.note_mcp_error("shop", &error("It closed the connection.", 0)).await.unwrap();
        project.note_mcp_error("shop", &error("Earlier, and told late.", -1)).await.unwrap();
        let shop = found(&project, "shop").await;
        assert_eq!(shop.last_call_error, Some(error("It closed the connection.", 0)));
        let replaced = project.put_mcp_server(server("shop", None), Some(&first)).await.unwrap();
        assert_eq!(replaced.last_call_error, None);
    })
    .await;
}

#[tokio::test]
async fn a_project_has_a_bounded_number_of_servers() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        for number in 0..MOST_MCP_SERVERS {
            project.put_mcp_server(server(&format!("server_{number}"), None), None).await.unwrap();
        }
        let refused = project.put_mcp_server(server("more", None), None).await.unwrap_err();
        assert!(matches!(refused, PutServerError::TooMany), "{refused}");
        let seen = found(&project, "server_7").await;
        project.put_mcp_server(server("server_7", None), Some(&seen)).await.unwrap();
        assert!(project.delete_mcp_server("server_9").await.unwrap());
        project.put_mcp_server(server("more", None), None).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn neither_addresses_nor_secrets_lie_in_the_database_in_the_open() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(crate::Location::Sqlite(directory.path().join("ingram.db"))).await;
    project(&store).await.put_mcp_server(server("shop", None), None).await.unwrap();
    store.db().close().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for canary in [&b"canary-secret"[..], b"canary-url"] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary));
        }
    }
}
