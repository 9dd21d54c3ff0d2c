//! Conditions of a list, put together from what the caller asked for.

use crate::db::Value;

/// The conditions of a query and their values, in the order of their placeholders.
pub(crate) struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
    matches_nothing: bool,
}

impl Filter {
    /// Begins with the condition that keeps to the tenant. A `?` in a condition is where its value goes.
    pub(crate) fn new(condition: &str, value: impl Into<Value>) -> Self {
        let mut filter = Self { conditions: Vec::new(), values: Vec::new(), matches_nothing: false };
        filter.add_value(condition, value);
        filter
    }

    pub(crate) fn add(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    pub(crate) fn add_value(&mut self, condition: &str, value: impl Into<Value>) {
        let condition = condition.replace('?', &self.place(value));
        self.conditions.push(condition);
    }

    /// Compares with a text from outside. One with a zero byte is in no row, and PostgreSQL does not even take it.
    pub(crate) fn add_text(&mut self, condition: &str, text: &str) {
        if text.contains('\0') {
            self.matches_nothing = true;
        } else {
            self.add_value(condition, text);
        }
    }

    /// Returns the conditions, the placeholder of the limit, and all values. None when no row can match.
    pub(crate) fn finish(mut self, limit: usize) -> Option<(String, String, Vec<Value>)> {
        let limit = self.place(limit);
        (!self.matches_nothing).then(|| (self.conditions.join(" and "), limit, self.values))
    }

    fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_in_their_order() {
        let mut filter = Filter::new("a = ?", 1_i64);
        filter.add("b is null");
        filter.add_text("c = ?", "x");
        let (conditions, limit, values) = filter.finish(7).unwrap();
        assert_eq!(conditions, "a = $1 and b is null and c = $2");
        assert_eq!(limit, "$3");
        assert_eq!(values, [Value::Int(1), Value::Text("x".into()), Value::Int(7)]);
    }

    #[test]
    fn a_text_with_a_zero_byte_matches_nothing() {
        let mut filter = Filter::new("a = ?", 1_i64);
        filter.add_text("c = ?", "x\0");
        assert!(filter.finish(1).is_none());
    }
}
