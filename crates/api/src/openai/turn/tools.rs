//! Functions that a client brings along, and whether one has to be called.

use std::collections::HashSet;

use domain::overlay::{FunctionTool, ToolChoice};
use domain::tools::is_name;
use domain::{Code, Problem};
use serde_json::{Value, json};

/// How many functions one request may bring: as many as OpenAI takes.
const MOST_FUNCTIONS: usize = 128;

/// Reads functions, each either nested under `function`, as chat completions have it, or flat, as responses do. `tools` are
/// the entries with their places in the request.
pub(crate) fn functions<'a>(
    tools: impl Iterator<Item = (usize, &'a Value)>,
) -> Result<Vec<FunctionTool>, Problem> {
    let mut read: Vec<FunctionTool> = Vec::new();
    let mut names = HashSet::new();
    for (index, tool) in tools {
        let function = function(tool, index)?;
        if read.len() >= MOST_FUNCTIONS {
            let message = format!("`tools` may hold at most {MOST_FUNCTIONS} functions.");
            return Err(Problem::invalid_input("tools", message));
        }
        if !names.insert(function.name.clone()) {
            let message = "Two functions have the same name, so that a call could not tell them apart.";
            return Err(Problem::invalid_input(format!("tools[{index}]"), message));
        }
        read.push(function);
    }
    Ok(read)
}

fn function(tool: &Value, index: usize) -> Result<FunctionTool, Problem> {
    let nested = tool.get("function").filter(|nested| nested.is_object());
    let (fields, at) = match nested {
        Some(nested) => (nested, format!("tools[{index}].function")),
        None => (tool, format!("tools[{index}]")),
    };
    let given = |key: &str| fields.get(key).filter(|value| !value.is_null());
    let Some(name) = given("name").and_then(Value::as_str).filter(|name| is_name(name)) else {
        let message = "A function needs a `name` of 1 to 64 letters, digits, `_` and `-`.";
        return Err(Problem::invalid_input(format!("{at}.name"), message));
    };
    let wrong = |key: &str, expected: &str| {
        Problem::invalid_input(format!("{at}.{key}"), format!("`{key}` must be {expected}."))
    };
    let description = match given("description") {
        None => "",
        Some(text) => text.as_str().ok_or_else(|| wrong("description", "a text"))?,
    };
    let parameters = match given("parameters") {
        None => json!({"type": "object", "properties": {}}),
        Some(schema) if schema.is_object() => schema.clone(),
        Some(_) => return Err(wrong("parameters", "a JSON Schema object")),
    };
    let strict = match given("strict") {
        None => false,
        Some(strict) => strict.as_bool().ok_or_else(|| wrong("strict", "`true` or `false`"))?,
    };
    Ok(FunctionTool { name: name.to_owned(), description: description.to_owned(), parameters, strict })
}

/// What a request says about calling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) choice: ToolChoice,
    /// The only functions of the request that may be called.
    pub(crate) allowed: Option<Vec<String>>,
}

impl Chosen {
    /// Leaves the functions that may be called.
    pub(crate) fn of(&self, functions: Vec<FunctionTool>) -> Vec<FunctionTool> {
        match &self.allowed {
            None => functions,
            Some(allowed) => {
                functions.into_iter().filter(|function| allowed.contains(&function.name)).collect()
            }
        }
    }
}

/// Reads `tool_choice` in either form. Whether the tool is there is checked when the run starts.
pub(crate) fn tool_choice(value: Option<&Value>) -> Result<Chosen, Problem> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(Chosen::default()) };
    let choice = |choice: ToolChoice| Ok(Chosen { choice, allowed: None });
    if let Some(word) = value.as_str() {
        return word_of(word).map_or_else(|| Err(malformed()), choice);
    }
    match value.get("type").and_then(Value::as_str) {
        Some("function") => {
            let fields = value.get("function").unwrap_or(value);
            let name = fields.get("name").and_then(Value::as_str).ok_or_else(malformed)?;
            choice(ToolChoice::Named(name.to_owned()))
        }
        Some("allowed_tools") => {
            let fields = value.get("allowed_tools").unwrap_or(value);
            let mode = fields.get("mode").and_then(Value::as_str).and_then(word_of).ok_or_else(malformed)?;
            let tools = fields.get("tools").and_then(Value::as_array).ok_or_else(malformed)?;
            let name = |tool: &Value| {
                let fields = tool.get("function").unwrap_or(tool);
                fields.get("name").and_then(Value::as_str).map(str::to_owned).ok_or_else(malformed)
            };
            Ok(Chosen { choice: mode, allowed: Some(tools.iter().map(name).collect::<Result<_, _>>()?) })
        }
        _ => Err(malformed()),
    }
}

fn word_of(word: &str) -> Option<ToolChoice> {
    match word {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "required" => Some(ToolChoice::Required),
        _ => None,
    }
}

fn malformed() -> Problem {
    let message = "`tool_choice` must be `auto`, `none`, `required`, or an object that names a function.";
    Problem::new(Code::InvalidToolChoice, message).at("tool_choice")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tools: &Value) -> Result<Vec<FunctionTool>, Problem> {
        functions(tools.as_array().unwrap().iter().enumerate())
    }

    #[test]
    fn both_forms_of_a_function_are_the_same() {
        let nested = json!([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]);
        let flat = json!([{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": null}]);
        assert_eq!(read(&nested).unwrap(), read(&flat).unwrap());
        let bare = read(&json!([{"type": "function", "name": "f", "parameters": null}])).unwrap();
        assert_eq!(bare[0].parameters, json!({"type": "object", "properties": {}}));
    }

    #[test]
    fn what_is_wrong_with_a_function_is_named_by_its_place() {
        let param = |tools: Value| read(&tools).unwrap_err().param.unwrap();
        assert_eq!(
            param(json!([{"type": "function", "function": {"name": "a b"}}])),
            "tools[0].function.name"
        );
        assert_eq!(param(json!([{"name": "f", "parameters": 7}])), "tools[0].parameters");
        assert_eq!(param(json!([{"name": "f"}, {"name": "f"}])), "tools[1]");
        let many: Vec<_> = (0..129).map(|number| json!({"name": format!("f{number}")})).collect();
        assert_eq!(param(json!(many)), "tools");
        assert_eq!(read(&json!(many[..128])).unwrap().len(), 128);
    }

    #[test]
    fn a_choice_is_read_in_every_form_that_clients_send() {
        let read = |value: Value| tool_choice(Some(&value)).unwrap();
        assert_eq!(read(json!("required")).choice, ToolChoice::Required);
        let named = ToolChoice::Named("f".into());
        assert_eq!(read(json!({"type": "function", "function": {"name": "f"}})).choice, named);
        assert_eq!(read(json!({"type": "function", "name": "f"})).choice, named);
        let allowed = read(
            json!({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}),
        );
        assert_eq!(allowed, Chosen { choice: ToolChoice::Required, allowed: Some(vec!["f".into()]) });
        let nested = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}});
        assert_eq!(read(nested).allowed, Some(vec!["f".to_owned()]));
        for wrong in
            [json!("always"), json!(7), json!({"type": "function"}), json!({"type": "allowed_tools"})]
        {
            assert_eq!(tool_choice(Some(&wrong)).unwrap_err().code, Code::InvalidToolChoice, "{wrong}");
        }
    }
}
