use proptest::prelude::*;
use serde_json::json;

use super::*;

const LIMITS: InputLimits = InputLimits { messages: 3, parts: 2, text_bytes: 100 };

fn param(input: Value) -> Option<String> {
    parse_input(Some(&input), LIMITS).unwrap_err().param
}

#[test]
fn a_text_only_message_is_kept_as_a_string_however_it_was_given() {
    let input = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]}]);
    let messages = parse_input(Some(&input), LIMITS).unwrap();
    assert_eq!(messages[0].content, Content::Text("ab".into()));
}

#[test]
fn the_openai_forms_map_onto_the_native_parts() {
    let input = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "input_file", "file_data": "AAAA", "filename": "a.pdf"},
    ]}]);
    let messages = parse_input(Some(&input), LIMITS).unwrap();
    assert_eq!(
        serde_json::to_value(&messages[0]).unwrap(),
        json!({"role": "user", "content": [
            {"type": "image", "image_url": "https://example.com/a.png"},
            {"type": "file", "file_data": "AAAA", "filename": "a.pdf"},
        ]})
    );
}

#[test]
fn a_scheme_counts_in_any_case() {
    let input = json!([{"role": "user", "content": [
        {"type": "image", "image_url": "HTTPS://Example.com/A.png"},
        {"type": "image", "image_url": "Data:image/png;base64,AQID"},
    ]}]);
    assert_eq!(
        serde_json::to_value(&parse_input(Some(&input), LIMITS).unwrap()[0].content).unwrap(),
        json!([
            {"type": "image", "image_url": "https://Example.com/A.png"},
            {"type": "image", "file_data": "Data:image/png;base64,AQID"},
        ])
    );
}

#[test]
fn a_wrong_value_is_named_by_its_path() {
    assert_eq!(param(json!(7)).as_deref(), Some("input"));
    assert_eq!(param(json!([7])).as_deref(), Some("input[0]"));
    assert_eq!(param(json!([{"role": "system", "content": ""}])).as_deref(), Some("input[0].role"));
    assert_eq!(param(json!([{"role": "user", "content": 1}])).as_deref(), Some("input[0].content"));
    let part = json!([{"role": "user", "content": [{"type": "image", "image_url": "http://x"}]}]);
    assert_eq!(param(part).as_deref(), Some("input[0].content[0].image_url"));
}

#[test]
fn a_field_of_a_part_that_is_no_text_is_told_so() {
    for (part, field) in [
        (json!({"type": "text", "text": 7}), "text"),
        (json!({"type": "image", "image_url": 7}), "image_url"),
        (json!({"type": "image_url", "image_url": {"url": 7}}), "image_url.url"),
        (json!({"type": "image", "file_id": 7}), "file_id"),
        (json!({"type": "file", "file_data": 7, "filename": "a"}), "file_data"),
        (json!({"type": "file", "file_url": 7}), "file_url"),
        (json!({"type": "file", "file_url": "https://a.example/", "filename": 7}), "filename"),
    ] {
        let input = json!([{"role": "user", "content": [part]}]);
        let refusal = parse_input(Some(&input), LIMITS).unwrap_err();
        assert_eq!(refusal.param, Some(format!("input[0].content[0].{field}")));
        let name = field.trim_start_matches("image_url.");
        assert_eq!(refusal.message, format!("`{name}` must be a text."));
    }
    for (part, field) in [("text", "text"), ("image", "image_url"), ("file", "file_url")] {
        let input = json!([{"role": "user", "content": [{"type": part}]}]);
        assert_eq!(param(input), Some(format!("input[0].content[0].{field}")));
    }
}

#[test]
fn addresses_and_names_of_files_are_bounded() {
    let address = |bytes: usize| format!("https://a.example/{}", "x".repeat(bytes - 18));
    let name = |bytes: usize| "n".repeat(bytes);
    let input = |part: &Value| json!([{"role": "user", "content": [part]}]);
    for (part, field) in [
        (json!({"type": "image", "image_url": address(8_193)}), "image_url"),
        (json!({"type": "image_url", "image_url": {"url": address(8_193)}}), "image_url.url"),
        (json!({"type": "file", "file_url": address(8_193)}), "file_url"),
        (json!({"type": "file", "file_url": address(20), "filename": name(256)}), "filename"),
        (json!({"type": "file", "file_data": "AAAA", "filename": name(256)}), "filename"),
    ] {
        assert_eq!(param(input(&part)), Some(format!("input[0].content[0].{field}")));
    }
    for part in [
        json!({"type": "image", "image_url": address(8_192)}),
        json!({"type": "file", "file_url": address(8_192), "filename": name(255)}),
    ] {
        parse_input(Some(&input(&part)), LIMITS).unwrap();
    }
}

#[test]
fn the_number_of_messages_and_parts_is_bounded() {
    let message = json!({"role": "user", "content": "a"});
    assert_eq!(param(json!([message, message, message, message])).as_deref(), Some("input"));
    let long =
        json!([{"role": "user", "content": "x".repeat(60)}, {"role": "user", "content": "x".repeat(60)}]);
    assert_eq!(param(long).as_deref(), Some("input"));
    assert_eq!(param(json!("x".repeat(101))).as_deref(), Some("input"));
    let part = json!({"type": "text", "text": "a"});
    let input = json!([{"role": "user", "content": [part, part, part]}]);
    assert_eq!(param(input).as_deref(), Some("input[0].content"));
}

proptest! {
    #[test]
    fn a_parsed_message_survives_its_stored_form(text: String, assistant: bool) {
        let role = if assistant { Role::Assistant } else { Role::User };
        let message = Message { role, content: Content::Text(text) };
        let stored = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<Message>(&stored).unwrap(), message);
    }
}
