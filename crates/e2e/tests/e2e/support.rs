//! What the modules share: other callers, the server's own document, and snapshots without what differs by run.

use bytes::Bytes;
use e2e::{Server, Smith};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::{Answer, Client};
use testkit::receiver::Receiver;
use testkit::upstream::Gate;

/// An id in its form that nothing has.
pub(crate) const NOBODY: &str = "11111111111111111111zz";

/// Returns the id of something that was answered.
pub(crate) fn id(thing: &Value) -> &str {
    thing["id"].as_str().expect("it has an id")
}

/// Returns the `data` of a list.
pub(crate) fn entries(list: &Value) -> &[Value] {
    list["data"].as_array().expect("a list has data")
}

/// Runs a command that mints a token and returns the token.
pub(crate) async fn minted(server: &Server, arguments: &[&str]) -> String {
    let mut command = vec!["token", "create"];
    command.extend_from_slice(arguments);
    let output = server.command(&command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
}

/// Returns a client with a key of the organization.
pub(crate) async fn organization(server: &Server) -> Client {
    server.anonymous().with_bearer(&minted(server, &["--organization"]).await)
}

/// Makes a project of this name, and returns a client with a tenant-admin token for it, and its id.
pub(crate) async fn project(server: &Server, organization: &Client, name: &str) -> (Client, String) {
    let made = organization.post("/v1/organization/projects", &json!({ "name": name })).await.expect(201);
    let path = format!("/v1/organization/projects/{}/tokens", id(&made));
    let minted = organization.post(&path, &json!({})).await.expect(201);
    (server.anonymous().with_bearer(token(&minted)), id(&made).to_owned())
}

/// Returns the text of a token that was minted.
pub(crate) fn token(minted: &Value) -> &str {
    minted["token"].as_str().expect("a minted token has its text")
}

/// Mints a smith token with every permission but these, and returns a client with it.
pub(crate) async fn smith_client_without(server: &Server, smith: &Smith, without: &[&str]) -> Client {
    let permissions: Vec<&str> = PERMISSIONS.iter().copied().filter(|name| !without.contains(name)).collect();
    server.smith_client(smith, &permissions).await
}

/// All permissions, in the order of the contract.
pub(crate) const PERMISSIONS: &[&str] = &[
    "runs:read",
    "runs:write",
    "conversations:read",
    "conversations:write",
    "memories:read",
    "memories:write",
    "connections:read",
    "connections:write",
    "deployments:read",
    "deployments:write",
    "schedules:read",
    "schedules:write",
    "approvals:read",
    "approvals:write",
    "traces:read",
    "traces:write",
    "usage:read",
    "usage:write",
    "customers:read",
    "customers:write",
    "files:read",
    "files:write",
    "vector_stores:read",
    "vector_stores:write",
    "model_keys:read",
    "model_keys:write",
    "skills:read",
    "skills:write",
    "embeddings:write",
];

/// An operation of the server's own document.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) template: String,
    pub(crate) id: String,
    pub(crate) wants_bearer: bool,
    /// Takes JSON.
    pub(crate) takes_body: bool,
    /// Takes a form with a file.
    pub(crate) takes_upload: bool,
    /// The names of the parameters in the query.
    pub(crate) query: Vec<String>,
}

impl Operation {
    /// Fills the places of the path.
    pub(crate) fn path(&self, places: &[(&str, &str)]) -> String {
        let fill = |path: String, (name, value): &(&str, &str)| path.replace(&format!("{{{name}}}"), value);
        let path = places.iter().fold(self.template.clone(), fill);
        assert!(!path.contains('{'), "{self}: nothing for a place in {path}");
        path
    }

    pub(crate) fn has(&self, place: &str) -> bool {
        self.template.contains(&format!("{{{place}}}"))
    }

    pub(crate) fn is_of_organization(&self) -> bool {
        self.template.starts_with("/v1/organization/")
    }

    /// Tells whether clients of OpenAI call the operation.
    pub(crate) fn is_of_openai(&self) -> bool {
        ["/v1/chat/", "/v1/conversations", "/v1/embeddings", "/v1/models", "/v1/responses"]
            .iter()
            .any(|path| self.template.starts_with(path))
    }

    /// Tells whether a request has to say which smith it acts as, because its path does not.
    pub(crate) fn wants_acting_smith(&self) -> bool {
        ["/v1/chat/", "/v1/conversations", "/v1/responses"].iter().any(|path| self.template.starts_with(path))
    }

    /// Tells whether the operation is about something that a project has registered under a name of its choice.
    pub(crate) fn is_of_registration(&self) -> bool {
        ["/v1/tenant/tools/{name}", "/v1/tenant/mcp/{name}"]
            .iter()
            .any(|path| self.template.starts_with(path))
    }

    /// Tells whether the operation belongs to the smith that its path names.
    pub(crate) fn is_of_smith(&self) -> bool {
        self.template.starts_with("/v1/smiths/{pid}")
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.method, self.template)
    }
}

fn query(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let in_query = parameters.filter(|parameter| parameter["in"] == "query");
    in_query.filter_map(|parameter| parameter["name"].as_str().map(str::to_owned)).collect()
}

/// Fills a path with the own smith, or no project, and otherwise with what is not there.
pub(crate) fn own_path(operation: &Operation, smith: &Smith) -> String {
    let nobody = |prefix: &str| format!("{prefix}_{NOBODY}");
    let owner = if operation.is_of_organization() { nobody("proj") } else { smith.id.clone() };
    operation.path(&[
        ("pid", &owner),
        ("aid", &smith.agent),
        ("rid", &nobody("run")),
        ("aprId", &nobody("apr")),
        ("tid", &nobody("tok")),
        ("kid", &nobody("tok")),
        ("provider", "gemini"),
        ("aid", &nobody("agt")),
        ("name", "card"),
        ("slug", "nothing"),
        ("version", "1"),
        ("cnvId", &nobody("cnv")),
        ("model", "nothing"),
        ("id", &nobody("run")),
    ])
}

/// Returns a client that acts as a smith where the operation wants one.
pub(crate) fn acting(client: &Client, operation: &Operation, smith: &str) -> Client {
    if operation.wants_acting_smith() { client.with_header("ic-smith-id", smith) } else { client.clone() }
}

/// Lists the operations that the server says it has.
pub(crate) async fn operations(server: &Server) -> Vec<Operation> {
    let document = server.anonymous().get("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().expect("a document has paths");
    let mut operations = Vec::new();
    for (template, item) in paths {
        for (method, operation) in item.as_object().expect("a path has methods") {
            operations.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                template: template.clone(),
                id: operation["operationId"].as_str().expect("an operation has an id").to_owned(),
                wants_bearer: operation["security"][0].get("bearerAuth").is_some(),
                takes_body: operation["requestBody"]["content"].get("application/json").is_some(),
                takes_upload: operation["requestBody"]["content"].get("multipart/form-data").is_some(),
                query: query(operation),
            });
        }
    }
    assert!(operations.iter().filter(|operation| operation.wants_bearer).count() >= 43, "{operations:?}");
    operations
}

/// The content type of [`form`].
pub(crate) const FORM: &str = "multipart/form-data; boundary=xyz";

/// Writes a form whose parts say no more than their names.
pub(crate) fn form(parts: &[(&str, &str)]) -> Bytes {
    let head = |name| format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
    let parts = parts.iter().map(|(name, content)| format!("{}{content}\r\n", head(name)));
    Bytes::from(format!("{}--xyz--\r\n", parts.collect::<String>()))
}

/// Uploads a UI template.
pub(crate) async fn upload(client: &Client, path: &str, metadata: &Value, html: &str) -> Answer {
    let body = form(&[("file", html), ("metadata", &metadata.to_string())]);
    client.with_header("content-type", FORM).send_bytes(Method::POST, path, Some(body)).await
}

/// Returns the id of a smith's agent.
pub(crate) async fn agent_of(client: &Client, smith: &str) -> String {
    let smith = client.get(&format!("/v1/smiths/{smith}")).await.expect(200);
    smith["agent_id"].as_str().expect("a smith has an agent").to_owned()
}

/// Replaces ids, times, tokens and cursors by what they are.
pub(crate) fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let redact = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::String(_) if name == "next_cursor" => json!("[cursor]"),
                    value => redacted(value),
                };
                (name.clone(), value)
            };
            Value::Object(fields.iter().map(redact).collect())
        }
        Value::Array(values) => values.iter().map(redacted).collect(),
        Value::String(text) => Value::String(redacted_text(text)),
        other => other.clone(),
    }
}

fn redacted_text(text: &str) -> String {
    for prefix in ["tha_live_", "thp_live_", "oka_live_"] {
        if text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()) {
            return format!("{prefix}[jwt]");
        }
    }
    if text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T' {
        return "[time]".to_owned();
    }
    let is_separator = |character: char| !character.is_ascii_alphanumeric() && character != '_';
    let words = text.split_inclusive(is_separator).map(|word| {
        let bare = word.trim_end_matches(is_separator);
        match bare.split_once('_') {
            Some((prefix, body))
                if body.len() == 22 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                word.replace(bare, &format!("{prefix}_[id]"))
            }
            _ => word.to_owned(),
        }
    });
    words.collect()
}

/// Reads a list page by page to its end.
pub(crate) async fn pages(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let rest = cursor.as_ref().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = client.get(&format!("{path}{separator}limit={limit}{rest}")).await.expect(200);
        assert!(entries(&page).len() <= limit, "{page:#}");
        all.extend_from_slice(entries(&page));
        let next = page["next_cursor"].as_str().map(str::to_owned);
        assert_eq!(page["has_more"], next.is_some(), "{page:#}");
        assert!(next.is_none() || next != cursor, "a page has returned the cursor that it was asked with");
        match next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

/// Opens the file of the embedded database for reading.
pub(crate) fn reader(server: &Server) -> rusqlite::Connection {
    let file = server.data().join("ingram.db");
    rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Reads a number from the database.
pub(crate) async fn number(server: &Server, sql: &str) -> i64 {
    match server.database() {
        Some(database) => database.client().await.query_one(sql, &[]).await.unwrap().get(0),
        None => reader(server).query_row(sql, [], |row| row.get(0)).unwrap(),
    }
}

/// Where the tool of [`held_tool`] is tried out.
pub(crate) const TRIED: &str = "/v1/tenant/tools/refund/test";

/// Registers a webhook tool, `refund`, whose calls wait at a gate.
pub(crate) async fn held_tool(server: &Server) -> (Receiver, Gate) {
    let receiver = Receiver::start().await;
    let gate = Gate::hold();
    receiver.through(&gate);
    let tool = json!({
        "description": "Refunds.",
        "input_schema": {"type": "object"},
        "execution": "webhook",
        "url": receiver.url(),
        "timeout_seconds": 600,
    });
    server.admin().put("/v1/tenant/tools/refund", &tool).await.expect(200);
    (receiver, gate)
}
