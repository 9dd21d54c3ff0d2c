//! UI templates of an agent's draft: uploaded, listed, served byte for byte.

use e2e::{Engine, Server, Setup, both};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use testkit::http::Answer;

use crate::support::{FORM, agent_of, entries, id, upload};

/// Returns the path of the templates of the agent that every project has.
async fn templates(server: &Server) -> String {
    let smith = server.smith(json!({"external_id": "of the agent"})).await;
    format!("/v1/agents/{}/ui", agent_of(&server.admin(), &smith.id).await)
}

async fn send(server: &Server, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
    let client = server.admin().with_header("content-type", content_type);
    client.send_bytes(Method::POST, path, Some(body.into())).await
}

#[tokio::test]
async fn a_template_comes_back_byte_for_byte_and_survives_a_restart() {
    both(async |mut server| {
        let path = templates(&server).await;
        let html = "<!doctype html>\r\n<p>\u{1f600} Grüße\0</p>\n--xy\r\n\u{feff}";
        let said = r#""csp":{"resourceDomains":["https://b"],"connectDomains":[],"x":null},"permissions":{"zoom":{},"camera":{"a":[1.5,9007199254740993]}},"prefers_border":null,"domain":"card.example","tool":{"visibility":["app"],"mutating":true,"description":"Shows a card","input_schema":{"type":"object","properties":{"z":{},"a":{}}},"instruction":null}"#;
        let metadata = format!("{{\"title\":\"unknown\",{said},\"name\":\"card-1_a\"}}");
        let body = format!(
            "--xyz\r\ncontent-disposition: form-data; name=metadata\r\nContent-Type: application/json\r\n\r\n{metadata}\r\n\
             --xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a/card.html\"\r\nContent-Type: text/html\r\n\r\n{html}\r\n--xyz--"
        );
        let stored = send(&server, &path, FORM, body.into_bytes()).await;
        let hash = stored.json["content_hash"].as_str().unwrap().to_owned();
        assert!(hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        let wanted = format!(r#"{{"name":"card-1_a","content_hash":"{hash}",{said}}}"#);
        assert_eq!(String::from_utf8_lossy(&stored.body), wanted, "{stored}");
        upload(&server.admin(), &path, &json!({"name": "bare"}), html).await.expect(200);

        server.kill().await;
        server.start_again().await;
        let admin = server.admin();
        let shown = admin.get(&format!("{path}/card-1_a")).await;
        assert_eq!(String::from_utf8_lossy(&shown.body), wanted);
        let listed = admin.get(&path).await;
        let bare = format!(r#"{{"name":"bare","content_hash":"{hash}"}}"#);
        assert_eq!(String::from_utf8_lossy(&listed.body), format!("{{\"data\":[{wanted},{bare}]}}"));
        let content = admin.get(&format!("{path}/card-1_a/content")).await;
        assert_eq!((content.status, &content.body[..]), (200, html.as_bytes()));
        assert_eq!(content.header("content-type"), "text/html; charset=utf-8");
        let tag = format!("\"{hash}\"");
        assert_eq!(content.header("etag"), tag);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\" , {tag}"), "*".to_owned()] {
            let client = admin.with_header("if-none-match", &known);
            let again = client.get(&format!("{path}/bare/content")).await;
            assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, tag.as_str()), "{again}");
        }
        let client = admin.with_header("if-none-match", &hash);
        assert_eq!(client.get(&format!("{path}/bare/content")).await.status, 200);

        admin.delete(&format!("{path}/card-1_a")).await.expect(204);
        for rest in ["/card-1_a", "/card-1_a/content"] {
            admin.get(&format!("{path}{rest}")).await.expect_error(404, "not_found");
        }
        admin.delete(&format!("{path}/card-1_a")).await.expect_error(404, "not_found");
        assert_eq!(admin.get(&format!("{path}/bare/content")).await.status, 200, "its HTML is the same");
    })
    .await;
}

#[tokio::test]
async fn uploads_at_the_same_time_are_all_kept_and_the_last_of_a_name_stays() {
    both(async |server| {
        let path = templates(&server).await;
        let admin = server.admin();
        let uploads = (0..10).map(async |number| {
            let (name, html) = (format!("t{}", number % 5), format!("<p>{number}</p>"));
            upload(&admin, &path, &json!({"name": name}), &html).await.expect(200)
        });
        join_all(uploads).await;
        let listed = admin.get(&path).await.expect(200);
        assert_eq!(entries(&listed).len(), 5, "{listed:#}");
        for template in entries(&listed) {
            let name = template["name"].as_str().unwrap();
            let content = admin.get(&format!("{path}/{name}/content")).await;
            assert_eq!(content.header("etag"), format!("\"{}\"", template["content_hash"].as_str().unwrap()));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_or_no_form_changes_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server =
            Setup::on(engine).with_variable("INGRAM_HTTP_MAX_UI_TEMPLATE_BYTES", "1000").start().await;
        let path = templates(&server).await;
        let card = json!({"name": "card"});
        upload(&server.admin(), &path, &card, &"x".repeat(1_000)).await.expect(200);
        let before = server.admin().get(&path).await.expect(200);
        for bytes in [1_001, 100_000] {
            let answer = upload(&server.admin(), &path, &card, &"x".repeat(bytes)).await;
            answer.expect_error(413, "payload_too_large");
        }
        for (metadata, param) in [
            (json!({"name": "Card"}), "metadata.name"),
            (json!({"name": "c".repeat(64)}), "metadata.name"),
            (json!({"name": "card", "tool": {"mutating": true}}), "metadata.tool.description"),
            (json!([]), "metadata"),
        ] {
            let answer = upload(&server.admin(), &path, &metadata, "x").await;
            answer.expect_error_about(422, "invalid_input", param);
        }
        for (content_type, body) in [
            (FORM, "--xyz\r\nhunter2"),
            (FORM, "hunter2"),
            ("multipart/form-data", "--xyz--"),
            ("application/json", "{}"),
            ("text/plain", "hunter2"),
        ] {
            let answer = send(&server, &path, content_type, body.into()).await;
            answer.expect_error(400, "invalid_request");
            assert!(!answer.json.to_string().contains("hunter2"), "{answer}");
        }
        assert_eq!(server.admin().get(&path).await.expect(200), before);
    }
}

#[tokio::test]
async fn a_version_keeps_the_templates_that_the_draft_had() {
    both(async |server| {
        let admin = server.admin();
        let made = admin.post("/v1/agents", &json!({"name": "Cards"})).await.expect(201);
        let agent = format!("/v1/agents/{}", id(&made));
        let path = format!("{agent}/ui");
        let uploads = (0..4).map(async |number| {
            let metadata =
                json!({"name": format!("t{number}"), "tool": {"mutating": true, "description": "d"}});
            upload(&admin, &path, &metadata, "<p>").await.expect(200)
        });
        let changes = (0..4).map(async |number| {
            let change = json!({"vector_store_ids": [format!("vs_{number}")]});
            admin.patch(&agent, &change).await.expect(200)
        });
        futures::join!(join_all(uploads), join_all(changes));
        let draft = admin.get(&agent).await.expect(200)["draft"].clone();
        assert_eq!(entries(&admin.get(&path).await.expect(200)).len(), 4, "no change has undone another");
        assert_eq!(draft["vector_store_ids"].as_array().unwrap().len(), 1);
        let version = admin.post(&format!("{agent}/versions"), &json!({})).await.expect(201);
        admin.delete(&format!("{path}/t0")).await.expect(204);
        upload(&admin, &path, &json!({"name": "t1"}), "<b>").await.expect(200);
        let listed = admin.get(&format!("{agent}/versions")).await.expect(200);
        for snapshot in [&version["snapshot"], &entries(&listed)[0]["snapshot"]] {
            assert_eq!(snapshot["ui_resources"].to_string(), draft["ui_resources"].to_string());
        }
    })
    .await;
}
