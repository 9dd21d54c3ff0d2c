//! Drafts: what of a design its owner can change.

use serde_json::{Map, Value};

use crate::problems::Problem;
use crate::smiths::{Config, check};
use crate::variables;

/// The fields of a draft that can be set, in the order in which the API lists them.
const KEYS: &[&str] = &[
    "instructions",
    "model",
    "enabled_hosted_tools",
    "vector_store_ids",
    "mcp_servers",
    "skills",
    "auto_memory",
    "memory_consolidation",
    "tools",
    "variables",
];

impl Config {
    /// Takes over what `body` says of a design: a value sets, null clears, absence changes nothing.
    ///
    /// Returns whether anything was said at all.
    pub fn edit(&mut self, body: &Map<String, Value>) -> Result<bool, Problem> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(&*self) else {
            return Err(Problem::internal());
        };
        let mut said = false;
        for key in KEYS {
            let Some(value) = body.get(*key) else { continue };
            said = true;
            if value.is_null() {
                // What is missing reads as in an empty design.
                fields.shift_remove(*key);
                continue;
            }
            if *key == "variables" {
                variables::check(value)?;
            }
            check(key, value)?;
            fields.insert((*key).to_owned(), value.clone());
        }
        if said {
            *self = serde_json::from_value(Value::Object(fields)).map_err(|_| Problem::internal())?;
        }
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::problems::Code;

    fn edit(config: &mut Config, body: Value) -> Result<bool, Problem> {
        config.edit(body.as_object().unwrap())
    }

    #[test]
    fn a_value_sets_null_clears_and_absence_changes_nothing() {
        let mut draft = Config::default();
        let body = json!({
            "instructions": "Be kind.", "model": "gpt-5", "enabled_hosted_tools": ["calculator"], "vector_store_ids": ["vs_1"],
            "mcp_servers": [], "skills": [{"version": 2, "skill_id": "skl_1", "z": null}], "auto_memory": true,
            "memory_consolidation": false, "tools": ["lookup"], "variables": [{"required": true, "name": "plan", "a": [1.0]}],
            "slug": "ignored", "ui_resources": [{"name": "ignored"}],
        });
        assert!(edit(&mut draft, body.clone()).unwrap());
        let stored = serde_json::to_value(&draft).unwrap();
        for key in KEYS {
            assert_eq!(stored[key].to_string(), body[key].to_string(), "verbatim, in the order of its keys");
        }
        assert_eq!(draft.ui_resources, Vec::<Value>::new());
        for key in KEYS {
            let before = draft.clone();
            assert!(edit(&mut draft, json!({ *key: null })).unwrap());
            assert_ne!(draft, before, "{key}");
        }
        assert_eq!(draft, Config::default());
        assert!(!edit(&mut draft, json!({"slug": "other", "name": "Other"})).unwrap());
    }

    #[test]
    fn what_belongs_to_others_survives_an_edit() {
        let mut draft = Config { ui_resources: vec![json!({"name": "card"})], ..Config::default() };
        edit(&mut draft, json!({"instructions": "Be kind."})).unwrap();
        assert_eq!(draft.ui_resources, [json!({"name": "card"})]);
    }

    #[test]
    fn a_wrong_value_is_named_and_changes_nothing() {
        let many = vec![json!({"name": "a"}); 101];
        for (key, value, code) in [
            ("instructions", json!(1), Code::InvalidInput),
            ("tools", json!([1]), Code::InvalidInput),
            ("tools", json!(["t".repeat(300_000)]), Code::InvalidInput),
            ("variables", json!({}), Code::InvalidVariables),
            ("variables", json!(many), Code::InvalidVariables),
        ] {
            let mut draft = Config::default();
            let refusal = edit(&mut draft, json!({"model": "gpt-5", key: value})).unwrap_err();
            assert_eq!((refusal.code, refusal.param.as_deref()), (code, Some(key)));
            assert_eq!(draft, Config::default());
        }
    }
}
