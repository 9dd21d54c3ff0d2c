//! Rules that say which tools of a server need a human's consent.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Gate, OnReject};
use crate::problems::{Code, Problem};

const MOST_RULES: usize = 100;
const LONGEST_PATTERN: usize = 255;
const LEAST_SECONDS: u32 = 60;
/// Thirty days.
const MOST_SECONDS: u32 = 2_592_000;
const KEYS: [&str; 4] = ["match", "require", "on_reject", "expires_in_seconds"];

/// That calls of the tools with matching names need a human's consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// A glob on the name of the tool: `*` stands for any characters, `?` for one.
    #[serde(rename = "match")]
    pub pattern: String,
    #[serde(default)]
    pub on_reject: OnReject,
    #[serde(default = "usual_seconds")]
    pub expires_in_seconds: u32,
}

fn usual_seconds() -> u32 {
    Gate::EXPIRES_IN_SECONDS
}

impl ApprovalRule {
    /// The only thing that a rule can require.
    pub const REQUIRE: &'static str = "approval";

    /// Reads the rules of a server; `param` names the field that holds them.
    pub fn parse_all(value: &Value, param: &str) -> Result<Vec<Self>, Problem> {
        let rules = value.as_array().filter(|rules| rules.len() <= MOST_RULES);
        let Some(rules) = rules else {
            let message = format!("`{param}` must be a list of at most {MOST_RULES} rules.");
            return Err(Problem::new(Code::InvalidApprovalPolicy, message).at(param));
        };
        let read = |(index, rule)| Self::parse(rule, &format!("{param}[{index}]"));
        rules.iter().enumerate().map(read).collect()
    }

    fn parse(value: &Value, param: &str) -> Result<Self, Problem> {
        let Some(fields) = value.as_object() else {
            return Err(invalid(param, "an object with a `match`"));
        };
        // The key is the caller's text, which messages do not repeat.
        if fields.keys().any(|key| !KEYS.contains(&key.as_str())) {
            let message = format!(
                "A rule can have {}. Conditions on arguments are not supported: match the tool by its name.",
                KEYS.map(|key| format!("`{key}`")).join(", ")
            );
            return Err(Problem::new(Code::UnsupportedPolicyRule, message).at(param));
        }
        let given = |key: &str| fields.get(key).filter(|value| !value.is_null());
        if given("require").is_some_and(|require| require != Self::REQUIRE) {
            return Err(invalid(&format!("{param}.require"), "`approval`, which it is when left out"));
        }
        Ok(Self {
            pattern: pattern(fields, param)?,
            on_reject: match given("on_reject") {
                None => OnReject::default(),
                Some(value) => value
                    .as_str()
                    .and_then(OnReject::parse)
                    .ok_or_else(|| invalid(&format!("{param}.on_reject"), "`end` or `continue`"))?,
            },
            expires_in_seconds: match given("expires_in_seconds") {
                None => usual_seconds(),
                Some(value) => seconds(value, &format!("{param}.expires_in_seconds"))?,
            },
        })
    }

    /// Tells whether the rule is about a tool of this name.
    pub fn matches(&self, tool: &str) -> bool {
        glob(&self.pattern, tool)
    }

    pub fn gate(&self) -> Gate {
        Gate { on_reject: self.on_reject, expires_in_seconds: self.expires_in_seconds }
    }
}

fn pattern(fields: &Map<String, Value>, param: &str) -> Result<String, Problem> {
    let pattern = fields.get("match").and_then(Value::as_str);
    let pattern = pattern.filter(|pattern| {
        let is_printable = !pattern.chars().any(char::is_control);
        is_printable && (1..=LONGEST_PATTERN).contains(&pattern.chars().count())
    });
    pattern.map(str::to_owned).ok_or_else(|| {
        let expected =
            format!("a pattern of 1 to {LONGEST_PATTERN} characters for names of tools, such as `delete_*`");
        invalid(&format!("{param}.match"), &expected)
    })
}

fn seconds(value: &Value, param: &str) -> Result<u32, Problem> {
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    seconds.filter(|seconds| (LEAST_SECONDS..=MOST_SECONDS).contains(seconds)).ok_or_else(|| {
        invalid(param, &format!("a whole number of seconds from {LEAST_SECONDS} to {MOST_SECONDS}"))
    })
}

fn invalid(param: &str, expected: &str) -> Problem {
    Problem::new(Code::InvalidApprovalPolicy, format!("`{param}` must be {expected}.")).at(param)
}

/// Matches a whole text. Takes time of the product of the lengths at most: of several `*` only the last is tried again.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut place) = (0_usize, 0_usize);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = text.get(place) {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at, place));
                at = at.saturating_add(1);
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at = at.saturating_add(1);
                place = place.saturating_add(1);
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                let next = from.saturating_add(1);
                retry = Some((star, next));
                at = star.saturating_add(1);
                place = next;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_stands_for_the_whole_name() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("delete_*", "delete_issue", true),
            ("delete_*", "delete_", true),
            ("delete_*", "undelete_issue", false),
            ("*delete*", "undelete_issue", true),
            ("list_?", "list_a", true),
            ("list_?", "list_", false),
            ("list_?", "list_ab", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*.*", "a.b", true),
            ("Delete", "delete", false),
            ("ü?", "üö", true),
            ("**", "a", true),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_rule_that_only_matches_asks_for_a_day_and_ends_on_rejection() {
        let rules = json!([{"match": "a*"}, {"match": "b", "require": null, "on_reject": "continue", "expires_in_seconds": 60}]);
        let rules = ApprovalRule::parse_all(&rules, "approval_policy").unwrap();
        assert_eq!(rules[0].gate(), Gate::default());
        let gate = Gate { on_reject: OnReject::Continue, expires_in_seconds: 60 };
        assert_eq!(rules[1].gate(), gate);
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_named() {
        for (rules, code, param) in [
            (json!("x"), Code::InvalidApprovalPolicy, "p"),
            (json!({}), Code::InvalidApprovalPolicy, "p"),
            (json!(["x"]), Code::InvalidApprovalPolicy, "p[0]"),
            (json!([{"match": "a"}, {}]), Code::InvalidApprovalPolicy, "p[1].match"),
            (json!([{"match": ""}]), Code::InvalidApprovalPolicy, "p[0].match"),
            (json!([{"match": "a\0"}]), Code::InvalidApprovalPolicy, "p[0].match"),
            (json!([{"match": "x".repeat(256)}]), Code::InvalidApprovalPolicy, "p[0].match"),
            (json!([{"match": "a", "require": "deny"}]), Code::InvalidApprovalPolicy, "p[0].require"),
            (json!([{"match": "a", "on_reject": "stop"}]), Code::InvalidApprovalPolicy, "p[0].on_reject"),
            (
                json!([{"match": "a", "expires_in_seconds": 59}]),
                Code::InvalidApprovalPolicy,
                "p[0].expires_in_seconds",
            ),
            (
                json!([{"match": "a", "expires_in_seconds": 2_592_001}]),
                Code::InvalidApprovalPolicy,
                "p[0].expires_in_seconds",
            ),
            (json!([{"match": "a", "args": {"n": 1}}]), Code::UnsupportedPolicyRule, "p[0]"),
        ] {
            let problem = ApprovalRule::parse_all(&rules, "p").unwrap_err();
            assert_eq!((problem.code, problem.param.as_deref()), (code, Some(param)), "{rules}");
        }
        assert!(ApprovalRule::parse_all(&json!(vec![json!({"match": "a"}); 100]), "p").is_ok());
        assert!(ApprovalRule::parse_all(&json!(vec![json!({"match": "a"}); 101]), "p").is_err());
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_what_its_parts_are_replaced_by(name in "[a-z_]{0,12}", cut in 0_usize..12) {
            let cut = cut.min(name.len());
            prop_assert!(glob(&name, &name));
            let (head, tail) = (&name[..cut], &name[cut..]);
            let (any_tail, any_head) = (format!("{head}*"), format!("*{tail}"));
            prop_assert!(glob(&any_tail, &name));
            prop_assert!(glob(&any_head, &name));
            prop_assert!(glob(&"?".repeat(name.len()), &name));
        }

        #[test]
        fn no_pattern_takes_long(pattern in "[ab*?]{0,200}", text in "[ab]{0,200}") {
            let _ = glob(&pattern, &text);
        }
    }
}
