use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::Options;
use crate::testing::{Reply, TestApp, both_with, request};

const HTML: &str = "<!doctype html><p>Grüße</p>\r\n";
/// Of the HTML above.
const HASH: &str = "34a131928f30191acd2343ca0635ae8fb751dd7be9000eb600d2525fda976215";

struct Agent {
    server: TestApp,
    admin: String,
    path: String,
}

/// Runs a test body with the default agent of an application.
async fn both(options: Options, body: impl AsyncFn(Agent)) {
    both_with(options, crate::router, async |server| {
        let admin = server.admin_token().await;
        let agent = server.app.store.project(server.first.project).default_agent().await.unwrap().id;
        body(Agent { server, admin, path: format!("/v1/agents/{agent}/ui") }).await;
    })
    .await;
}

impl Agent {
    /// Sends a request with these headers.
    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut sent =
            request(method.as_str(), path).header("authorization", format!("Bearer {}", self.admin));
        for (name, value) in headers {
            sent = sent.header(*name, *value);
        }
        self.server.send(sent.body(Body::from(body)).unwrap()).await
    }

    async fn upload(&self, parts: &[(&str, &[u8])]) -> Reply {
        let form = [("content-type", "multipart/form-data; boundary=xyz")];
        self.send(Method::POST, &self.path, &form, form_of(parts)).await
    }

    async fn put(&self, metadata: &str, html: &str) -> Reply {
        self.upload(&[("file", html.as_bytes()), ("metadata", metadata.as_bytes())]).await
    }

    async fn get(&self, rest: &str) -> Reply {
        self.send(Method::GET, &format!("{}{rest}", self.path), &[], Vec::new()).await
    }
}

fn form_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        body.extend(format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n").into_bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(b"--xyz--\r\n");
    body
}

#[tokio::test]
async fn a_template_comes_back_as_it_was_stored() {
    both(Options::default(), async |agent| {
        assert_eq!(agent.get("").await.body, json!({"data": []}));
        let metadata = r#"{"tool":{"mutating":true,"description":"d","input_schema":{"z":1,"a":null}},"csp":{"frameDomains":[],"connectDomains":["https://a"]},"name":"card"}"#;
        let stored = agent.put(metadata, HTML).await;
        assert_eq!(stored.status, 200);
        assert_eq!(
            stored.text,
            format!(
                r#"{{"name":"card","content_hash":"{HASH}","csp":{{"frameDomains":[],"connectDomains":["https://a"]}},"tool":{{"mutating":true,"description":"d","input_schema":{{"z":1,"a":null}}}}}}"#
            )
        );
        assert_eq!(agent.get("/card").await.text, stored.text);
        assert_eq!(agent.get("").await.text, format!("{{\"data\":[{}]}}", stored.text));
        let replaced = agent.put(r#"{"name":"card"}"#, "<p>").await;
        assert_ne!(replaced.body["content_hash"], HASH);
        assert_eq!(agent.get("").await.body, json!({"data": [replaced.body]}));
        let gone = agent.send(Method::DELETE, &format!("{}/card", agent.path), &[], Vec::new()).await;
        assert_eq!(gone.status, 204);
        for rest in ["/card", "/card/content", "/other"] {
            assert_eq!(agent.get(rest).await.code(), "not_found");
        }
        let gone = agent.send(Method::DELETE, &format!("{}/card", agent.path), &[], Vec::new()).await;
        assert_eq!(gone.code(), "not_found");
    })
    .await;
}

#[tokio::test]
async fn the_html_is_served_with_its_hash_and_not_twice() {
    both(Options::default(), async |agent| {
        agent.put(r#"{"name":"card"}"#, HTML).await;
        let served = agent.get("/card/content").await;
        assert_eq!((served.status.as_u16(), served.text.as_str()), (200, HTML));
        let tag = format!("\"{HASH}\"");
        for (name, value) in [
            ("etag", tag.as_str()),
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "private, no-cache"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
        ] {
            assert_eq!(served.header(name), value);
        }
        let path = format!("{}/card/content", agent.path);
        for known in [tag.as_str(), "*", &format!("\"other\", W/{tag}")] {
            let again = agent.send(Method::GET, &path, &[("if-none-match", known)], Vec::new()).await;
            assert_eq!(
                (again.status.as_u16(), again.text.as_str(), again.header("etag")),
                (304, "", tag.as_str())
            );
            assert_eq!(again.header("content-type"), "");
        }
        let other = agent.send(Method::GET, &path, &[("if-none-match", "\"other\"")], Vec::new()).await;
        assert_eq!(other.status, 200);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_and_changes_nothing() {
    let options = Options { max_ui_template_bytes: 1_000, ..Options::default() };
    both(options, async |agent| {
        let refused = |reply: Reply| {
            let param = reply.body["error"]["param"].as_str().unwrap_or_default().to_owned();
            (reply.status.as_u16(), reply.code().to_owned(), param)
        };
        let wrong = |param: &str| (422, "invalid_input".to_owned(), param.to_owned());
        let (file, metadata) = (("file", &b"<p>"[..]), ("metadata", &br#"{"name":"card"}"#[..]));
        assert_eq!(refused(agent.upload(&[file]).await), wrong("metadata"));
        assert_eq!(refused(agent.upload(&[metadata]).await), wrong("file"));
        assert_eq!(refused(agent.upload(&[file, file, metadata]).await), wrong("file"));
        assert_eq!(refused(agent.upload(&[("file", b""), metadata]).await), wrong("file"));
        assert_eq!(refused(agent.upload(&[("file", b"\xff"), metadata]).await), wrong("file"));
        assert_eq!(refused(agent.upload(&[file, ("metadata", b"\xff")]).await), wrong("metadata"));
        assert_eq!(refused(agent.upload(&[file, ("metadata", b"{}")]).await), wrong("metadata.name"));
        let long = format!("{{\"name\":\"card\",\"domain\":\"{}\"}}", "x".repeat(32 * 1024));
        assert_eq!(refused(agent.upload(&[file, ("metadata", long.as_bytes())]).await), wrong("metadata"));
        let too_large = (413, "payload_too_large".to_owned(), "file".to_owned());
        let large = "x".repeat(1_001);
        assert_eq!(refused(agent.upload(&[("file", large.as_bytes()), metadata]).await), too_large);
        // More than all parts may have together is not even read.
        let large = "x".repeat(60_000);
        assert_eq!(
            refused(agent.upload(&[("file", large.as_bytes()), metadata]).await).1,
            "payload_too_large"
        );
        let absent = agent.send(Method::POST, &agent.path, &[], Vec::new()).await;
        assert_eq!(refused(absent), wrong("file"));
        let json = agent
            .send(Method::POST, &agent.path, &[("content-type", "application/json")], b"{}".to_vec())
            .await;
        assert_eq!(refused(json), (400, "invalid_request".to_owned(), "Content-Type".to_owned()));
        assert_eq!(agent.get("").await.body, json!({"data": []}));
        // As much as may be is taken.
        assert_eq!(agent.put(r#"{"name":"card"}"#, &"x".repeat(1_000)).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_repeated_upload_is_one_whatever_its_boundary() {
    both(Options::default(), async |agent| {
        let send = async |boundary: &str, html: &[u8]| {
            let body = form_of(&[("file", html), ("metadata", br#"{"name":"card"}"#)]);
            let body = String::from_utf8(body).unwrap().replace("xyz", boundary).into_bytes();
            let form = format!("multipart/form-data; boundary={boundary}");
            let headers = [("content-type", form.as_str()), ("idempotency-key", "k")];
            agent.send(Method::POST, &agent.path, &headers, body).await
        };
        let first = send("one", b"<p>").await;
        agent.put(r#"{"name":"card"}"#, "<b>").await;
        let again = send("two", b"<p>").await;
        assert_eq!((again.status, again.text), (first.status, first.text));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(send("three", b"<i>").await.code(), "idempotency_key_reused");
        let content = agent.get("/card/content").await;
        assert_eq!(content.text, "<b>", "the repetition has changed nothing");
    })
    .await;
}

#[tokio::test]
async fn only_administrators_of_the_project_reach_templates() {
    both(Options::default(), async |agent| {
        agent.put(r#"{"name":"card"}"#, HTML).await;
        let smith = agent.server.call(&agent.admin, Method::POST, "/v1/smiths", json!({})).await.body;
        let body = json!({"smith_id": smith["id"], "permissions": ["runs:read"]});
        let minted = agent.server.call(&agent.admin, Method::POST, "/v1/tenant/tokens", body).await.body;
        let token = minted["token"].as_str().unwrap();
        for (method, rest) in [
            (Method::GET, ""),
            (Method::POST, ""),
            (Method::GET, "/card"),
            (Method::GET, "/card/content"),
            (Method::DELETE, "/card"),
        ] {
            let path = format!("{}{rest}", agent.path);
            assert_eq!(
                agent.server.refused(token, method.clone(), &path, Value::Null).await.1,
                "admin_required"
            );
            let path = format!("/v1/agents/agt_11111111111111111111zz/ui{rest}");
            assert_eq!(agent.server.refused(&agent.admin, method, &path, Value::Null).await.1, "not_found");
        }
        assert_eq!(agent.get("/card").await.status, 200);
    })
    .await;
}
