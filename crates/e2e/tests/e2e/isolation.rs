//! Two projects with two smiths each: nothing of one is there for the other, whichever operation asks.

use e2e::{Engine, Server, Setup};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::{Answer, Client};

use crate::support::{
    NOBODY, Operation, PERMISSIONS, acting, entries, id, operations, organization, token, upload,
};

/// Answers at once.
const QUICK: &str = "[[rule]]\nsay = \"You said: {{ last_message }}\"\n";

/// A smith with a run, a conversation and a token.
struct Person {
    smith: String,
    run: String,
    conversation: String,
    token: String,
    client: Client,
}

/// A project with two smiths, an agent with a template, and a key.
struct Tenant {
    project: String,
    agent: String,
    admin: Client,
    admin_token: String,
    people: Vec<Person>,
}

impl Tenant {
    async fn of(server: &Server, organization: &Client, name: &str) -> Self {
        let made = organization.post("/v1/organization/projects", &json!({ "name": name })).await.expect(201);
        let path = format!("/v1/organization/projects/{}/tokens", id(&made));
        let minted = organization.post(&path, &json!({})).await.expect(201);
        let admin = server.anonymous().with_bearer(token(&minted));
        let body = json!({"name": "Support", "instructions": format!("Of {name}.")});
        let agent = admin.post("/v1/agents", &body).await.expect(201);
        admin.post(&format!("/v1/agents/{}/versions", id(&agent)), &json!({})).await.expect(201);
        let mut people = Vec::new();
        for external_id in ["ana", "bo"] {
            let body = json!({"external_id": external_id, "model": "scripted/quick"});
            let smith = admin.post("/v1/smiths", &body).await.expect(201);
            let smith = id(&smith).to_owned();
            let body = json!({"input": format!("I am {external_id} of {name}."), "thread_id": "same"});
            let run = admin.post(&format!("/v1/smiths/{smith}/runs"), &body).await.expect(200);
            assert_eq!(run["status"], "completed");
            let key = json!({"api_key": format!("sk-{name}-{external_id}")});
            admin.put(&format!("/v1/smiths/{smith}/model_keys/openai"), &key).await.expect(200);
            let body = json!({"smith_id": smith, "permissions": PERMISSIONS});
            let minted = admin.post("/v1/tenant/tokens", &body).await.expect(201);
            let client = server.anonymous().with_bearer(token(&minted));
            let title = json!({"title": format!("Of {external_id} of {name}.")});
            let conversation = client.post("/v1/conversations", &title).await.expect(200);
            people.push(Person {
                run: id(&run).to_owned(),
                conversation: id(&conversation).to_owned(),
                token: id(&minted).to_owned(),
                client,
                smith,
            });
        }
        admin
            .put("/v1/tenant/model_keys/openai", &json!({"api_key": format!("sk-{name}")}))
            .await
            .expect(200);
        let agent = id(&agent).to_owned();
        let tool = json!({"description": format!("Of {name}."), "input_schema": {}, "execution": "webhook",
            "url": "http://127.0.0.1:9/tool"});
        admin.put(&format!("/v1/tenant/tools/of_{name}"), &tool).await.expect(200);
        let server = json!({"url": "http://127.0.0.1:9/mcp", "auth": {"kind": "none"}});
        admin.put(&format!("/v1/tenant/mcp/of_{name}"), &server).await.expect(200);
        let template = json!({"name": "card"});
        upload(&admin, &format!("/v1/agents/{agent}/ui"), &template, name).await.expect(200);
        Self { project: id(&made).to_owned(), agent, admin, admin_token: id(&minted).to_owned(), people }
    }

    /// Everything that the project can be asked for.
    async fn state(&self) -> Vec<Value> {
        let mut state = Vec::new();
        for path in [
            "/v1/agents",
            "/v1/smiths",
            "/v1/runs",
            "/v1/tenant/tokens",
            "/v1/tenant/model_keys",
            "/v1/tenant/models",
            "/v1/tenant/tools",
            "/v1/tenant/mcp",
        ] {
            state.push(self.admin.get(path).await.expect(200));
        }
        let versions = format!("/v1/agents/{}/versions", self.agent);
        state.push(self.admin.get(&versions).await.expect(200));
        for person in &self.people {
            for list in ["model_keys", "revisions"] {
                let path = format!("/v1/smiths/{}/{list}", person.smith);
                state.push(self.admin.get(&path).await.expect(200));
            }
            state.push(person.client.get("/v1/conversations").await.expect(200));
        }
        state.push(self.admin.get(&format!("/v1/agents/{}/ui", self.agent)).await.expect(200));
        state
    }

    /// All ids that nobody outside may see.
    fn ids(&self) -> Vec<&str> {
        let of_people = self
            .people
            .iter()
            .flat_map(|person| [&person.smith, &person.run, &person.conversation, &person.token]);
        of_people.chain([&self.project, &self.agent, &self.admin_token]).map(String::as_str).collect()
    }
}

async fn tenants(engine: Engine) -> (Server, Client, Tenant, Tenant) {
    let server = Setup::on(engine).with_script("quick", QUICK).start().await;
    let organization = organization(&server).await;
    let own = Tenant::of(&server, &organization, "own").await;
    let other = Tenant::of(&server, &organization, "other").await;
    (server, organization, own, other)
}

/// Bodies that the operation would take, and one that it would not.
fn bodies(operation: &Operation) -> Vec<Option<Value>> {
    let good = match operation.id.as_str() {
        "smiths.update" => json!({"locale": "de"}),
        "agents.update" => json!({"instructions": "Of an intruder."}),
        "agents.rollout" => json!({"version": 1}),
        "agents.attach" => json!({"all": true}),
        "smiths.runs.create" => json!({"input": "Let me in."}),
        "smiths.runs.submit" => json!({"kind": "cancel"}),
        "smiths.models.keys.put" => json!({"api_key": "sk-intruder"}),
        _ => json!({}),
    };
    if operation.takes_body {
        vec![Some(good), Some(json!({"pin": "x", "stream": 1, "ttl_seconds": 0}))]
    } else {
        vec![None]
    }
}

async fn call(client: &Client, operation: &Operation, path: &str, body: Option<&Value>) -> Answer {
    if operation.takes_upload {
        return upload(client, path, &json!({"name": "card"}), "<p>An intruder</p>").await;
    }
    client.send(operation.method.clone(), path, body).await
}

/// Checks that two answers cannot be told apart, but by the id of the request and the time.
fn assert_same(one: &Answer, other: &Answer) {
    assert_eq!((one.status, &one.body), (other.status, &other.body), "{one}\n{other}");
    let heads = [one, other].map(|answer| {
        let mut head = answer.headers.clone();
        head.remove("x-request-id");
        head.remove("date");
        head
    });
    assert_eq!(heads[0], heads[1], "{one}");
}

fn places<'a>(agent: &'a str, smith: &'a str, run: &'a str, token: &'a str) -> [(&'static str, &'a str); 8] {
    let named = [("provider", "openai"), ("name", "card"), ("version", "1")];
    let [provider, name, version] = named;
    [("aid", agent), ("pid", smith), ("rid", run), ("tid", token), ("id", run), provider, name, version]
}

#[tokio::test]
async fn a_conversation_is_there_for_its_own_smith_only() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (server, _organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let before = (own.state().await, other.state().await);
        let mut checked = 0;
        for operation in operations_of_projects(&server).await {
            if !operation.has("cnvId") {
                continue;
            }
            for client in [mine.client.clone(), acting(&own.admin, &operation, &mine.smith)] {
                for (number, body) in bodies(&operation).iter().enumerate() {
                    let call = async |conversation: &str| {
                        call(&client, &operation, &operation.path(&[("cnvId", conversation)]), body.as_ref())
                            .await
                    };
                    let never = call(&format!("cnv_{NOBODY}")).await;
                    if number == 0 {
                        never.expect_error(404, "conversation_not_found");
                    }
                    for foreign in [&sibling.conversation, &stranger.conversation, "nobody"] {
                        assert_same(&never, &call(foreign).await);
                    }
                }
            }
            // Whoever acts as a smith of another project acts as nobody.
            let path = operation.path(&[("cnvId", &stranger.conversation)]);
            let answer =
                call(&acting(&own.admin, &operation, &stranger.smith), &operation, &path, None).await;
            answer.expect_error_about(404, "not_found", "IC-Smith-Id");
            checked += 1;
        }
        assert!(checked >= 4, "{checked}");
        for list in ["/v1/conversations", &format!("/v1/conversations/{}/items", mine.conversation)] {
            for foreign in [&sibling.conversation, &stranger.conversation] {
                let answer = mine.client.get(&format!("{list}?after={foreign}")).await;
                answer.expect_error_about(400, "invalid_cursor", "after");
            }
        }
        assert_eq!((own.state().await, other.state().await), before, "nothing has changed");
    }
}

async fn operations_of_projects(server: &Server) -> Vec<Operation> {
    let wanted = |operation: &Operation| {
        operation.wants_bearer && !operation.is_of_organization() && operation.template.contains('{')
    };
    operations(server).await.into_iter().filter(wanted).collect()
}

#[tokio::test]
async fn what_another_project_has_is_as_if_it_had_never_been() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (server, _organization, own, other) = tenants(engine).await;
        let (mine, theirs) = (&own.people[0], &other.people[0]);
        let before = other.state().await;
        let nobody = ["smt", "run", "tok", "agt"].map(|prefix| format!("{prefix}_{NOBODY}"));
        let mut checked = 0;
        for operation in operations_of_projects(&server).await {
            if operation.is_of_registration() && operation.method != Method::PUT {
                for body in bodies(&operation) {
                    let call = async |name| {
                        call(&own.admin, &operation, &operation.path(&[("name", name)]), body.as_ref()).await
                    };
                    let never = call("of_nobody").await;
                    never.expect_error(404, "not_found");
                    assert_same(&never, &call("of_other").await);
                }
                checked += 1;
            }
            if !["aid", "pid", "rid", "tid", "id"].iter().any(|place| operation.has(place)) {
                continue;
            }
            let missing = operation.path(&places(&nobody[3], &nobody[0], &nobody[1], &nobody[2]));
            let foreign = operation.path(&places(&other.agent, &theirs.smith, &theirs.run, &theirs.token));
            // A run of a foreign smith under the own one, and the other way round.
            let mixed = [
                operation.path(&places(&other.agent, &mine.smith, &theirs.run, &theirs.token)),
                operation.path(&places(&other.agent, &theirs.smith, &mine.run, &theirs.token)),
            ];
            for (number, body) in bodies(&operation).iter().enumerate() {
                let never = call(&own.admin, &operation, &missing, body.as_ref()).await;
                let found = call(&own.admin, &operation, &foreign, body.as_ref()).await;
                assert_same(&never, &found);
                if number == 0 {
                    never.expect_error(404, "not_found");
                }
                if operation.has("rid") {
                    let own_missing =
                        operation.path(&places(&own.agent, &mine.smith, &nobody[1], &nobody[2]));
                    let never = call(&own.admin, &operation, &own_missing, body.as_ref()).await;
                    for path in &mixed {
                        assert_same(&never, &call(&own.admin, &operation, path, body.as_ref()).await);
                    }
                }
                checked += 1;
            }
        }
        assert!(checked >= 21, "{checked}");
        // The same names are there for everybody.
        for (kind, body) in [
            ("tools", json!({"description": "Of an intruder.", "input_schema": {}, "execution": "external"})),
            ("mcp", json!({"url": "http://127.0.0.1:9/intruder", "auth": {"kind": "none"}})),
        ] {
            let path = format!("/v1/tenant/{kind}/of_other");
            own.admin.put(&path, &body).await.expect(200);
            own.admin.delete(&path).await.expect(204);
        }
        assert_eq!(other.state().await, before, "nothing has changed over there");
    }
}

#[tokio::test]
async fn a_smith_token_reaches_its_own_smith_only() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (server, _organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let before = (own.state().await, other.state().await);
        let nobody = ["smt", "run", "tok", "agt"].map(|prefix| format!("{prefix}_{NOBODY}"));
        for operation in
            operations_of_projects(&server).await.iter().filter(|operation| operation.is_of_smith())
        {
            for body in bodies(operation) {
                let path = operation.path(&places(&nobody[3], &nobody[0], &nobody[1], &nobody[2]));
                let never = call(&mine.client, operation, &path, body.as_ref()).await;
                let is_for_admins = operation.id.starts_with("smiths.revisions.")
                    || matches!(
                        operation.id.as_str(),
                        "smiths.update" | "smiths.delete" | "smiths.export" | "smiths.erase"
                    );
                never.expect_error(403, if is_for_admins { "admin_required" } else { "smith_mismatch" });
                for person in [sibling, stranger] {
                    for run in [&person.run, &mine.run, &nobody[1]] {
                        let path = operation.path(&places(&own.agent, &person.smith, run, &nobody[2]));
                        assert_same(&never, &call(&mine.client, operation, &path, body.as_ref()).await);
                    }
                }
                if !operation.has("rid") {
                    continue;
                }
                // The run of somebody else under the own smith is as if it had never been.
                let path = operation.path(&places(&own.agent, &mine.smith, &nobody[1], &nobody[2]));
                let never = call(&mine.client, operation, &path, body.as_ref()).await;
                for run in [&sibling.run, &stranger.run] {
                    for client in [&mine.client, &own.admin] {
                        let path = operation.path(&places(&own.agent, &mine.smith, run, &nobody[2]));
                        assert_same(&never, &call(client, operation, &path, body.as_ref()).await);
                    }
                }
            }
        }
        assert_eq!((own.state().await, other.state().await), before, "nothing has changed");
    }
}

#[tokio::test]
async fn lists_hold_nothing_of_others_whatever_is_asked_for() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (server, organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let foreign_smith = other.admin.get(&format!("/v1/smiths/{}", stranger.smith)).await.expect(200);
        let foreign_agent = foreign_smith["agent_id"].as_str().unwrap();
        let page = other.admin.get("/v1/smiths?limit=1").await.expect(200);
        let foreign_cursor = page["next_cursor"].as_str().unwrap();
        let page = other.admin.get("/v1/runs?limit=1").await.expect(200);
        let foreign_runs = page["next_cursor"].as_str().unwrap();
        for operation in operations(&server).await {
            let is_list =
                operation.wants_bearer && operation.method == Method::GET && !operation.is_of_organization();
            if !is_list || operation.template.contains('{') {
                continue;
            }
            let path = &operation.template;
            for query in [
                String::new(),
                "?limit=200".to_owned(),
                format!("?smith_id={}", stranger.smith),
                format!("?agent_id={foreign_agent}"),
                "?external_id=ana&external_id_prefix=a".to_owned(),
                format!("?after={}", stranger.conversation),
                format!("?project_id={p}&tenant_id={p}&tenant={p}", p = other.project),
                format!("?cursor={}", if path == "/v1/runs" { foreign_runs } else { foreign_cursor }),
            ] {
                for client in [&acting(&own.admin, &operation, &mine.smith), &mine.client] {
                    let answer = client.get(&format!("{path}{query}")).await;
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    for foreign in other.ids() {
                        assert!(!text.contains(foreign), "{path}{query} shows {foreign}: {answer}");
                    }
                }
            }
        }
        let page = other.admin.get("/v1/agents?limit=1").await.expect(200);
        let cursor = page["next_cursor"].as_str().unwrap();
        for (path, cursor) in
            [("/v1/agents", cursor), ("/v1/smiths", foreign_cursor), ("/v1/runs", foreign_runs)]
        {
            let refused = own.admin.get(&format!("{path}?cursor={cursor}")).await;
            refused.expect_error_about(400, "invalid_cursor", "cursor");
        }
        for query in [format!("smith_id={}", stranger.smith), format!("agent_id={foreign_agent}")] {
            for path in ["/v1/runs", "/v1/smiths"] {
                let page = own.admin.get(&format!("{path}?{query}")).await.expect(200);
                let is_known = path == "/v1/smiths" && query.starts_with("smith_id");
                assert!(is_known || entries(&page).is_empty(), "{path}?{query}: {page:#}");
            }
        }
        // Within the project, a smith token sees its own runs only.
        let of_mine = mine.client.get("/v1/runs").await.expect(200);
        assert_eq!(entries(&of_mine).len(), 1);
        assert_eq!(entries(&of_mine)[0]["id"], mine.run.as_str());
        let of_sibling = mine.client.get(&format!("/v1/runs?smith_id={}", sibling.smith)).await.expect(200);
        assert_eq!(of_sibling["data"], json!([]));
        assert_eq!(entries(&own.admin.get("/v1/runs").await.expect(200)).len(), 2);
        // The organization's key reads no smith and no run, and shows no token.
        for path in ["/v1/organization/projects", "/v1/organization/keys"] {
            let text = organization.get(path).await.expect(200).to_string();
            for person in own.people.iter().chain(&other.people) {
                for hidden in [&person.smith, &person.run, &person.token] {
                    assert!(!text.contains(hidden.as_str()), "{path} shows {hidden}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_body_names_of_another_project_is_unknown() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (_server, _organization, own, other) = tenants(engine).await;
        let (mine, stranger) = (&own.people[0], &other.people[0]);
        let foreign_smith = other.admin.get(&format!("/v1/smiths/{}", stranger.smith)).await.expect(200);
        let before = (own.state().await, other.state().await);
        let token = |smith: &str| json!({"smith_id": smith, "permissions": ["runs:read"]});
        let never = own.admin.post("/v1/tenant/tokens", &token(&format!("smt_{NOBODY}"))).await;
        never.expect_error_about(422, "smith_unresolved", "smith_id");
        assert_same(&never, &own.admin.post("/v1/tenant/tokens", &token(&stranger.smith)).await);

        let path = format!("/v1/smiths/{}", mine.smith);
        for method in [Method::POST, Method::PATCH] {
            let path = if method == Method::POST { "/v1/smiths" } else { &path };
            let body = |agent: &str| json!({ "agent_id": agent });
            let never = own.admin.send(method.clone(), path, Some(&body(&format!("agt_{NOBODY}")))).await;
            never.expect_error_about(404, "not_found", "agent_id");
            let foreign = body(foreign_smith["agent_id"].as_str().unwrap());
            assert_same(&never, &own.admin.send(method, path, Some(&foreign)).await);
        }
        for (path, body, never, status) in [
            (
                "/v1/agents/import".to_owned(),
                json!({"name": "a", "from_smith": stranger.smith}),
                json!({"name": "a", "from_smith": format!("smt_{NOBODY}")}),
                404,
            ),
            (
                format!("/v1/agents/{}/attach", own.agent),
                json!({"smith_ids": [stranger.smith]}),
                json!({"smith_ids": [format!("smt_{NOBODY}")]}),
                404,
            ),
        ] {
            let never = own.admin.post(&path, &never).await;
            never.expect_error(status, "not_found");
            assert_same(&never, &own.admin.post(&path, &body).await);
        }
        assert_eq!((own.state().await, other.state().await), before, "nothing has changed");

        // Threads of one name are threads of their own smith, and so are idempotency keys.
        let key = |client: &Client| client.with_header("idempotency-key", "same");
        let body = json!({"input": "Who am I?", "thread_id": "same"});
        let run = async |person: &Person| {
            key(&person.client).post(&format!("/v1/smiths/{}/runs", person.smith), &body).await.expect(200)
        };
        let (first, second) = (run(mine).await, run(stranger).await);
        assert_ne!(first["id"], second["id"]);
        assert_eq!((&first["smith_id"], &second["smith_id"]), (&json!(mine.smith), &json!(stranger.smith)));
        let made = key(&own.admin).post("/v1/smiths", &json!({})).await.expect(201);
        let elsewhere = key(&other.admin).post("/v1/smiths", &json!({})).await.expect(201);
        assert_ne!(made["id"], elsewhere["id"]);
    }
}

#[tokio::test]
async fn headers_widen_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (_server, _organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let paths = ["/v1/runs".to_owned(), format!("/v1/smiths/{}/runs", mine.smith)];
        for client in [&own.admin, &mine.client] {
            let client = client
                .with_header("ic-agent-id", "agt_x")
                .with_header("x-tenant-id", &other.project)
                .with_header("openai-project", &other.project);
            for path in &paths {
                let answer = client.get(path).await;
                assert!(!answer.json.to_string().contains(&stranger.run), "{answer}");
                answer.expect(200);
            }
        }
        // A smith token may name its own smith as the acting one, and no other, whether or not there is one.
        for path in &paths {
            let acting = async |smith: &str| mine.client.with_header("ic-smith-id", smith).get(path).await;
            acting(&mine.smith).await.expect(200);
            acting(mine.smith.trim_start_matches("smt_")).await.expect(200);
            let never = acting(&format!("smt_{NOBODY}")).await;
            never.expect_error(403, "smith_mismatch");
            for smith in [&sibling.smith, &stranger.smith, "nobody", ""] {
                assert_same(&never, &acting(smith).await);
            }
        }
    }
}

#[tokio::test]
async fn an_administrator_may_look_at_the_runs_of_one_smith() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (_server, _organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let acting =
            async |smith: &str, path: &str| own.admin.with_header("ic-smith-id", smith).get(path).await;
        for smith in [mine.smith.as_str(), mine.smith.trim_start_matches("smt_")] {
            let runs = acting(smith, "/v1/runs").await.expect(200);
            assert_eq!(entries(&runs).iter().map(id).collect::<Vec<_>>(), [mine.run.as_str()]);
        }
        // Together with a filter both hold.
        for (smith, found) in [(&mine.smith, 1), (&sibling.smith, 0)] {
            let runs = acting(&mine.smith, &format!("/v1/runs?smith_id={smith}")).await.expect(200);
            assert_eq!(entries(&runs).len(), found);
        }
        // A smith that is not there is no filter that matches nothing, and one of another project is not there.
        let never = acting(&format!("smt_{NOBODY}"), "/v1/runs").await;
        never.expect_error_about(404, "not_found", "IC-Smith-Id");
        for smith in [stranger.smith.as_str(), "nobody", ""] {
            assert_same(&never, &acting(smith, "/v1/runs").await);
        }
        // Where the path names a smith the path counts, and what a project shares belongs to no smith.
        let runs = acting(&sibling.smith, &format!("/v1/smiths/{}/runs", mine.smith)).await.expect(200);
        assert_eq!(entries(&runs).iter().map(id).collect::<Vec<_>>(), [mine.run.as_str()]);
        for path in ["/v1/smiths", "/v1/tenant/tokens", "/v1/tenant/model_keys", "/v1/tenant/models"] {
            assert_eq!(acting(&mine.smith, path).await.expect(200), own.admin.get(path).await.expect(200));
        }
    }
}

/// Rules that the paths of an organization follow; it has one organization only, so that what is foreign is a project.
#[tokio::test]
async fn tokens_are_revoked_through_their_own_project_only() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (_server, organization, own, other) = tenants(engine).await;
        let path = |project: &str, token: &str| format!("/v1/organization/projects/{project}/tokens/{token}");
        let never = organization.delete(&path(&own.project, &format!("tok_{NOBODY}"))).await;
        never.expect_error(404, "not_found");
        assert_same(&never, &organization.delete(&path(&own.project, &other.admin_token)).await);
        assert_same(&never, &organization.delete(&path(&own.project, &other.people[0].token)).await);
        let keys = organization.get("/v1/organization/keys").await.expect(200);
        let key = id(&entries(&keys)[0]);
        assert_same(&never, &organization.delete(&path(&own.project, key)).await);
        let never = own.admin.delete(&format!("/v1/tenant/tokens/tok_{NOBODY}")).await;
        assert_same(&never, &own.admin.delete(&format!("/v1/tenant/tokens/{key}")).await);
        let never = organization.delete(&format!("/v1/organization/keys/tok_{NOBODY}")).await;
        assert_same(
            &never,
            &organization.delete(&format!("/v1/organization/keys/{}", own.admin_token)).await,
        );
        own.admin.get("/v1/smiths").await.expect(200);
        other.admin.get("/v1/smiths").await.expect(200);
        organization.get("/v1/organization/keys").await.expect(200);
    }
}

#[tokio::test]
async fn a_response_is_there_for_its_own_smith_only() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (server, _organization, own, other) = tenants(engine).await;
        let (mine, sibling, stranger) = (&own.people[0], &own.people[1], &other.people[0]);
        let before = (own.state().await, other.state().await);
        let acting = own.admin.with_header("ic-smith-id", &mine.smith);
        let mut checked = 0;
        for operation in operations_of_projects(&server).await {
            if !operation.template.starts_with("/v1/responses/{id}") {
                continue;
            }
            for client in [&mine.client, &acting] {
                let call =
                    async |run: &str| call(client, &operation, &operation.path(&[("id", run)]), None).await;
                let never = call(&format!("run_{NOBODY}")).await;
                never.expect_error(404, "not_found");
                for foreign in [&sibling.run, &stranger.run] {
                    assert_same(&never, &call(foreign).await);
                }
                call(&mine.run).await.expect(200);
            }
            checked += 1;
        }
        assert_eq!(checked, 2);
        for foreign in [&sibling.run, &stranger.run] {
            let body = json!({"input": "Let me in.", "previous_response_id": foreign});
            let answer = mine.client.post("/v1/responses", &body).await;
            answer.expect_error_about(404, "not_found", "previous_response_id");
        }
        assert_eq!((own.state().await, other.state().await), before, "nothing has changed");
    }
}
