//! Makes bodies by the schema of an operation, and then spoils them.

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Number, Value, json};

use crate::support::Operation;

/// Stand for what a JSON value cannot hold; they are replaced in the text.
const TOKENS: &[(&str, &str)] = &[
    ("\"@huge\"", "1e400"),
    ("\"@tiny\"", "-1e-400"),
    ("\"@long\"", "100000000000000000000000000000000000000001"),
    ("\"@minus-zero\"", "-0"),
    ("\"@surrogate\"", "\"\\ud83d\""),
    ("\"@escaped\"", "\"\\u0000\\u0041\\ud83d\\ude00\""),
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    "\u{feff}",
    "\u{202e}abc\u{202c}",
    "e\u{301}\u{301}\u{301}",
    "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
    "\u{ffff}\u{10ffff}",
    "\r\n\t\u{85}\u{2028}",
    "'; drop table smiths; --",
    "%00%ff{{ name }}${x}",
    "null",
    "1e5",
    "smt_1111111111111111111111",
    "data:image/png;base64,AAAA",
    "https://host.example/x",
    "../../etc/passwd",
    "@surrogate",
    "@escaped",
];

/// Names that values are looked for under somewhere, beside those of the schema.
const NAMES: &[&str] =
    &["", "\0", "__proto__", "type", "$ref", "a.b", "\u{1f600}", "role", "content", "file_id"];

/// Values with a meaning, by the name of their field: a schema calls them texts, and others lead no further.
fn hints(name: &str, smith: &str) -> Vec<Value> {
    let part = |part: Value| json!([{"type": "text", "text": "What is this?"}, part]);
    match name {
        "smith_id" => vec![json!(smith)],
        "scope" => vec![json!("smith"), json!("admin")],
        "permissions" => vec![json!(["runs:read"]), json!(["files:read", "runs:write", "runs:read"])],
        "kind" => vec![
            json!("cancel"),
            json!("tool_result"),
            json!("approval_decision"),
            json!("none"),
            json!("bearer"),
        ],
        // Nobody listens there, and no preset leads anywhere else.
        "url" => vec![json!("http://127.0.0.1:9/mcp")],
        "catalog" => vec![Value::Null],
        "input_schema" => vec![json!({"type": "object", "properties": {"a": {"type": "string"}}}), json!({})],
        "approval_policy" => vec![json!([{"match": "a*"}]), json!([]), Value::Null],
        "tool_allowlist" => vec![json!(["a", "b"]), json!([]), Value::Null],
        "decision" => vec![json!("approve"), json!("reject")],
        "agent_id" | "customer_id" | "pin" | "workspace_id" => vec![Value::Null],
        "base_url" => vec![json!("https://host.example/v1")],
        "timezone" => vec![json!("Europe/Berlin"), Value::Null],
        "enabled_hosted_tools" => vec![json!(["web_search"]), json!([])],
        "thread_id" => vec![json!("a thread"), json!("\u{1f600} 1"), Value::Null],
        "role" => vec![json!("user"), json!("user"), json!("assistant")],
        "content" => vec![
            json!("Hello"),
            part(json!({"type": "image", "image_url": "data:image/png;base64,AQID"})),
            part(json!({"type": "image_url", "image_url": {"url": "https://host.example/a.png"}})),
            part(json!({"type": "file", "filename": "a.csv", "file_data": "YSxi"})),
            part(json!({"type": "input_file", "file_url": "https://host.example/a.pdf"})),
        ],
        "response_format" => vec![
            Value::Null,
            json!({"type": "text"}),
            json!({"type": "json_object"}),
            json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": {
                "type": "object", "properties": {"a": {"type": "string", "pattern": "^a+$"}}, "required": ["a"],
            }}}),
        ],
        _ => Vec::new(),
    }
}

/// The bodies of one operation.
pub(super) struct Bodies<'a> {
    document: &'a Value,
    schema: &'a Value,
    smith: &'a str,
    /// A body that the operation takes.
    good: Value,
}

impl<'a> Bodies<'a> {
    pub(super) fn of(document: &'a Value, operation: &Operation, good: Value, smith: &'a str) -> Self {
        let method = operation.method.as_str().to_lowercase();
        let content = &document["paths"][&operation.template][method]["requestBody"]["content"];
        let schema = &content["application/json"]["schema"];
        assert!(schema.is_object(), "{operation} has no schema for its body");
        Self { document, schema, smith, good }
    }

    /// Returns the text of the next body.
    pub(super) fn next(&self, random: &mut StdRng) -> String {
        let mut body = if random.random_bool(0.5) {
            // What the operation wants, with what it could also have.
            let mut body = self.good.clone();
            if let (Value::Object(body), Value::Object(more)) =
                (&mut body, self.value(self.schema, random, 0))
            {
                for (name, value) in more {
                    if random.random_bool(0.3) {
                        body.entry(name).or_insert(value);
                    }
                }
            }
            body
        } else {
            self.value(self.schema, random, 0)
        };
        if random.random_bool(0.01) {
            body = anything(random, 0);
        }
        for _ in 0..random.random_range(0..4) {
            spoil(&mut body, random, 0);
        }
        let mut text = body.to_string();
        for (token, raw) in TOKENS {
            text = text.replace(token, raw);
        }
        if random.random_bool(0.1) {
            text = with_a_name_twice(&text, &body, random);
        }
        if random.random_bool(0.02) {
            let cut = text.floor_char_boundary(random.random_range(0..=text.len()));
            text.truncate(cut);
        }
        text
    }

    /// Makes a value that the schema allows, mostly.
    fn value(&self, schema: &Value, random: &mut StdRng, depth: usize) -> Value {
        if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
            return self.value(&self.document["components"]["schemas"][name], random, depth);
        }
        let choices = ["anyOf", "oneOf"].iter().find_map(|key| schema[*key].as_array());
        if let Some(choice) = choices.and_then(|choices| choices.choose(random)) {
            return self.value(choice, random, depth);
        }
        if let Some(value) = schema["enum"].as_array().and_then(|values| values.choose(random)) {
            return value.clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds.choose(random).and_then(Value::as_str),
            kind => kind.as_str(),
        };
        match kind {
            Some("null") => Value::Null,
            Some("boolean") => random.random_bool(0.5).into(),
            Some("integer" | "number") => {
                let least = schema["minimum"].as_i64().unwrap_or(-3);
                let most = schema["maximum"].as_i64().unwrap_or(1_000).max(least);
                random.random_range(least..=most).into()
            }
            Some("string") => text(random).into(),
            Some("array") => {
                let length = random.random_range(0..4);
                (0..length).map(|_| self.value(&schema["items"], random, depth + 1)).collect()
            }
            _ if depth > 4 => Value::Null,
            _ => match schema["properties"].as_object() {
                Some(properties) => {
                    let kept = properties.iter().filter(|_| random.random_bool(0.6)).collect::<Vec<_>>();
                    let fields = kept.into_iter().map(|(name, inner)| {
                        let hints = hints(name, self.smith);
                        let hint = hints.choose(random).filter(|_| random.random_bool(0.8)).cloned();
                        (name.clone(), hint.unwrap_or_else(|| self.value(inner, random, depth + 1)))
                    });
                    Value::Object(fields.collect())
                }
                None => anything(random, depth),
            },
        }
    }
}

/// Puts something strange somewhere into a value.
fn spoil(value: &mut Value, random: &mut StdRng, depth: usize) {
    let goes_on = depth == 0 || random.random_bool(0.7);
    match value {
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let Some(name) = names.choose(random) else { return };
            match random.random_range(0..10) {
                0 => drop(fields.shift_remove(name)),
                1 => drop(fields.insert((*pick(NAMES, random)).to_owned(), anything(random, 0))),
                _ => fields.get_mut(name).into_iter().for_each(|inner| spoil(inner, random, depth + 1)),
            }
        }
        Value::Array(values) if goes_on && !values.is_empty() => {
            let place = random.random_range(0..values.len());
            spoil(&mut values[place], random, depth + 1);
        }
        Value::String(text) if goes_on => {
            let strange = pick(TEXTS, random);
            let place = text.floor_char_boundary(random.random_range(0..=text.len()));
            text.insert_str(place, strange);
        }
        _ if depth == 0 => {}
        _ => *value = anything(random, 0),
    }
}

fn anything(random: &mut StdRng, depth: usize) -> Value {
    match random.random_range(0..16) {
        0 => Value::Null,
        1 => random.random_bool(0.5).into(),
        2 => json!([u64::MAX, i64::MIN, 4_294_967_296_u64, -1, 0])
            .get(random.random_range(0..5))
            .cloned()
            .into(),
        3 => Number::from_f64(*pick(&[1e308, -1e308, 5e-324, 0.1, 9_007_199_254_740_993.0], random)).into(),
        4 => (*pick(&["@huge", "@tiny", "@long", "@minus-zero"], random)).into(),
        5 => nested(random.random_range(1..130)),
        6 => text(random).repeat(random.random_range(1..300)).into(),
        7 => Value::Array(vec![json!({}); random.random_range(0..300)]),
        8 => json!([]),
        9 => json!({}),
        10 => json!([[[]]]),
        11 | 12 if depth < 3 => {
            let fields = (0..random.random_range(0..5)).map(|number| {
                let name = pick(NAMES, random);
                (format!("{name}{number}"), anything(random, depth + 1))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        13 if depth < 3 => (0..random.random_range(0..5)).map(|_| anything(random, depth + 1)).collect(),
        _ => text(random).into(),
    }
}

fn nested(depth: usize) -> Value {
    (0..depth)
        .fold(json!(1), |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
}

fn text(random: &mut StdRng) -> String {
    match random.random_range(0..4) {
        0 => (*pick(TEXTS, random)).to_owned(),
        1 => (0..random.random_range(0..40)).map(|_| random.random::<char>()).collect(),
        _ => format!("word {}", random.random_range(0..9)),
    }
}

fn pick<'a, T>(from: &'a [T], random: &mut StdRng) -> &'a T {
    &from[random.random_range(0..from.len())]
}

/// Repeats a name at the front with another value: of two the parser takes one, and the handler must not mind.
fn with_a_name_twice(text: &str, body: &Value, random: &mut StdRng) -> String {
    let Some(name) = body.as_object().and_then(|fields| fields.keys().next()) else { return text.to_owned() };
    text.replacen('{', &format!("{{{}:{},", json!(name), anything(random, 2)), 1)
}
