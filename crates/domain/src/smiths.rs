//! Smiths: one private instance of an agent for one end user, and the configuration that results.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::problems::{Code, Problem};

/// What a smith's `model` reads when nobody chose one: resolved anew for each run.
pub const DEFAULT_MODEL: &str = "default";

/// Names of the tools that run inside the server. A configuration may name no others.
pub const HOSTED_TOOLS: &[&str] = &[
    "web_search",
    "web_fetch",
    "calculator",
    "reasoning",
    "current_time",
    "file_search",
    "run_command",
    "suggest_replies",
    "render_app",
];

/// A complete configuration: an agent's draft or version, or what a smith makes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub instructions: Option<String>,
    pub model: Option<String>,
    pub enabled_hosted_tools: Vec<String>,
    pub vector_store_ids: Vec<String>,
    /// None stands for all registered servers, an empty list for none.
    pub mcp_servers: Option<Vec<String>>,
    /// Kept verbatim, key order included.
    pub skills: Vec<Value>,
    pub auto_memory: Option<bool>,
    pub memory_consolidation: Option<bool>,
    pub tools: Option<Vec<String>>,
    pub variables: Vec<Value>,
    pub ui_resources: Vec<Value>,
}

impl Config {
    /// Returns the configuration with a smith's overrides laid over it.
    pub fn with(&self, overrides: &Overrides) -> Self {
        if overrides.is_empty() {
            return self.clone();
        }
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else { return self.clone() };
        for (key, value) in &overrides.0 {
            fields.insert(key.clone(), value.clone());
        }
        serde_json::from_value(Value::Object(fields)).unwrap_or_else(|_| self.clone())
    }

    /// Estimates how much memory the configuration takes, in bytes.
    pub fn size(&self) -> usize {
        const ITSELF: usize = 512;
        serde_json::to_vec(self).map_or(ITSELF, |json| json.len().saturating_add(ITSELF))
    }

    /// Returns the model as the API shows it: never null.
    pub fn shown_model(&self) -> &str {
        self.model.as_deref().filter(|model| !model.is_empty()).unwrap_or(DEFAULT_MODEL)
    }
}

/// The fields in which a smith departs from its agent. Values are checked when they come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(Map<String, Value>);

impl Overrides {
    /// The fields that can be overridden, in the order in which the API lists them.
    pub const KEYS: &'static [&'static str] = &[
        "model",
        "instructions",
        "enabled_hosted_tools",
        "vector_store_ids",
        "mcp_servers",
        "skills",
        "auto_memory",
        "memory_consolidation",
        "tools",
    ];

    /// Takes over what `body` says of the configuration: a value overrides, null inherits again, absence changes nothing.
    ///
    /// Returns whether anything was said at all.
    pub fn apply(&mut self, body: &Map<String, Value>) -> Result<bool, Problem> {
        let mut said = false;
        for key in Self::KEYS {
            let Some(value) = body.get(*key) else { continue };
            said = true;
            if value.is_null() {
                self.0.shift_remove(*key);
                continue;
            }
            check(key, value)?;
            self.0.insert((*key).to_owned(), value.clone());
        }
        Ok(said)
    }

    pub fn keys(&self) -> Vec<String> {
        Self::KEYS.iter().filter(|key| self.0.contains_key(**key)).map(|key| (*key).to_owned()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks a field of a configuration, a smith's or a design's.
pub(crate) fn check(key: &str, value: &Value) -> Result<(), Problem> {
    const NAMES: usize = 100;
    const LIST_BYTES: usize = 256 * 1024;
    const INSTRUCTIONS: usize = 200_000;
    const MODEL: usize = 255;
    let refuse = |message: String| Err(Problem::invalid_input(key, message));
    match key {
        "model" | "instructions" => {
            let Some(text) = value.as_str() else {
                return refuse(format!("`{key}` must be a text or null."));
            };
            if key == "model" && text.chars().any(char::is_control) {
                return refuse("`model` must be a text without control characters.".to_owned());
            }
            let limit = if key == "model" { MODEL } else { INSTRUCTIONS };
            if text.chars().count() > limit {
                return refuse(format!("`{key}` may have at most {limit} characters."));
            }
        }
        "auto_memory" | "memory_consolidation" if !value.is_boolean() => {
            return refuse(format!("`{key}` must be true, false or null."));
        }
        "enabled_hosted_tools" | "vector_store_ids" | "mcp_servers" | "tools" => {
            let names = value.as_array().filter(|names| names.iter().all(Value::is_string));
            let Some(names) = names else { return refuse(format!("`{key}` must be an array of texts.")) };
            if names.len() > NAMES {
                return refuse(format!("`{key}` may hold at most {NAMES} entries."));
            }
            let mut names = names.iter().filter_map(Value::as_str);
            if key == "enabled_hosted_tools"
                && let Some(unknown) = names.find(|name| !HOSTED_TOOLS.contains(name))
            {
                let unknown: String = unknown.chars().take(64).collect();
                let known = HOSTED_TOOLS.join(", ");
                return refuse(format!("`{unknown}` is no hosted tool. The hosted tools are: {known}."));
            }
        }
        "skills" => {
            let is_reference = |skill: &Value| {
                let version = skill.get("version");
                skill.get("skill_id").is_some_and(Value::is_string)
                    && version.is_none_or(|version| version.as_u64().is_some_and(|version| version > 0))
            };
            let skills = value.as_array();
            if !skills.is_some_and(|skills| skills.len() <= NAMES && skills.iter().all(is_reference)) {
                return refuse(format!(
                    "`skills` must be an array of at most {NAMES} objects with a `skill_id` and perhaps a `version`, a whole \
                     number above 0."
                ));
            }
        }
        _ => {}
    }
    if value.is_array() && value.to_string().len() > LIST_BYTES {
        return refuse(format!("`{key}` may have at most 256 KiB as JSON."));
    }
    Ok(())
}

/// What a smith is told about its person. Personal, so it is stored sealed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub display_name: Option<String>,
    pub locale: Option<String>,
    pub timezone: Option<String>,
    pub metadata: Map<String, Value>,
}

impl Profile {
    /// Takes over what `body` says of the person: a value sets, null clears, absence changes nothing.
    pub fn apply(&mut self, body: &Map<String, Value>) -> Result<bool, Problem> {
        let mut said = false;
        for (key, field) in [
            ("display_name", &mut self.display_name),
            ("locale", &mut self.locale),
            ("timezone", &mut self.timezone),
        ] {
            match body.get(key) {
                None => continue,
                Some(Value::Null) => *field = None,
                Some(Value::String(text)) if text.chars().count() <= 255 => *field = Some(text.clone()),
                Some(_) => {
                    let message = format!("`{key}` must be a text of at most 255 characters, or null.");
                    return Err(Problem::invalid_input(key, message));
                }
            }
            said = true;
        }
        if let Some(timezone) = body.get("timezone").and_then(Value::as_str) {
            check_timezone(timezone)?;
        }
        match body.get("metadata") {
            None => {}
            Some(Value::Null) => {
                said = true;
                self.metadata = Map::new();
            }
            Some(metadata) => {
                said = true;
                self.metadata = parse_metadata(metadata)?;
            }
        }
        Ok(said)
    }
}

fn check_timezone(timezone: &str) -> Result<(), Problem> {
    let known = timezone.len() <= 64 && jiff::tz::TimeZone::get(timezone).is_ok();
    if known {
        return Ok(());
    }
    let message = "`timezone` must be the name of an IANA time zone, such as `Europe/Paris`.";
    Err(Problem::new(Code::InvalidTimezone, message).at("timezone"))
}

/// Reads `metadata`: an object of at most 16 KiB as JSON.
pub fn parse_metadata(value: &Value) -> Result<Map<String, Value>, Problem> {
    const BYTES: usize = 16 * 1024;
    let Value::Object(metadata) = value else {
        return Err(Problem::invalid_input("metadata", "`metadata` must be an object."));
    };
    if value.to_string().len() > BYTES {
        return Err(Problem::invalid_input("metadata", "`metadata` may have at most 16 KiB as JSON."));
    }
    Ok(metadata.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn an_override_wins_and_null_inherits_again() {
        let base =
            Config { model: Some("gpt-5".into()), instructions: Some("base".into()), ..Config::default() };
        let mut overrides = Overrides::default();
        assert!(overrides.apply(&body(json!({"instructions": "own", "mcp_servers": []}))).unwrap());
        assert_eq!(overrides.keys(), ["instructions", "mcp_servers"]);
        let effective = base.with(&overrides);
        assert_eq!(effective.instructions.as_deref(), Some("own"));
        assert_eq!(effective.model.as_deref(), Some("gpt-5"));
        assert_eq!(effective.mcp_servers, Some(vec![]));
        overrides.apply(&body(json!({"instructions": null}))).unwrap();
        assert_eq!(base.with(&overrides).instructions.as_deref(), Some("base"));
        assert!(!overrides.apply(&body(json!({"other": 1}))).unwrap());
    }

    #[test]
    fn a_wrong_value_is_refused_and_named() {
        for (value, param) in [
            (json!({"model": 7}), "model"),
            (json!({"model": "scripted/\0"}), "model"),
            (json!({"tools": "x"}), "tools"),
            (json!({"enabled_hosted_tools": ["nope"]}), "enabled_hosted_tools"),
            (json!({"auto_memory": "yes"}), "auto_memory"),
            (json!({"skills": [{}]}), "skills"),
            (json!({"skills": [{"skill_id": "skl_1", "version": "2"}]}), "skills"),
        ] {
            let refusal = Overrides::default().apply(&body(value)).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(param));
        }
    }

    #[test]
    fn a_model_nobody_chose_reads_default() {
        assert_eq!(Config::default().shown_model(), "default");
    }

    #[test]
    fn a_time_zone_must_exist() {
        let mut profile = Profile::default();
        assert!(profile.apply(&body(json!({"timezone": "Europe/Paris"}))).unwrap());
        let refusal = profile.apply(&body(json!({"timezone": "Mars/Base"}))).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidTimezone);
    }
}
