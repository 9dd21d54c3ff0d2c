//! What a response goes on with: its thread, an earlier response, a conversation.

use e2e::both;
use serde_json::json;
use testkit::upstream::{Reply, Upstream};

use super::{PATH, acting, given};

#[tokio::test]
async fn the_newest_response_is_joined_and_an_older_one_is_branched_off() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        let first = client.post(PATH, &json!({"input": "One"})).await;
        let thread = first.header("ic-thread-id").to_owned();
        let first = first.expect(200);
        let behind = |input: &str| json!({"input": input, "previous_response_id": first["id"]});
        let second = client.post(PATH, &behind("Two")).await;
        assert_eq!(second.header("ic-thread-id"), thread);
        assert_eq!(second.expect(200)["previous_response_id"], first["id"]);
        assert_eq!(given(&upstream).as_array().unwrap().len(), 3);
        let branch = client.post(PATH, &behind("Three")).await;
        assert_ne!(branch.header("ic-thread-id"), thread);
        assert_eq!(
            given(&upstream),
            json!([
                {"role": "user", "content": "One"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "Three"},
            ])
        );
        let fresh = client.post(PATH, &json!({"input": "Four"})).await;
        assert_ne!(fresh.header("ic-thread-id"), thread);
        let stranger = server.smith(json!({})).await;
        let foreign = acting(&server, &stranger).post(PATH, &behind("Five")).await;
        foreign.expect_error_about(404, "not_found", "previous_response_id");
    })
    .await;
}

#[tokio::test]
async fn a_conversation_is_a_thread_that_gets_its_title_from_the_first_turn() {
    both(async |server| {
        let upstream = Upstream::start().await;
        upstream.answer_otherwise(Reply::text("Yes."));
        let smith = server.smith_on(&upstream).await;
        let client = acting(&server, &smith);
        let conversation = client.post("/v1/conversations", &json!({})).await.expect(200);
        let id = conversation["id"].as_str().unwrap();
        for named in [json!(id), json!({ "id": id })] {
            let response = client.post(PATH, &json!({"input": "Hello there", "conversation": named})).await;
            assert_eq!(response.header("ic-thread-id"), id);
            assert_eq!(response.expect(200)["conversation"], json!({ "id": id }));
        }
        assert_eq!(given(&upstream).as_array().unwrap().len(), 3);
        let titled = client.get(&format!("/v1/conversations/{id}")).await.expect(200);
        assert_eq!(titled["title"], "Hello there");
        let header = client.with_header("ic-thread-id", id).post(PATH, &json!({"input": "More"})).await;
        header.expect(200);
        let items = client.get(&format!("/v1/conversations/{id}/items")).await.expect(200);
        assert_eq!(items["data"].as_array().unwrap().len(), 6);
        // What a conversation lists can be referred to.
        let references: Vec<_> = items["data"]
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .map(|item| json!({"type": "item_reference", "id": item["id"]}))
            .collect();
        client.post(PATH, &json!({"input": references})).await.expect(200);
        assert_eq!(given(&upstream).as_array().unwrap().len(), 6);
    })
    .await;
}
