//! Readers for the fields of a JSON object. A wrong type or value becomes a refusal that names the field.

use std::ops::RangeInclusive;

use domain::Problem;
use serde_json::{Map, Value};

/// The fields of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a Map<String, Value>);

/// What a caller gave for a field that can be cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given<T> {
    /// The field is not there: nothing is to change.
    Absent,
    /// The field is null.
    Null,
    Value(T),
}

impl<T> Given<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Self::Absent => Given::Absent,
            Self::Null => Given::Null,
            Self::Value(value) => Given::Value(change(value)),
        }
    }

    /// Returns None for an absent field, else what it is to become.
    pub(crate) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl<'a> Fields<'a> {
    pub(crate) fn of_body(map: &'a Map<String, Value>) -> Self {
        Self(map)
    }

    /// Refuses a field.
    pub(crate) fn refuse(&self, name: &str, expected: &str) -> Problem {
        Problem::invalid_input(name, format!("`{name}` must be {expected}."))
    }

    /// Tells whether a field is there, null or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns a field as it is; null and absent are the same.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.refuse(name, expected))
    }

    /// Tells a field that is absent from one that is null.
    pub(crate) fn given<T>(&self, name: &str, read: Result<Option<T>, Problem>) -> Result<Given<T>, Problem> {
        Ok(match read? {
            Some(value) => Given::Value(value),
            None if self.has(name) => Given::Null,
            None => Given::Absent,
        })
    }

    /// Reads a text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        self.value(name).map(|value| self.as_text(name, value)).transpose()
    }

    /// Takes a value for the text that it has to be. The databases cannot hold the character NUL.
    fn as_text(&self, name: &str, value: &'a Value) -> Result<&'a str, Problem> {
        match value.as_str() {
            None => Err(self.refuse(name, "a text")),
            Some(text) if text.contains('\0') => Err(self.refuse(name, "a text without the character NUL")),
            Some(text) => Ok(text),
        }
    }

    /// Reads a text with a number of characters in `length`.
    pub(crate) fn text_of(
        &self,
        name: &str,
        length: RangeInclusive<usize>,
    ) -> Result<Option<&'a str>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if length.contains(&text.chars().count()) {
            return Ok(Some(text));
        }
        Err(self.refuse(name, &format!("a text of {} to {} characters", length.start(), length.end())))
    }

    /// Reads a text that has to be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<&'a str, Problem> {
        self.text(name)?.ok_or_else(|| self.refuse(name, "given, as a text"))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.read(name, "`true` or `false`", Value::as_bool)
    }

    /// Reads a whole number in `range`.
    pub(crate) fn whole(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Problem> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(name, &expected, |value| value.as_u64().filter(|number| range.contains(number)))
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Problem> {
        self.read(name, "an object", Value::as_object)
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Problem> {
        self.read(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// Reads a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, Problem> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        let mut texts = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            texts.push(self.as_text(&format!("{name}[{index}]"), value)?);
        }
        Ok(Some(texts))
    }
}

#[cfg(test)]
mod tests {
    use domain::Code;
    use serde_json::json;

    use super::*;

    fn check(value: Value, read: impl FnOnce(&Fields<'_>) -> Option<Problem>) -> (Code, String) {
        let problem = read(&Fields::of_body(value.as_object().unwrap())).unwrap();
        (problem.code, problem.param.unwrap())
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        let at = |param: &str| (Code::InvalidInput, param.to_owned());
        assert_eq!(check(json!({"a": 1}), |fields| fields.text("a").err()), at("a"));
        assert_eq!(check(json!({"a": "b\0"}), |fields| fields.text("a").err()), at("a"));
        assert_eq!(check(json!({}), |fields| fields.required_text("a").err()), at("a"));
        assert_eq!(check(json!({"a": ""}), |fields| fields.text_of("a", 1..=5).err()), at("a"));
        assert_eq!(check(json!({"a": "yes"}), |fields| fields.flag("a").err()), at("a"));
        assert_eq!(check(json!({"a": 1.5}), |fields| fields.whole("a", 0..=9).err()), at("a"));
        assert_eq!(check(json!({"a": 10}), |fields| fields.whole("a", 0..=9).err()), at("a"));
        assert_eq!(check(json!({"a": ["b", 1]}), |fields| fields.texts("a").err()), at("a[1]"));
    }

    #[test]
    fn a_wrong_type_and_a_character_that_cannot_be_kept_are_told_apart() {
        let message = |value: Value| {
            let body = json!({ "a": value });
            Fields::of_body(body.as_object().unwrap()).text("a").unwrap_err().message
        };
        assert_eq!(message(json!(7)), "`a` must be a text.");
        assert_eq!(message(json!("b\0")), "`a` must be a text without the character NUL.");
    }

    #[test]
    fn absent_and_null_are_told_apart_where_it_matters() {
        let body = json!({"null": null, "text": "a"});
        let fields = Fields::of_body(body.as_object().unwrap());
        let given = |name| fields.given(name, fields.text(name)).unwrap();
        assert_eq!(given("absent"), Given::Absent);
        assert_eq!(given("null"), Given::Null);
        assert_eq!(given("text"), Given::Value("a"));
        assert_eq!(fields.text("null"), Ok(None));
    }
}
