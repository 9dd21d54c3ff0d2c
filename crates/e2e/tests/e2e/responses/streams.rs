//! Responses as streams of events, from the start and from anywhere.

use e2e::{Engine, Setup, both};
use insta::assert_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::Answer;
use testkit::receiver::Receiver;
use testkit::upstream::{Gate, Reply, Upstream};

use super::{PATH, acting, shown};
use crate::support::redacted;

/// Reads a stream: the number, the type and the data of each event.
pub(super) fn events(answer: &Answer) -> Vec<(u64, Value)> {
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.ends_with("\n\n") && !text.contains('\r') && !text.contains("[DONE]"), "{text}");
    let events = text.split("\n\n").filter(|event| !event.is_empty() && *event != ":");
    events
        .map(|event| {
            let mut lines = event.lines();
            let kind = lines.next().unwrap().strip_prefix("event: ").unwrap();
            let id = lines.next().unwrap().strip_prefix("id: ").unwrap().parse().unwrap();
            let data: Value =
                serde_json::from_str(lines.next().unwrap().strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(lines.next(), None);
            assert_eq!((data["type"].as_str(), data["sequence_number"].as_u64()), (Some(kind), Some(id)));
            (id, data)
        })
        .collect()
}

fn lines(events: &[(u64, Value)]) -> String {
    let line = |(_, data): &(u64, Value)| {
        let mut data = redacted(data);
        if data["response"].is_object() {
            data["response"] = json!({
                "id": data["response"]["id"],
                "status": data["response"]["status"],
                "output": shown(&data["response"])["output"].as_array().unwrap().len(),
            });
        }
        data.to_string()
    };
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_reader_gets_the_same_events_from_anywhere() {
    both(async |server| {
        let receiver = Receiver::start().await;
        let tool = json!({
            "description": "Looks.",
            "input_schema": {"type": "object"},
            "execution": "webhook",
            "url": receiver.url(),
            "approval": "always",
        });
        server.admin().put("/v1/tenant/tools/look", &tool).await.expect(200);
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text_in("Let me look.", 2).and_tool_call("c1", "look", json!({})));
        upstream.answer(Reply::text("Seen."));
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"tools": ["look"]})).await.expect(200);
        let client = acting(&server, &smith);
        let mut told = events(&client.post(PATH, &json!({"input": "Hi", "stream": true})).await);
        let (_, last) = told.last().unwrap();
        let response = last["response"].clone();
        let request = response["output"].as_array().unwrap().last().unwrap();
        let approve =
            json!({"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": true});
        let answer = client.post(PATH, &json!({"input": [approve], "stream": true})).await;
        told.extend(events(&answer));
        assert_snapshot!("a_stream_of_events", lines(&told));
        for ((number, _), expected) in told.iter().zip(0..) {
            assert_eq!(*number, expected, "no gaps, over a pause");
        }
        let path = format!("{PATH}/{}?stream=true", response["id"].as_str().unwrap());
        let whole = events(&client.get(&path).await);
        assert_eq!(lines(&whole), lines(&told));
        for seen in 0..told.len() {
            let rest = events(&client.get(&format!("{path}&starting_after={seen}")).await);
            assert_eq!(rest, whole[seen + 1..]);
        }
        for wrong in ["-1", "x", "1.5", ""] {
            let refused = client.get(&format!("{path}&starting_after={wrong}")).await;
            refused.expect_error_about(400, "invalid_cursor", "starting_after");
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told_as_an_error_and_a_failed_response() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::status(400));
        let smith = server.smith_on(&upstream).await;
        let told = events(&acting(&server, &smith).post(PATH, &json!({"input": "Hi", "stream": true})).await);
        let kinds: Vec<_> = told.iter().map(|(_, data)| data["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["response.created", "response.in_progress", "error", "response.failed"]);
        let error = &told[2].1;
        assert_eq!(
            (&error["code"], &error["error"]["code"]),
            (&json!("model_request_failed"), &json!("model_request_failed"))
        );
        assert_eq!(error["error"]["type"], "invalid_request_error");

        // That a provider is down is no fault of the request, whichever way one hears of it.
        let mut upstream = upstream;
        upstream.stop().await;
        let client = acting(&server, &smith);
        let told = events(&client.post(PATH, &json!({"input": "Hi", "stream": true})).await);
        assert_eq!(told[2].1["error"]["type"], "api_error");
        let path = format!("{PATH}/{}", told[3].1["response"]["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.expect(200)["error"]["type"], "api_error");
        assert_eq!(events(&client.get(&format!("{path}?stream=true")).await), told);
    })
    .await;
}

#[tokio::test]
async fn a_key_streams_the_same_response_again() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer(Reply::text("Hello."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith).with_header("idempotency-key", "once");
        let body = json!({"input": "Hi", "stream": true});
        let first = events(&client.post(PATH, &body).await);
        let again = client.post(PATH, &body).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(lines(&events(&again)), lines(&first));
        let runs = server.admin().get(&smith.path("/runs")).await.expect(200);
        assert_eq!(runs["data"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stream_goes_on_where_a_server_that_died_has_cut_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let setup = Setup::on(engine).with_configuration("[engine]\nlease_ms = 400\n");
        let mut server = setup.start().await;
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        upstream.answer(Reply::chunks(["It i", "s noon."]).through(&gate));
        upstream.answer(Reply::chunks(["It is ", "noon."]));
        let smith = server.smith_on(&upstream).await;
        let body = json!({"input": "What time is it?", "stream": true});
        let mut stream = acting(&server, &smith).stream(Method::POST, PATH, Some(&body)).await;
        gate.release(1);
        // Created, under way, an item, its part, and the first words.
        let seen = stream.take(5).await;
        assert_eq!(seen.last().unwrap().data["delta"], "It i");
        let path = format!("{PATH}/{}?stream=true", stream.header("ic-run-id"));
        server.kill().await;
        drop(stream);
        server.start_again().await;
        let client = acting(&server, &smith);
        let whole = client.get(&format!("{path}&starting_after=4")).await;
        let rest = events(&whole);
        assert_eq!(rest[0].0, 5);
        let done: Vec<_> =
            rest.iter().filter(|(_, data)| data["type"] == "response.output_item.done").collect();
        assert_eq!(done.len(), 2);
        assert_eq!(done[0].1["item"]["status"], "incomplete");
        assert_eq!((&done[0].1["output_index"], &done[1].1["output_index"]), (&json!(0), &json!(1)));
        let last = &rest.last().unwrap().1;
        assert_eq!(last["type"], "response.completed");
        let output = last["response"]["output"].as_array().unwrap();
        assert_eq!(output.len(), 1, "the broken message is left out");
        assert_eq!(output[0]["content"][0]["text"], "It is noon.");
        // Whoever comes later is told the same, from the first event on.
        let all = events(&client.get(&path).await);
        assert_eq!(all[5..], rest[..]);
        for (frame, (number, data)) in seen.iter().zip(&all) {
            assert_eq!((frame.id, &frame.data), (Some(*number), data));
        }
    }
}
