//! How much the server asks of its database.

use e2e::{Engine, Server, Setup, Smith};
use serde_json::json;
use testkit::upstream::{Reply, Upstream};

/// Reads one counter of `/metrics`, summed over its labels.
async fn counted(server: &Server, name: &str) -> u64 {
    let answer = server.anonymous().with_bearer("metrics-token").get("/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

/// Reads how many statements and commits there were.
async fn database_work(server: &Server) -> (u64, u64) {
    let statements = counted(server, "ingram_database_statements_total").await;
    (statements, counted(server, "ingram_database_commits_total").await)
}

/// A server whose work with the database can be counted.
async fn counting(engine: Engine) -> Server {
    Setup::on(engine)
        .with_variable("INGRAM_METRICS_TOKEN", "metrics-token")
        // No beat falls into the measurement.
        .with_configuration("[engine]\nlease_ms = 3600000\n")
        .start()
        .await
}

#[tokio::test]
async fn a_step_of_a_tool_costs_the_database_little() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = counting(engine).await;
        let upstream = Upstream::start().await;
        let smith = server.smith_on(&upstream).await;
        server
            .admin()
            .patch(&smith.path(""), &json!({"enabled_hosted_tools": ["calculator"]}))
            .await
            .expect(200);
        // The first runs read what the next ones find in memory, and a slow one looks for its key again.
        let (mut one, mut six) = (Vec::new(), Vec::new());
        for steps in [1_u64, 6].repeat(4) {
            for step in 0..steps {
                let sum = json!({"expression": format!("{step} + {step}")});
                upstream.answer(Reply::tool_call(&format!("c{step}"), "calculate", sum));
            }
            upstream.answer(Reply::text("Done."));
            let before = database_work(&server).await;
            let run = smith.run(&Smith::says("Add.")).await;
            assert_eq!(run["output"]["content"], "Done.", "{engine:?}");
            let after = database_work(&server).await;
            let runs = if steps == 1 { &mut one } else { &mut six };
            runs.push((after.0 - before.0, after.1 - before.1));
        }
        let (one, six) = (one.into_iter().min().unwrap(), six.into_iter().min().unwrap());
        // The last look of a run may come after its answer.
        let (statements, commits) = (six.0 - one.0, six.1 - one.1);
        assert!(
            statements <= 5 * 6 + 2 && commits <= 5 * 2,
            "{engine:?}: {statements} statements, {commits} commits"
        );
    }
}

#[tokio::test]
async fn a_plain_run_costs_the_database_little_on_whichever_surface() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let server = counting(engine).await;
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("You said little."));
        server.smith_on(&upstream).await;
        let smith = server.smith(json!({"model": "openai_compatible/mock", "external_id": "u1"})).await;
        let admin = server.admin();
        // Where other replicas can queue a run, the end of one looks once more for whom it lets in.
        // The embedded database knows the token, the smith, its key and its tools from the run before.
        let most = if matches!(engine, Engine::Postgres) { 14 } else { 9 };
        let messages = json!([{"role": "user", "content": "hi"}]);
        for (path, body) in [
            (smith.path("/runs"), Smith::says("hi")),
            ("/v1/chat/completions".to_owned(), json!({"model": "", "user": "u1", "messages": messages})),
            ("/v1/responses".to_owned(), json!({"model": "", "user": "u1", "input": "hi"})),
        ] {
            for stream in [false, true] {
                let mut body = body.clone();
                body["stream"] = stream.into();
                admin.post(&path, &body).await.expect(200);
                // Several, because the last look of a run may come after its answer.
                const RUNS: u64 = 10;
                let before = database_work(&server).await;
                for _ in 0..RUNS {
                    admin.post(&path, &body).await.expect(200);
                }
                let after = database_work(&server).await;
                let (statements, commits) = ((after.0 - before.0) / RUNS, (after.1 - before.1) / RUNS);
                // What somebody reads along is stored as it is said.
                let delta = u64::from(stream);
                assert!(
                    statements <= most + 2 * delta && commits <= 2 + delta,
                    "{engine:?}, {path}, stream {stream}: {statements} statements, {commits} commits"
                );
            }
        }
    }
}
