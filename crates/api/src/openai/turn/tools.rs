//! Functions that a client brings along, and whether one has to be called.

use std::collections::HashSet;

use domain::overlay::{FunctionTool, ToolChoice};
use domain::tools::{RequestServer, is_name};
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
    /// The only tools of the request that may be called.
    pub(crate) allowed: Option<Vec<Allowed>>,
}

/// What may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    Function(String),
    /// The tools of an MCP server of the request, or one of them.
    Server {
        label: String,
        tool: Option<String>,
    },
}

impl Chosen {
    /// Leaves the functions that may be called.
    pub(crate) fn of(&self, functions: Vec<FunctionTool>) -> Vec<FunctionTool> {
        match &self.allowed {
            None => functions,
            Some(allowed) => {
                let is_allowed = |name: &str| {
                    allowed.iter().any(|one| matches!(one, Allowed::Function(allowed) if allowed == name))
                };
                functions.into_iter().filter(|function| is_allowed(&function.name)).collect()
            }
        }
    }

    /// Returns what is asked for where a request brings tools along, and some of them are left to call. Where none is, nothing
    /// may be called: the smith's own tools sit out.
    pub(crate) fn choice_of(self, brings: bool, leaves: bool) -> ToolChoice {
        match self.choice {
            ToolChoice::Auto if brings && !leaves => ToolChoice::None,
            choice => choice,
        }
    }

    /// Leaves the servers that may be called, with the tools that may be.
    pub(crate) fn of_servers(&self, servers: Vec<RequestServer>) -> Vec<RequestServer> {
        let Some(allowed) = &self.allowed else { return servers };
        let narrowed = servers.into_iter().filter_map(|mut server| {
            let of_server = allowed.iter().filter_map(|one| match one {
                Allowed::Server { label, tool } if *label == server.label => Some(tool.as_deref()),
                _ => None,
            });
            let tools: Vec<Option<&str>> = of_server.collect();
            if tools.is_empty() {
                return None;
            }
            if tools.iter().all(Option::is_some) {
                let filter = server.allowed.get_or_insert_default();
                let named = |name: &&str| {
                    filter.names.as_ref().is_none_or(|names| names.iter().any(|one| one == name))
                };
                let names = tools.into_iter().flatten().filter(named).map(str::to_owned).collect();
                filter.names = Some(names);
            }
            Some(server)
        });
        narrowed.collect()
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
            let allowed = |tool: &Value| {
                let text =
                    |fields: &Value, key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
                if tool.get("type").and_then(Value::as_str) == Some("mcp") {
                    let label = text(tool, "server_label").ok_or_else(malformed)?;
                    return Ok(Allowed::Server { label, tool: text(tool, "name") });
                }
                let fields = tool.get("function").unwrap_or(tool);
                text(fields, "name").map(Allowed::Function).ok_or_else(malformed)
            };
            Ok(Chosen { choice: mode, allowed: Some(tools.iter().map(allowed).collect::<Result<_, _>>()?) })
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
    use domain::tools::{Consent, ToolFilter};

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
        assert_eq!(
            allowed,
            Chosen { choice: ToolChoice::Required, allowed: Some(vec![Allowed::Function("f".into())]) }
        );
        let nested = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}});
        assert_eq!(read(nested).allowed, Some(vec![Allowed::Function("f".into())]));
        let server = |name: Value| json!({"type": "mcp", "server_label": "crm", "name": name});
        let tools = json!([server(json!(null)), server(json!("find"))]);
        let both = read(json!({"type": "allowed_tools", "mode": "auto", "tools": tools}));
        let of_crm =
            |tool: Option<&str>| Allowed::Server { label: "crm".into(), tool: tool.map(str::to_owned) };
        assert_eq!(both.allowed, Some(vec![of_crm(None), of_crm(Some("find"))]));
        for wrong in
            [json!("always"), json!(7), json!({"type": "function"}), json!({"type": "allowed_tools"})]
        {
            assert_eq!(tool_choice(Some(&wrong)).unwrap_err().code, Code::InvalidToolChoice, "{wrong}");
        }
    }

    #[test]
    fn servers_are_narrowed_down_to_what_may_be_called() {
        let server = |label: &str, names: Option<&[&str]>| RequestServer {
            label: label.into(),
            url: "https://a.example".into(),
            headers: Default::default(),
            allowed: names.map(|names| ToolFilter {
                names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
                read_only: None,
            }),
            consent: Consent::Always,
        };
        let allowed = |label: &str, tool: Option<&str>| Allowed::Server {
            label: label.into(),
            tool: tool.map(str::to_owned),
        };
        let left = |allowed: Vec<Allowed>, servers: Vec<RequestServer>| {
            Chosen { choice: ToolChoice::Auto, allowed: Some(allowed) }.of_servers(servers)
        };
        let both = || vec![server("a", None), server("b", Some(&["x", "y"]))];
        assert_eq!(left(vec![allowed("b", None)], both()), [server("b", Some(&["x", "y"]))]);
        assert_eq!(
            left(vec![allowed("b", Some("y")), allowed("b", Some("z"))], both()),
            [server("b", Some(&["y"]))]
        );
        assert_eq!(left(vec![allowed("a", Some("y"))], both()), [server("a", Some(&["y"]))]);
        assert_eq!(left(vec![Allowed::Function("a".into())], both()), []);
        assert_eq!(Chosen::default().of_servers(both()), both());
        assert_eq!(Chosen::default().choice_of(true, false), ToolChoice::None);
        assert_eq!(Chosen::default().choice_of(false, false), ToolChoice::Auto);
    }
}
