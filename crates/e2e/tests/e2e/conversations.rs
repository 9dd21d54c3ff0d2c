//! Conversations: titled handles on threads, and what was said and done in them.

use e2e::{Server, Smith, both};
use insta::assert_json_snapshot;
use serde_json::{Value, json};
use testkit::http::Client;
use testkit::receiver::Receiver;
use testkit::upstream::{Reply, Upstream};

use crate::support::{id, redacted};

const PATH: &str = "/v1/conversations";

/// A client that acts as a smith.
fn acting(server: &Server, smith: &Smith) -> Client {
    server.admin().with_header("ic-smith-id", &smith.id)
}

/// A thing of this surface without what differs from one to the next.
fn shown(thing: &Value) -> Value {
    let mut shown = redacted(thing);
    for key in ["created_at", "updated_at"] {
        if shown[key].is_number() {
            shown[key] = "[seconds]".into();
        }
    }
    shown
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn a_conversation_is_made_shown_changed_and_deleted() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = acting(&server, &smith);
        let body = json!({"title": "Invoices", "metadata": {"a": 1, "b": "two"}});
        let made = client.post(PATH, &body).await.expect(200);
        let path = format!("{PATH}/{}", id(&made));
        assert_eq!(client.get(&path).await.expect(200), made);
        assert_json_snapshot!("a_conversation", shown(&made));

        let change = json!({"title": null, "metadata": {"a": null, "c": [3]}});
        let changed = client.post(&path, &change).await.expect(200);
        assert_eq!(changed["title"], Value::Null);
        assert_eq!(changed["metadata"], json!({"b": "two", "c": [3]}), "merged, and null takes a key away");
        assert_eq!(client.get(&path).await.expect(200), changed);
        let untouched = client.post(&path, &json!({})).await.expect(200);
        assert_eq!(untouched["metadata"], changed["metadata"]);

        let deleted = client.delete(&path).await.expect(200);
        assert_json_snapshot!("a_deleted_conversation", redacted(&deleted));
        for gone in
            [client.get(&path).await, client.delete(&path).await, client.get(&format!("{path}/items")).await]
        {
            assert_eq!(gone.expect(404)["error"]["code"], "conversation_not_found");
        }
    })
    .await;
}

#[tokio::test]
async fn conversations_are_listed_in_pages_from_either_end() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = acting(&server, &smith);
        assert_json_snapshot!("no_conversations", client.get(PATH).await.expect(200));
        let mut made = Vec::new();
        for number in 0..5 {
            let body = json!({"title": format!("Number {number}")});
            made.push(id(&client.post(PATH, &body).await.expect(200)).to_owned());
        }
        let ascending: Vec<&str> = made.iter().map(String::as_str).collect();
        let descending: Vec<&str> = made.iter().rev().map(String::as_str).collect();
        for (order, expected) in [("asc", &ascending), ("desc", &descending)] {
            let first = client.get(&format!("{PATH}?order={order}&limit=2")).await.expect(200);
            assert_eq!(ids(&first), expected[..2]);
            assert_eq!((&first["first_id"], &first["last_id"]), (&json!(expected[0]), &json!(expected[1])));
            assert_eq!(first["has_more"], true);
            let after = expected[1];
            let rest = client.get(&format!("{PATH}?order={order}&limit=3&after={after}")).await.expect(200);
            assert_eq!(ids(&rest), expected[2..]);
            assert_eq!(rest["has_more"], false);
        }
        assert_eq!(ids(&client.get(PATH).await.expect(200)), descending);
        let page = client.get(&format!("{PATH}?limit=1")).await.expect(200);
        assert_json_snapshot!("a_page_of_conversations", {
            let mut page = redacted(&page);
            page["data"][0] = shown(&page["data"][0]);
            page
        });
        // Another smith has none of them.
        let other = acting(&server, &server.smith(json!({})).await);
        assert_eq!(ids(&other.get(PATH).await.expect(200)), Vec::<&str>::new());
        other.get(&format!("{PATH}/{}", made[0])).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn items_are_what_the_runs_of_the_thread_have_said_and_done() {
    both(async |server| {
        let receiver = Receiver::start().await;
        let look = json!({
            "description": "Looks.",
            "input_schema": {"type": "object"},
            "execution": "webhook",
            "url": receiver.url(),
        });
        server.admin().put("/v1/tenant/tools/look", &look).await.expect(200);
        let upstream = Upstream::start().await;
        let smith = server.smith_on(&upstream).await;
        server.admin().patch(&smith.path(""), &json!({"tools": ["look"]})).await.expect(200);
        let client = acting(&server, &smith);
        let conversation = client.post(PATH, &json!({})).await.expect(200);
        let conversation = id(&conversation);

        // Started on three surfaces: the thread is one.
        upstream.answer(Reply::text("Let me look.").and_tool_call("c1", "look", json!({"at": 1})));
        upstream.answer(Reply::text("Seen."));
        let body = json!({"input": "Look, please", "thread_id": conversation});
        assert_eq!(smith.run(&body).await["status"], "completed");
        let function = json!({"type": "function", "name": "dial", "parameters": {"type": "object"}});
        upstream.answer(Reply::tool_call("c2", "dial", json!({"number": 7})));
        let body = json!({"input": "Dial it", "conversation": conversation, "tools": [function]});
        let response = client.post("/v1/responses", &body).await.expect(200);
        assert_eq!(response["output"][0]["type"], "function_call");
        upstream.answer(Reply::text("Dialled."));
        let chat = client.with_header("ic-thread-id", conversation);
        let body = json!({"messages": [{"role": "tool", "tool_call_id": "c2", "content": "engaged"}]});
        chat.post("/v1/chat/completions", &body).await.expect(200);

        let path = format!("{PATH}/{conversation}/items");
        let whole = client.get(&format!("{path}?order=asc&limit=200")).await.expect(200);
        assert_json_snapshot!("items_of_a_conversation", redacted(&whole));
        let newest = client.get(&path).await.expect(200);
        assert_eq!(ids(&newest).into_iter().rev().collect::<Vec<_>>(), ids(&whole));
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page = client.get(&format!("{path}?order=asc&limit=2{after}")).await.expect(200);
            paged.extend(page["data"].as_array().unwrap().clone());
            if page["has_more"] == false {
                break;
            }
            after = format!("&after={}", page["last_id"].as_str().unwrap());
        }
        assert_eq!(json!(paged), whole["data"], "pages join to the whole, within runs, too");

        // Each of them can be referred to, results too.
        let reference = |id: &&str| json!({"type": "item_reference", "id": id});
        let mut input: Vec<_> = ids(&whole).iter().map(reference).collect();
        input.push(json!({"role": "user", "content": "And now?"}));
        upstream.answer(Reply::text("Nothing."));
        client.post("/v1/responses", &json!({"input": input})).await.expect(200);
        let given = upstream.last_request().body["messages"].clone();
        let roles: Vec<_> = given.as_array().unwrap().iter().map(|message| &message["role"]).collect();
        assert_eq!(
            roles,
            ["user", "assistant", "tool", "assistant", "user", "assistant", "tool", "assistant", "user"]
        );
        assert_eq!(given[6]["content"], "engaged");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_conversation_leaves_its_runs() {
    both(async |server| {
        let smith = server.smith(json!({})).await;
        let client = acting(&server, &smith);
        let conversation = client.post(PATH, &json!({})).await.expect(200);
        let run = smith.run(&json!({"input": "Hello", "thread_id": id(&conversation)})).await;
        client.delete(&format!("{PATH}/{}", id(&conversation))).await.expect(200);
        let record = server.admin().get(&smith.path(&format!("/runs/{}", id(&run)))).await.expect(200);
        assert_eq!(record["thread_id"], conversation["id"]);
        // The handle is gone, and with it what a request can name.
        let body = json!({"input": "Hello", "conversation": conversation["id"]});
        assert_eq!(
            client.post("/v1/responses", &body).await.expect(404)["error"]["code"],
            "conversation_not_found"
        );
    })
    .await;
}
