//! Keys of model providers: set, never shown, and never sent where they must not go.

use e2e::{Engine, Server, Setup, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::upstream::{Reply, Upstream};

use crate::support::{entries, redacted};

const KEYS: &str = "/v1/tenant/model_keys";
const CANARY: &str = "sk-canary-7f3a9b2e51";

#[tokio::test]
async fn a_key_is_set_shown_as_set_and_removed() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        for path in [KEYS.to_owned(), smith.path("/model_keys")] {
            assert_eq!(server.admin().get(&path).await.expect(200)["data"], json!([]));
            let put = async |provider: &str, body: Value| {
                server.admin().put(&format!("{path}/{provider}"), &body).await.expect(200)
            };
            let answers = json!([
                put("openai", json!({"api_key": CANARY})).await,
                put("anthropic", json!({"api_key": CANARY, "base_url": "", "workspace_id": ""})).await,
                put("gemini", json!({"api_key": CANARY, "base_url": "https://gemini.example/v1"})).await,
                put("openai_compatible", json!({"api_key": "-", "base_url": "http://127.0.0.1:11434/v1"}))
                    .await,
            ]);
            let listed = server.admin().get(&path).await.expect(200);
            assert_json_snapshot!("model_keys", redacted(&json!({"answers": answers, "listed": listed})));
            // Once more replaces: a key without an address forgets the old one.
            put("gemini", json!({"api_key": "other"})).await;
            let listed = server.admin().get(&path).await.expect(200);
            assert_eq!(entries(&listed).len(), 4);
            assert!(
                entries(&listed)
                    .iter()
                    .filter(|key| key["provider"] == "gemini")
                    .all(|key| key["base_url"].is_null())
            );
            for provider in ["openai", "anthropic", "gemini", "openai_compatible"] {
                server.admin().delete(&format!("{path}/{provider}")).await.expect(204);
            }
            for gone in ["openai", "nobody", "scripted", "%00"] {
                let answer = server.admin().delete(&format!("{path}/{gone}")).await;
                answer.expect_error(404, "not_found");
            }
            assert_eq!(server.admin().get(&path).await.expect(200)["data"], json!([]));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_named_and_nothing_is_kept() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let long_url = format!("https://host.example/{}", "p".repeat(2_048));
        let mut errors = serde_json::Map::new();
        for (provider, body, code, param) in [
            ("openai", json!({}), "empty_key", "api_key"),
            ("openai", json!({"api_key": null}), "empty_key", "api_key"),
            ("openai", json!({"api_key": " \n"}), "empty_key", "api_key"),
            ("openai", json!({"api_key": 1}), "invalid_input", "api_key"),
            ("openai", json!({"api_key": "a b"}), "invalid_input", "api_key"),
            ("openai", json!({"api_key": "a\nb"}), "invalid_input", "api_key"),
            ("openai", json!({"api_key": "schlüssel"}), "invalid_input", "api_key"),
            ("openai", json!({"api_key": "k".repeat(4_097)}), "invalid_input", "api_key"),
            ("nobody", json!({"api_key": CANARY}), "unknown_provider", "provider"),
            ("scripted", json!({"api_key": CANARY}), "unknown_provider", "provider"),
            ("OpenAI", json!({"api_key": CANARY}), "unknown_provider", "provider"),
            ("openai_compatible", json!({"api_key": CANARY}), "url_required", "base_url"),
            ("openai_compatible", json!({"api_key": CANARY, "base_url": " "}), "url_required", "base_url"),
            (
                "openai",
                json!({"api_key": CANARY, "workspace_id": "w"}),
                "workspace_id_unsupported",
                "workspace_id",
            ),
            ("openai", json!({"api_key": CANARY, "workspace_id": 1}), "invalid_input", "workspace_id"),
            ("openai", json!({"api_key": CANARY, "base_url": 1}), "invalid_input", "base_url"),
            ("openai", json!({"api_key": CANARY, "base_url": "host/v1"}), "invalid_url", "base_url"),
            ("openai", json!({"api_key": CANARY, "base_url": "https://"}), "invalid_url", "base_url"),
            ("openai", json!({"api_key": CANARY, "base_url": "ftp://host/v1"}), "invalid_url", "base_url"),
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "file:///etc/passwd"}),
                "invalid_url",
                "base_url",
            ),
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "data:text/plain,x"}),
                "invalid_url",
                "base_url",
            ),
            ("openai", json!({"api_key": CANARY, "base_url": long_url}), "invalid_url", "base_url"),
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "https://me:secret@host/v1"}),
                "invalid_url",
                "base_url",
            ),
            // Also a server of its own machine does not ask the machine's cloud for credentials.
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "http://169.254.169.254/v1"}),
                "invalid_url",
                "base_url",
            ),
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "http://[fe80::1]/v1"}),
                "invalid_url",
                "base_url",
            ),
            (
                "openai",
                json!({"api_key": CANARY, "base_url": "http://0.0.0.0/v1"}),
                "invalid_url",
                "base_url",
            ),
        ] {
            for path in [format!("{KEYS}/{provider}"), smith.path(&format!("/model_keys/{provider}"))] {
                let answer = server.admin().put(&path, &body).await;
                answer.expect_error_about(422, code, param);
                assert!(!answer.json.to_string().contains("secret@"), "{answer}");
                let shown = body.to_string();
                let shown = if shown.len() > 200 { "[long]" } else { &shown };
                errors.insert(format!("{provider} {shown}"), answer.json["error"]["message"].clone());
            }
        }
        assert_json_snapshot!("model_keys_refused", Value::Object(errors));
        for path in [KEYS.to_owned(), smith.path("/model_keys")] {
            assert_eq!(server.admin().get(&path).await.expect(200)["data"], json!([]));
        }
    })
    .await;
}

#[tokio::test]
async fn the_key_of_the_smith_comes_before_that_of_the_project() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let own = json!({"api_key": "sk-own", "base_url": upstream.openai_url()});
        let path = smith.path("/model_keys/openai_compatible");
        let used = async || {
            smith.run(&Smith::says("Whose key?")).await;
            upstream.last_request().header("authorization").to_owned()
        };
        assert_eq!(used().await, "Bearer sk-test-canary");
        server.admin().put(&path, &own).await.expect(200);
        assert_eq!(used().await, "Bearer sk-own");
        // A smith token with the permission sets its own, too.
        let client = server.smith_client(&smith, &["model_keys:write"]).await;
        let own = json!({"api_key": "sk-mine", "base_url": upstream.openai_url()});
        client.put(&path, &own).await.expect(200);
        assert_eq!(used().await, "Bearer sk-mine");
        client.delete(&path).await.expect(204);
        assert_eq!(used().await, "Bearer sk-test-canary");
        server.admin().delete(&format!("{KEYS}/openai_compatible")).await.expect(204);
        let answer = server.admin().post(&smith.path("/runs"), &Smith::says("Whose key?")).await;
        answer.expect_error_about(422, "model_key_missing", "model");
    })
    .await;
}

#[tokio::test]
async fn the_list_of_models_says_whose_key_is_there() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = Setup::on(engine)
            .with_variable("ANTHROPIC_API_KEY", CANARY)
            .with_script("greeter", "[[rule]]\nsay = \"Hello.\"\n")
            .start()
            .await;
        server.admin().put(&format!("{KEYS}/openai"), &json!({"api_key": CANARY})).await.expect(200);
        let listed = server.admin().get("/v1/tenant/models").await.expect(200);
        assert_json_snapshot!("models", listed);
        assert!(!listed.to_string().contains(CANARY) && !server.log().contains(CANARY));
    }
}

#[tokio::test]
async fn a_server_that_others_can_reach_calls_no_address_of_its_own_network() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("From inside."));
        let server = Setup::on(engine).open_to_others().start().await;
        let smith = server.smith(json!({"model": "openai_compatible/mock"})).await;
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "[fd00::1]",
            "[fe80::1]",
            "0.0.0.0",
        ] {
            let body = json!({"api_key": CANARY, "base_url": format!("http://{host}:8000/v1")});
            for path in [format!("{KEYS}/openai_compatible"), smith.path("/model_keys/openai")] {
                let answer = server.admin().put(&path, &body).await;
                answer.expect_error_about(422, "invalid_url", "base_url");
                assert!(answer.error("message").contains("egress"), "{answer}");
            }
        }
        assert_eq!(server.admin().get(KEYS).await.expect(200)["data"], json!([]));

        // A name is looked at when it is called.
        let by_name = upstream.openai_url().replace("127.0.0.1", "localhost");
        let body = json!({"api_key": CANARY, "base_url": by_name});
        server.admin().put(&format!("{KEYS}/openai_compatible"), &body).await.expect(200);
        let run = smith.run(&Smith::says("Let me in.")).await;
        assert_eq!(
            (&run["status"], &run["error"]["code"]),
            (&json!("failed"), &json!("model_request_failed"))
        );
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains("localhost") && message.contains("egress"), "{message}");
        assert!(upstream.requests().is_empty());

        // Unless the operator allows it.
        let server = Setup::on(engine).open_to_others().with_variable("INGRAM_EGRESS", "any").start().await;
        let smith = server.smith_on(&upstream).await;
        assert_eq!(smith.run(&Smith::says("Let me in.")).await["output"]["content"], "From inside.");
    }
}

#[tokio::test]
async fn a_key_is_in_no_answer_log_frame_or_database_file() {
    both(async |mut server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("Yes."));
        upstream.answer(Reply::status(401));
        upstream.answer_otherwise(Reply::status(400));
        let smith = server.smith(json!({"model": "openai_compatible/mock"})).await;
        let body = json!({"api_key": CANARY, "base_url": upstream.openai_url()});
        let idempotent = server.admin().with_header("idempotency-key", "once");
        let mut answers = Vec::new();
        for path in [format!("{KEYS}/openai_compatible"), smith.path("/model_keys/openai_compatible")] {
            answers.push(idempotent.put(&path, &body).await.expect(200).to_string());
        }
        for _ in 0..3 {
            let run = smith.run(&Smith::says("Hello")).await;
            let path = smith.path(&format!("/runs/{}/events", run["id"].as_str().unwrap()));
            let frames = server.admin().follow(&path, None).await.collect_until_end().await;
            answers.extend([run.to_string(), format!("{frames:?}")]);
        }
        assert_eq!(upstream.last_request().header("authorization"), format!("Bearer {CANARY}"));
        for path in
            [KEYS.to_owned(), smith.path("/model_keys"), "/v1/tenant/models".to_owned(), smith.path("")]
        {
            answers.push(server.admin().get(&path).await.expect(200).to_string());
        }
        for answer in &answers {
            assert!(!answer.contains(CANARY), "{answer}");
        }
        let stored = everything_stored(&server).await;
        assert!(stored.len() > 10_000, "there is something to look through");
        let hexadecimal: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
        for text in [CANARY, &CANARY[3..], &hexadecimal] {
            assert!(!contains(&stored, text.as_bytes()), "the key is stored in the open");
        }
        // The search would find what is there.
        assert!(contains(&stored, b"openai_compatible"));
        server.terminate();
        assert!(server.ended().await);
        assert!(!server.log().contains(CANARY));
        assert!(!contains(&everything_stored(&server).await, CANARY.as_bytes()));
    })
    .await;
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Returns the bytes of every file of the embedded database, or every row of PostgreSQL as text.
async fn everything_stored(server: &Server) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![server.data()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // A file may go away meanwhile: the database makes and removes some.
                all.extend(std::fs::read(path).unwrap_or_default());
            }
        }
    }
    let Some(database) = server.database() else { return all };
    let client = database.client().await;
    let tables =
        "select quote_ident(table_name) from information_schema.tables where table_schema = 'public'";
    for table in client.query(tables, &[]).await.expect("the tables can be listed") {
        let table: String = table.get(0);
        let rows = client.query(&format!("select t::text from {table} t"), &[]).await;
        for row in rows.expect("the table can be read") {
            all.extend(row.get::<_, String>(0).into_bytes());
        }
    }
    all
}
