use serde_json::{Value, json};
use testkit::mcp::{Answer, Tool, Wire};
use tools::{Outcome, Reply, Resumption};

use super::{answer, call, known, mcp, offering};

fn schema() -> Value {
    json!({"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]})
}

#[tokio::test]
async fn a_question_ends_the_call_and_its_answer_goes_on_with_it() {
    let asks = Answer::asking_form("Really?", schema(), "state-1").then(Answer::text("paid"));
    let fake = offering(Wire::Stateless, Tool::new("pay").answers(asks)).await;
    let (mcp, server) = (mcp(), known(&fake, "2026-07-28"));
    let Outcome::Asks { questions, request_state } = mcp.call(&server, &call("pay")).await else { panic!() };
    assert_eq!(request_state.as_deref(), Some("state-1"));
    assert_eq!((questions[0].key.as_str(), questions[0].message.as_str()), ("form", "Really?"));
    assert_eq!(questions[0].requested_schema.to_string(), schema().to_string());

    let mut again = call("pay");
    let replies = vec![("form".to_owned(), Reply::Accept(json!({"sure": true})))];
    again.resumption = Some(Resumption { request_state, replies });
    assert_eq!(answer(&mcp, &server, &again).await.output, "paid");
    let calls = fake.calls();
    assert_eq!(calls[1].input_responses, json!({"form": {"action": "accept", "content": {"sure": true}}}));
    assert_eq!(calls[1].request_state.as_deref(), Some("state-1"));
    assert_eq!(calls[0].idempotency_key, calls[1].idempotency_key);
    let requests = fake.requests();
    assert_ne!(requests[0].body["id"], requests[1].body["id"]);
}

#[tokio::test]
async fn a_decline_goes_back_too_and_no_state_is_made_up() {
    let params = json!({"message": "Really?", "requestedSchema": schema()});
    let asks = Answer::asking(json!({"q": {"method": "elicitation/create", "params": params}}), None);
    let fake =
        offering(Wire::Stateless, Tool::new("pay").answers(asks.then(Answer::failed("not paid")))).await;
    let (mcp, server) = (mcp(), known(&fake, "2026-07-28"));
    let Outcome::Asks { request_state: None, .. } = mcp.call(&server, &call("pay")).await else { panic!() };
    let mut again = call("pay");
    let replies = vec![("q".to_owned(), Reply::Decline)];
    again.resumption = Some(Resumption { request_state: None, replies });
    assert!(answer(&mcp, &server, &again).await.is_error);
    let calls = fake.calls();
    assert_eq!(calls[1].input_responses, json!({"q": {"action": "decline"}}));
    assert_eq!(calls[1].request_state, None);
}

#[tokio::test]
async fn a_server_may_ask_again() {
    let second = Answer::asking_form("And now?", schema(), "state-2");
    let asks = Answer::asking_form("Really?", schema(), "state-1").then(second);
    let fake = offering(Wire::Stateless, Tool::new("pay").answers(asks)).await;
    let mut again = call("pay");
    again.resumption = Some(Resumption { request_state: Some("state-1".into()), replies: Vec::new() });
    let outcome = mcp().call(&known(&fake, "2026-07-28"), &again).await;
    assert!(matches!(outcome, Outcome::Asks { request_state: Some(state), .. } if state == "state-2"));
}

#[tokio::test]
async fn a_server_that_only_wants_to_be_called_again_is() {
    let wait = Answer::result(json!({"resultType": "input_required", "requestState": "later"}));
    let fake =
        offering(Wire::Stateless, Tool::new("pay").answers(wait.clone().then(Answer::text("paid")))).await;
    let (mcp, server) = (mcp(), known(&fake, "2026-07-28"));
    assert_eq!(answer(&mcp, &server, &call("pay")).await.output, "paid");
    assert_eq!(fake.calls()[1].request_state.as_deref(), Some("later"));
    assert_eq!(fake.calls()[1].input_responses, Value::Null);

    let fake = offering(Wire::Stateless, Tool::new("pay").answers(wait)).await;
    let answer = answer(&mcp, &known(&fake, "2026-07-28"), &call("pay")).await;
    assert!(answer.output.starts_with("The MCP server only ever wants to be called again."), "{answer:?}");
    assert_eq!(fake.calls().len(), 6);
}

#[tokio::test]
async fn what_this_client_has_not_offered_is_an_error() {
    let sampling =
        json!({"q": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}}});
    for asks in [
        Answer::asking(sampling, None),
        Answer::asking(json!({}), None),
        Answer::result(json!({"resultType": "task", "taskId": "t"})),
    ] {
        let fake = offering(Wire::Stateless, Tool::new("pay").answers(asks)).await;
        let answer = answer(&mcp(), &known(&fake, "2026-07-28"), &call("pay")).await;
        assert!(answer.is_error && answer.trouble.is_some(), "{answer:?}");
    }
}

#[tokio::test]
async fn answers_to_a_server_that_went_back_to_an_older_revision_are_not_sent() {
    let fake = offering(Wire::Sessions, Tool::new("pay")).await;
    let mut again = call("pay");
    again.resumption = Some(Resumption { request_state: Some("s".into()), replies: Vec::new() });
    let answer = answer(&mcp(), &known(&fake, "2026-07-28"), &again).await;
    assert!(answer.output.ends_with("The call was not carried out."), "{answer:?}");
    assert!(fake.calls().is_empty());
}
