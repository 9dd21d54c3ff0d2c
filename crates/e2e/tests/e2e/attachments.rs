//! Images and files: what a provider takes, what it is spared, and how much there may be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Engine, Server, Setup, Smith, both};
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use crate::support::{entries, id};

/// A run with a text before its part, so that the part is the second.
fn with(part: &Value) -> Value {
    json!({"thread_id": "t", "input": [{"role": "user", "content": [{"type": "text", "text": "See."}, part]}]})
}

fn file(filename: &str, bytes: &[u8]) -> Value {
    json!({"type": "file", "filename": filename, "file_data": STANDARD.encode(bytes)})
}

/// Makes a smith on the fake provider as `provider`.
async fn smith_on(server: &Server, upstream: &Upstream, provider: &str) -> Smith {
    let base_url = match provider {
        "anthropic" => upstream.anthropic_url(),
        "gemini" => upstream.gemini_url(),
        _ => upstream.openai_url(),
    };
    let key = json!({"api_key": "sk-test-canary", "base_url": base_url});
    server.admin().put(&format!("/v1/tenant/model_keys/{provider}"), &key).await.expect(200);
    server.smith(json!({"model": format!("{provider}/mock")})).await
}

#[tokio::test]
async fn a_part_that_the_provider_does_not_take_is_refused_before_there_is_a_run() {
    both(async |server| {
        let upstream = Upstream::start().await;
        let image =
            |media_type: &str| json!({"type": "image", "image_url": format!("data:{media_type};base64,AQID")});
        for (provider, part) in [
            ("anthropic", file("all.zip", b"PK")),
            ("anthropic", image("image/heic")),
            ("anthropic", json!({"type": "file", "file_url": "https://files.example/table.csv"})),
            ("openai", image("image/svg+xml")),
            ("gemini", image("image/gif")),
            ("gemini", file("all.zip", b"PK")),
            ("openai_compatible", json!({"type": "file", "file_url": "https://files.example/terms.pdf"})),
        ] {
            let smith = smith_on(&server, &upstream, provider).await;
            for stream in [false, true] {
                let mut body = with(&part);
                body["stream"] = json!(stream);
                let answer = server.admin().post(&smith.path("/runs"), &body).await;
                answer.expect_error_about(422, "invalid_input", "input[0].content[1]");
                assert!(answer.error("message").contains("does not take"), "{answer}");
            }
            assert_eq!(server.admin().get(&smith.path("/runs")).await.expect(200)["data"], json!([]));
        }
        assert_eq!(upstream.requests().len(), 0);
        // A file that is there already is judged like one that comes along.
        let smith = server.smith(json!({"model": "scripted/demo"})).await;
        let run = smith.run(&with(&file("all.zip", b"PK"))).await;
        let known = &run["input"][0]["content"][1]["file_id"];
        server.admin().patch(&smith.path(""), &json!({"model": "anthropic/mock"})).await.expect(200);
        let again = with(&json!({"type": "file", "file_id": known}));
        let answer = server.admin().post(&smith.path("/runs"), &again).await;
        answer.expect_error_about(422, "invalid_input", "input[0].content[1]");
        // A replay keeps to the model that the run had, and that one takes it.
        let replay = smith.path(&format!("/runs/{}/replay", id(&run)));
        assert_eq!(server.admin().post(&replay, &json!({})).await.expect(200)["status"], "completed");
    })
    .await;
}

#[tokio::test]
async fn an_address_that_a_tenant_may_not_have_called_is_refused_before_there_is_a_run() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let image = |address: &str| json!({"type": "image", "image_url": address});
        let file = |address: &str| json!({"type": "file", "file_url": address});
        let metadata = "https://169.254.169.254/latest/meta-data/token";
        let others = [
            (image("https://10.0.0.1/a.png"), "image_url", "a private address"),
            (file("https://[::1]/a.pdf"), "file_url", "a loopback address"),
            (image("https://localhost/a.png"), "image_url", "a loopback address"),
        ];
        let always = [
            (image(metadata), "image_url", "169.254.169.254"),
            (file("https://me:canary@files.example/a.pdf"), "file_url", "no password"),
            (image("https://a b/c.png"), "image_url", "no address"),
        ];
        for (is_open, taken, refused) in
            [(false, &others[..], &always[..]), (true, &[], &[&others[..], &always[..]].concat())]
        {
            let setup = Setup::on(engine);
            let setup = if is_open { setup.open_to_others() } else { setup };
            let server = setup.start().await;
            let smith = server.smith(json!({"model": "scripted/demo"})).await;
            for (part, field, why) in refused {
                let answer = server.admin().post(&smith.path("/runs"), &with(part)).await;
                let at = format!("input[0].content[1].{field}");
                answer.expect_error_about(422, "invalid_input", &at);
                assert!(answer.error("message").contains(why), "{answer}");
                assert!(!answer.error("message").contains("canary"), "{answer}");
            }
            // Each host is looked up.
            let parts: Vec<_> =
                (0..65).map(|host| image(&format!("https://h{host}.example/a.png"))).collect();
            let many = json!({"input": [{"role": "user", "content": parts}]});
            let answer = server.admin().post(&smith.path("/runs"), &many).await;
            answer.expect_error_about(422, "invalid_input", "input[0].content[64].image_url");
            assert_eq!(server.admin().get(&smith.path("/runs")).await.expect(200)["data"], json!([]));
            for (part, ..) in taken {
                assert_eq!(smith.run(&with(part)).await["status"], "completed");
            }
        }
    }
}

#[tokio::test]
async fn a_thread_goes_on_with_a_provider_that_does_not_take_what_was_sent_before() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Understood."));
        smith_on(&server, &upstream, "anthropic").await;
        smith_on(&server, &upstream, "openai_compatible").await;
        let smith = server.smith(json!({"model": "scripted/demo"})).await;
        let by_address = json!({"type": "file", "file_url": "https://files.example/terms.pdf"});
        for part in [file("all.zip", b"PK"), file("notes.txt", b"hi"), by_address] {
            assert_eq!(smith.run(&with(&part)).await["status"], "completed");
        }
        for (model, missing, there) in [
            (
                "anthropic/mock",
                r#"The file \"all.zip\" is not shown here"#,
                "https://files.example/terms.pdf",
            ),
            ("openai_compatible/mock", "A file is not shown here", "data:text/plain;base64,aGk="),
        ] {
            server.admin().patch(&smith.path(""), &json!({ "model": model })).await.expect(200);
            let run = smith.run(&json!({"thread_id": "t", "input": "Go on."})).await;
            assert_eq!(run["status"], "completed", "{run:#}");
            let asked = upstream.last_request().body;
            let texts = asked["messages"].to_string();
            assert!(texts.contains(missing), "{texts}");
            assert!(texts.contains(there), "what is taken is still sent: {texts}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_bytes_of_one_run_are_bounded_and_older_ones_are_left_out() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server =
            Setup::on(engine).with_variable("INGRAM_ENGINE_MAX_ATTACHMENT_BYTES", "10").start().await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Read."));
        let smith = server.smith_on(&upstream).await;
        let answer = server.admin().post(&smith.path("/runs"), &with(&file("a.txt", b"01234567890"))).await;
        answer.expect_error_about(422, "invalid_input", "input[0].content[1].file_id");
        assert!(answer.error("message").contains("10 bytes"), "{answer}");
        assert_eq!(entries(&server.admin().get(&smith.path("/runs")).await.expect(200)).len(), 0);

        let run = smith.run(&with(&file("a.txt", b"0123456789"))).await;
        assert!(upstream.last_request().body.to_string().contains(&STANDARD.encode("0123456789")));
        // Each mention counts, of a file that is kept already too.
        let part = json!({"type": "file", "file_id": run["input"][0]["content"][1]["file_id"]});
        let twice = json!({"input": [{"role": "user", "content": [part, part]}]});
        let answer = server.admin().post(&smith.path("/runs"), &twice).await;
        answer.expect_error_about(422, "invalid_input", "input[0].content[1].file_id");
        // The newest come first where there is no room for all of a thread.
        let run = smith.run(&with(&file("b.txt", b"new"))).await;
        assert_eq!(run["status"], "completed");
        let asked = upstream.last_request().body.to_string();
        assert!(asked.contains(&STANDARD.encode("new")), "{asked}");
        assert!(!asked.contains(&STANDARD.encode("0123456789")), "{asked}");
    }
}
