//! The server's own description, held against the contract.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{Engine, Server, Setup};
use insta::assert_json_snapshot;
use serde_json::{Map, Value, json};

const CONTRACT: &str = include_str!("../../../../contract/openapi.json");
const SCHEMAS: &str = "#/components/schemas/";

/// Schemas that the contract writes where they are used, without a name of their own.
const UNNAMED_IN_THE_CONTRACT: [&str; 10] = [
    "ApprovalElicitation",
    "AttachedSmithOut",
    "ConfigSource",
    "ErrorBody",
    "InheritedConfig",
    "Jwk",
    "ModelSource",
    "ReadyChecks",
    "RunError",
    "RunOutput",
];

/// Where the schemas depart from those of the contract: what is added, and what is for things that do not exist yet.
const KNOWN_DIFFERENCES: &[&str] = &[
    "ApprovalOut.edited_args is added",
    "ApprovalOut.expires_at is added",
    "AttachOut.has_more is added",
    "ChatCompletionOut.usage is added",
    "ConversationItem.error is added",
    "EmbeddingsIn.dimensions is added",
    "EmbeddingsIn.encoding_format is added",
    "RunOut.error is added",
    "RunUsage.cost is not there",
];

async fn documents() -> (Value, Value) {
    let server = Setup::on(Engine::Sqlite).start().await;
    (own(&server).await, serde_json::from_str(CONTRACT).expect("the contract is JSON"))
}

async fn own(server: &Server) -> Value {
    server.anonymous().without_header("ic-api-version").get("/openapi.json").await.expect(200)
}

/// Lists the operations by id: method, path, and the operation itself.
fn operations(document: &Value) -> BTreeMap<&str, (&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("a document has paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path has methods");
        methods.iter().map(move |(method, operation)| {
            let id = operation["operationId"].as_str().expect("an operation has an id");
            (id, (method.as_str(), path.as_str(), operation))
        })
    });
    let count = paths.values().map(|item| item.as_object().expect("methods").len()).sum::<usize>();
    let operations: BTreeMap<_, _> = all.collect();
    assert_eq!(operations.len(), count, "an operation id is there twice");
    operations
}

/// Lists every `$ref` in a value.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(target);
            }
            fields.values().for_each(|inner| references(inner, found));
        }
        Value::Array(values) => values.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

/// Lists the names of the schemas that an operation needs, directly or through others.
fn schemas_of<'a>(document: &'a Value, operation: &'a Value) -> BTreeSet<&'a str> {
    let mut known = BTreeSet::new();
    let mut next = BTreeSet::new();
    references(operation, &mut next);
    while let Some(target) = next.pop_first() {
        let name =
            target.strip_prefix(SCHEMAS).unwrap_or_else(|| panic!("{target} is no schema of the document"));
        if known.insert(name) {
            let schema = &document["components"]["schemas"][name];
            assert!(schema.is_object(), "{name} is referred to, but not there");
            references(schema, &mut next);
        }
    }
    known
}

fn parameters(operation: &Value) -> BTreeSet<(&str, &str)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters
        .map(|parameter| {
            (parameter["in"].as_str().expect("a place"), parameter["name"].as_str().expect("a name"))
        })
        .collect()
}

/// Returns the media types of a body or response with the names of their schemas.
fn content(body: &Value) -> BTreeMap<String, BTreeSet<&str>> {
    let content = body["content"].as_object().into_iter().flatten();
    content
        .map(|(media_type, content)| {
            let mut names = BTreeSet::new();
            references(content, &mut names);
            (media_type.clone(), names)
        })
        .collect()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

fn required(schema: &Value) -> BTreeSet<&str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn the_document_is_as_it_was() {
    let (document, _) = documents().await;
    assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn the_document_is_the_same_on_both_databases_and_at_every_start() {
    let (first, _) = documents().await;
    let server = Setup::on(Engine::Postgres).start().await;
    assert_eq!(own(&server).await.to_string(), first.to_string());
}

#[tokio::test]
async fn every_operation_is_one_of_the_contract() {
    let (document, contract) = documents().await;
    let known = operations(&contract);
    for (id, (method, path, operation)) in operations(&document) {
        let Some((known_method, known_path, known)) = known.get(id) else {
            panic!("the contract has no {id}")
        };
        assert_eq!((method, path), (*known_method, *known_path), "{id}");
        assert_eq!(operation["tags"], known["tags"], "{id}");
        assert_eq!(operation["security"], known["security"], "{id}");
        assert_eq!(parameters(operation), parameters(known), "{id}");
        assert_eq!(content(&operation["requestBody"]), content(&known["requestBody"]), "{id}");
        let succeeding = |operation: &Value| -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
            let responses = operation["responses"].as_object().expect("an operation has responses");
            let good = responses.iter().filter(|(status, _)| status.starts_with('2'));
            good.map(|(status, response)| {
                let content = content(response).into_iter();
                let content =
                    content.map(|(media, names)| (media, names.into_iter().map(str::to_owned).collect()));
                (status.clone(), content.collect())
            })
            .collect()
        };
        let mut expected = succeeding(known);
        if id == "smiths.export" {
            // Its archive is described in text only (behaviour 2.8).
            expected.values_mut().for_each(BTreeMap::clear);
        }
        assert_eq!(succeeding(operation), expected, "{id}");
    }
}

#[tokio::test]
async fn every_schema_has_the_name_and_fields_of_the_contract() {
    let (document, contract) = documents().await;
    let known = operations(&contract);
    let (mut of_contract, mut of_bodies) = (BTreeSet::new(), BTreeSet::new());
    for id in operations(&document).keys() {
        let (_, _, operation) = known.get(id).expect("the contract has it");
        of_contract.extend(schemas_of(&contract, operation));
        of_bodies.extend(schemas_of(&contract, &operation["requestBody"]));
    }
    let own = keys(&document["components"]["schemas"]);
    let mut expected = of_contract.clone();
    expected.extend(UNNAMED_IN_THE_CONTRACT);
    assert_eq!(own, expected);
    let mut differences = Vec::new();
    for name in of_contract {
        let own = object(&document["components"]["schemas"][name]);
        let known = object(&contract["components"]["schemas"][name]);
        let is_of_body = of_bodies.contains(name);
        let (fields, known_fields) = (keys(&own["properties"]), keys(&known["properties"]));
        for field in fields.difference(&known_fields) {
            differences.push(format!("{name}.{field} is added"));
        }
        for field in known_fields.difference(&fields) {
            differences.push(format!("{name}.{field} is not there"));
        }
        let (asked, known_asked) = (required(own), required(known));
        let (wrong, how) = if is_of_body {
            (asked.difference(&known_asked), "is asked for")
        } else {
            (known_asked.difference(&asked), "may be left out")
        };
        differences.extend(wrong.map(|field| format!("{name}.{field} {how}")));
        for field in known_fields.intersection(&fields) {
            let types = |document, schema: &Value| alternatives(document, &schema["properties"][field]);
            let (own, known) = (types(&document, own), types(&contract, known));
            let fits = if is_of_body { known.is_subset(&own) } else { own.is_subset(&known) };
            if !fits && !own.is_empty() && !known.is_empty() {
                differences.push(format!("{name}.{field} is {own:?}, in the contract {known:?}"));
            }
        }
    }
    assert_eq!(differences, KNOWN_DIFFERENCES);
}

/// Returns the schema of the object where a schema allows null as well.
fn object(schema: &Value) -> &Value {
    let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|list| schema[list].as_array());
    alternatives.flatten().find(|inner| inner["type"] == "object").unwrap_or(schema)
}

/// Lists the types that a value may have; every whole number is a number.
fn alternatives(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.strip_prefix(SCHEMAS)) {
        return alternatives(document, &document["components"]["schemas"][name]);
    }
    let names = match &schema["type"] {
        Value::Array(names) => names.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut types: BTreeSet<String> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if types.contains("number") {
        types.insert("integer".to_owned());
    }
    for inner in ["anyOf", "oneOf"].into_iter().filter_map(|list| schema[list].as_array()).flatten() {
        types.extend(alternatives(document, inner));
    }
    types
}

#[tokio::test]
async fn the_document_keeps_the_rules_for_generators() {
    let (document, _) = documents().await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "2026-05-01");
    let bearer = &document["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!((&bearer["type"], &bearer["scheme"]), (&json!("http"), &json!("bearer")));

    let operations = operations(&document);
    let ids: Vec<&str> = operations.keys().copied().collect();
    for id in &ids {
        assert!(
            id.split('.')
                .all(|word| !word.is_empty()
                    && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')),
            "{id}"
        );
        let group = format!("{id}.");
        assert!(!ids.iter().any(|other| other.starts_with(&group)), "{id} is also a group");
    }

    let mut other_media_types = BTreeSet::new();
    for (id, (_, path, operation)) in &operations {
        assert!(
            operation["summary"].is_string() || operation["description"].is_string(),
            "{id} is not described"
        );
        match operation.get("security") {
            Some(security) => assert_eq!(security, &json!([{ "bearerAuth": [] }]), "{id}"),
            None => assert!(!path.starts_with("/v1/"), "{id} is open"),
        }
        // Everything in braces is a parameter of the path, and the other way round.
        let places: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let declared = parameters(operation);
        let in_path: BTreeSet<&str> =
            declared.iter().filter(|(place, _)| *place == "path").map(|(_, name)| *name).collect();
        assert_eq!(places, in_path, "{id}");
        for body in operation["responses"].as_object().unwrap().values().chain([&operation["requestBody"]]) {
            if operation.get("security").is_some()
                && content(body).keys().any(|media| media != "application/json")
            {
                other_media_types.insert(*id);
            }
        }
        for name in schemas_of(&document, &operation["requestBody"]) {
            let properties = keys(&document["components"]["schemas"][name]["properties"]);
            for reserved in ["json", "profile", "api_version", "body", "all_pages", "yes"] {
                assert!(!properties.contains(reserved), "{id}: {name}.{reserved}");
            }
        }
        assert!(operation["requestBody"]["required"] != true, "{id}: an absent body is an empty object");
    }
    // Of the twelve of the contract, those that are served.
    let served = [
        "agents.ui.content",
        "agents.ui.put",
        "completions.create",
        "responses.create",
        "responses.get",
        "smiths.runs.create",
        "smiths.runs.events",
        "smiths.runs.replay",
    ];
    assert_eq!(other_media_types, BTreeSet::from(served));

    let mut all = BTreeSet::new();
    references(&document, &mut all);
    for target in &all {
        let name = target.strip_prefix(SCHEMAS).unwrap_or_default();
        assert!(!name.is_empty() && !name.contains('/'), "{target} leads into a schema");
        assert!(document["components"]["schemas"][name].is_object(), "{target} leads nowhere");
    }
    let mut used = BTreeSet::new();
    operations.values().for_each(|(_, _, operation)| used.extend(schemas_of(&document, operation)));
    assert_eq!(used, keys(&document["components"]["schemas"]), "a schema that nothing uses");
}
