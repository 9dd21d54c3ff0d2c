//! What a tool asks the person, and the answers that go back to it.

use egress::Url;
use rmcp::model::{ElicitResult, ElicitationAction};
use serde_json::{Map, Value, json};

use super::options::Options;
use super::trouble::Trouble;
use crate::call::{Elicitation, Reply, Resumption};

/// The most questions at once.
const MAX_QUESTIONS: usize = 16;

/// What a server wants before it goes on.
#[derive(Debug, PartialEq)]
pub(crate) enum Wanted {
    Answers {
        questions: Vec<Elicitation>,
        request_state: Option<String>,
    },
    /// Nothing but that it is called again with what it has given.
    AnotherCall {
        request_state: String,
    },
}

/// Reads a result of the type `input_required`.
pub(crate) fn wanted(mut result: Map<String, Value>, options: &Options) -> Result<Wanted, Trouble> {
    let request_state = match result.remove("requestState") {
        None | Some(Value::Null) => None,
        Some(Value::String(state)) if state.len() <= options.max_result_bytes => Some(state),
        Some(Value::String(_)) => return Err(too_much()),
        Some(_) => return Err(Trouble::Nonsense("asks something back in a way that makes no sense")),
    };
    let requests = match result.remove("inputRequests") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(requests)) => requests,
        Some(_) => return Err(Trouble::Nonsense("asks something back in a way that makes no sense")),
    };
    if requests.len() > MAX_QUESTIONS {
        return Err(too_much());
    }
    let mut questions = Vec::with_capacity(requests.len());
    let mut bytes = 0_usize;
    for (key, request) in requests {
        let question = question(key, request)?;
        bytes = bytes
            .saturating_add(question.key.len())
            .saturating_add(question.message.len())
            .saturating_add(question.requested_schema.to_string().len());
        if bytes > options.max_result_bytes {
            return Err(too_much());
        }
        questions.push(question);
    }
    match request_state {
        Some(request_state) if questions.is_empty() => Ok(Wanted::AnotherCall { request_state }),
        None if questions.is_empty() => Err(Trouble::Nonsense("asks something back without saying what")),
        request_state => Ok(Wanted::Answers { questions, request_state }),
    }
}

const fn too_much() -> Trouble {
    Trouble::Nonsense("asks more back than this server takes")
}

fn question(key: String, mut request: Value) -> Result<Elicitation, Trouble> {
    match request.get("method").and_then(Value::as_str) {
        Some("elicitation/create") => {}
        Some("sampling/createMessage") => {
            return Err(Trouble::Nonsense(
                "wants to have a model called, which this server does not do for it",
            ));
        }
        Some("roots/list") => {
            return Err(Trouble::Nonsense("wants to know folders, which this server does not have"));
        }
        _ => return Err(Trouble::Nonsense("asks something back that this server does not know")),
    }
    let mut take =
        |field: &str| request.get_mut("params").and_then(|params| params.get_mut(field)).map(Value::take);
    let Some(Value::String(message)) = take("message") else {
        return Err(Trouble::Nonsense("asks a question without a text"));
    };
    match take("mode") {
        None | Some(Value::Null) => {}
        Some(mode) if mode == "form" => {}
        Some(mode) if mode == "url" => {
            let url = take("url").and_then(|url| Url::parse(url.as_str()?).ok());
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
            let Some(url) = url else {
                return Err(Trouble::Nonsense("sends the person to an address that is none"));
            };
            let message = format!("{message}\n{url}");
            let requested_schema = json!({"type": "object", "properties": {}, "required": []});
            return Ok(Elicitation { key, message, requested_schema });
        }
        Some(_) => return Err(Trouble::Nonsense("asks in a way that this server does not know")),
    }
    let mut requested_schema = take("requestedSchema").unwrap_or(Value::Null);
    if super::schema::check(&requested_schema).is_err() {
        return Err(Trouble::Nonsense("asks for something whose form is not that of an object"));
    }
    // Readers of the frames are promised both keys.
    if let Some(schema) = requested_schema.as_object_mut() {
        schema.entry("properties").or_insert_with(|| json!({}));
        schema.entry("required").or_insert_with(|| json!([]));
    }
    Ok(Elicitation { key, message, requested_schema })
}

/// Adds to the parameters of a call what the person has answered.
pub(crate) fn resume(params: &mut Map<String, Value>, resumption: &Resumption) {
    let responses: Map<String, Value> =
        resumption.replies.iter().map(|(key, reply)| (key.clone(), response(reply))).collect();
    if !responses.is_empty() {
        params.insert("inputResponses".to_owned(), Value::Object(responses));
    }
    if let Some(state) = &resumption.request_state {
        params.insert("requestState".to_owned(), Value::String(state.clone()));
    }
}

fn response(reply: &Reply) -> Value {
    let result = match reply {
        Reply::Accept(content) => ElicitResult::new(ElicitationAction::Accept).with_content(content.clone()),
        Reply::Decline => ElicitResult::new(ElicitationAction::Decline),
    };
    // The type holds nothing that JSON cannot.
    serde_json::to_value(result).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(result: Value) -> Result<Wanted, String> {
        read_within(result, &Options::default())
    }

    fn read_within(result: Value, options: &Options) -> Result<Wanted, String> {
        let Value::Object(result) = result else { panic!("a result is an object") };
        wanted(result, options).map_err(|trouble| match trouble {
            Trouble::Nonsense(what) => what.to_owned(),
            other => panic!("{other:?}"),
        })
    }

    fn ask(params: Value) -> Value {
        json!({"inputRequests": {"q": {"method": "elicitation/create", "params": params}}, "requestState": "s"})
    }

    #[test]
    fn a_form_is_a_question_with_its_schema_as_it_came_and_the_keys_that_readers_need() {
        let schema =
            json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}});
        let mut told = schema.clone();
        told["required"] = json!([]);
        for params in [
            json!({"message": "Who?", "requestedSchema": schema}),
            json!({"mode": "form", "message": "Who?", "requestedSchema": schema}),
        ] {
            let question =
                Elicitation { key: "q".into(), message: "Who?".into(), requested_schema: told.clone() };
            let expected = Wanted::Answers { questions: vec![question], request_state: Some("s".into()) };
            assert_eq!(read(ask(params)), Ok(expected));
        }
    }

    #[test]
    fn an_address_is_told_in_the_message() {
        let asked =
            read(ask(json!({"mode": "url", "message": "Sign in.", "url": "https://example.com/in?a=1"})));
        let Ok(Wanted::Answers { questions, .. }) = asked else { panic!("{asked:?}") };
        assert_eq!(questions[0].message, "Sign in.\nhttps://example.com/in?a=1");
        assert_eq!(
            questions[0].requested_schema,
            json!({"type": "object", "properties": {}, "required": []})
        );
    }

    #[test]
    fn what_cannot_be_put_to_a_person_is_an_error() {
        let form = json!({"type": "object"});
        for (params, words) in [
            (json!({"requestedSchema": form}), "without a text"),
            (json!({"message": "m"}), "not that of an object"),
            (json!({"message": "m", "requestedSchema": {"type": "string"}}), "not that of an object"),
            (json!({"mode": "url", "message": "m", "url": "javascript:alert(1)"}), "address that is none"),
            (json!({"mode": "voice", "message": "m"}), "in a way"),
        ] {
            let error = read(ask(params)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for (method, words) in
            [("sampling/createMessage", "a model"), ("roots/list", "folders"), ("other", "does not know")]
        {
            let error = read(json!({"inputRequests": {"q": {"method": method}}})).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(read(json!({})).is_err() && read(json!({"requestState": 7})).is_err());
    }

    #[test]
    fn a_state_alone_asks_for_another_call() {
        assert_eq!(read(json!({"requestState": "s"})), Ok(Wanted::AnotherCall { request_state: "s".into() }));
    }

    #[test]
    fn questions_are_bounded_in_number_and_size() {
        let params = json!({"message": "m", "requestedSchema": {"type": "object"}});
        let request = json!({"method": "elicitation/create", "params": params});
        let many = |count: usize| {
            let requests: Map<_, _> =
                (0..count).map(|number| (number.to_string(), request.clone())).collect();
            json!({"inputRequests": requests})
        };
        assert!(read(many(MAX_QUESTIONS)).is_ok());
        assert!(read(many(MAX_QUESTIONS + 1)).is_err());
        let small = Options { max_result_bytes: 60, ..Options::default() };
        assert!(read_within(many(1), &small).is_ok());
        assert!(read_within(many(2), &small).is_err());
        assert!(read_within(json!({"requestState": "s".repeat(61)}), &small).is_err());
    }

    #[test]
    fn answers_go_back_under_their_keys() {
        let mut params = Map::new();
        let replies =
            vec![("a".to_owned(), Reply::Accept(json!({"n": 1}))), ("b".to_owned(), Reply::Decline)];
        resume(&mut params, &Resumption { request_state: Some("s".into()), replies });
        assert_eq!(
            Value::Object(params),
            json!({
                "inputResponses": {"a": {"action": "accept", "content": {"n": 1}}, "b": {"action": "decline"}},
                "requestState": "s",
            })
        );
    }
}
