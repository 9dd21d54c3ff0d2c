//! Variables of a design: what its instructions leave open, filled in for each person.
//!
//! A placeholder is `{{ name }}`. Only declared names are filled in; everything else in braces is text and stays. A template
//! is read once: what is filled in is never looked at again, so that a person's name cannot bring a placeholder along.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::problems::{Code, Problem};
use crate::smiths::Profile;

/// How many variables a design may declare.
pub const MOST_VARIABLES: usize = 100;
/// Characters of a variable's name.
pub const LONGEST_NAME: usize = 64;
/// Bytes of all declarations together, as JSON.
pub const DECLARATION_BYTES: usize = 64 * 1024;
/// Bytes of instructions once they are filled in. The longest template alone has fewer.
pub const RENDERED_BYTES: usize = 1_000_000;

/// Variables that take the time when nothing else gives them a value, with the form in which they show it.
const TIMES: &[(&str, &str)] =
    &[("now", "%Y-%m-%dT%H:%M:%S%:z"), ("date", "%Y-%m-%d"), ("time", "%H:%M"), ("weekday", "%A")];

/// For whom instructions are filled in.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    pub external_id: Option<&'a str>,
    pub profile: &'a Profile,
}

impl Person<'_> {
    /// Finds what is known under a name: metadata first, so that a tenant can say it in other words.
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let own = self.profile.metadata.get(name).and_then(scalar);
        own.or_else(|| {
            let text = match name {
                "display_name" => self.profile.display_name.as_deref(),
                "external_id" => self.external_id,
                "locale" => self.profile.locale.as_deref(),
                "timezone" => self.profile.timezone.as_deref(),
                _ => None,
            };
            text.map(Cow::Borrowed)
        })
    }

    /// Shows a moment where the person is; in UTC where nobody said.
    fn local_time(&self, name: &str, now: Timestamp) -> Option<String> {
        let (_, form) = TIMES.iter().find(|(known, _)| *known == name)?;
        let zone = self.profile.timezone.as_deref().and_then(|zone| jiff::tz::TimeZone::get(zone).ok());
        let moment = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
        let local = moment.to_zoned_datetime(zone.unwrap_or(jiff::tz::TimeZone::UTC));
        jiff::fmt::strtime::format(form, &local).ok()
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Checks what a design declares: the value of `variables` in a body. It is kept as it came.
pub fn check(variables: &Value) -> Result<(), Problem> {
    let Some(entries) = variables.as_array() else {
        return Err(invalid("variables", "`variables` must be a list of objects."));
    };
    if entries.len() > MOST_VARIABLES {
        let message = format!("`variables` may hold at most {MOST_VARIABLES} entries.");
        return Err(invalid("variables", message));
    }
    if variables.to_string().len() > DECLARATION_BYTES {
        let message = format!("`variables` may have at most {DECLARATION_BYTES} bytes as JSON.");
        return Err(invalid("variables", message));
    }
    for (index, entry) in entries.iter().enumerate() {
        let at = format!("variables[{index}]");
        let Some(entry) = entry.as_object() else {
            return Err(invalid(at, "A variable must be an object with a `name`."));
        };
        check_entry(&at, entry)?;
        let name = entry.get("name");
        if entries.iter().take(index).any(|earlier| earlier.get("name") == name) {
            return Err(invalid(format!("{at}.name"), "A variable of this name is declared before."));
        }
    }
    Ok(())
}

fn check_entry(at: &str, entry: &Map<String, Value>) -> Result<(), Problem> {
    if !entry.get("name").and_then(Value::as_str).is_some_and(is_name) {
        let message = format!(
            "The `name` of a variable must be a letter or `_`, followed by letters, digits, `_`, `.` and `-`: {LONGEST_NAME} \
             characters at most."
        );
        return Err(invalid(format!("{at}.name"), message));
    }
    for field in ["default", "description"] {
        if entry.get(field).is_some_and(|value| !value.is_string() && !value.is_null()) {
            let message = format!("The `{field}` of a variable must be a text or null.");
            return Err(invalid(format!("{at}.{field}"), message));
        }
    }
    if entry.get("required").is_some_and(|value| !value.is_boolean()) {
        let message = "`required` must be true or false.";
        return Err(invalid(format!("{at}.required"), message));
    }
    Ok(())
}

/// Checks that a template says what it means, before it is published.
///
/// Undeclared names in braces are text. A declared one that begins like a placeholder and does not end like one is a slip of
/// the pen, which would otherwise be read to every person as it stands.
pub fn check_template(template: &str, variables: &[Value]) -> Result<(), Problem> {
    for (start, _) in template.match_indices('{') {
        let Some(inner) = template.get(start..).and_then(|rest| rest.strip_prefix("{{")) else { continue };
        let (name, _) = leading_name(inner);
        if declared(variables, name).is_some() && placeholder(inner).is_none() {
            let before = template.get(..start).unwrap_or_default();
            let line = before.matches('\n').count().saturating_add(1);
            let message = format!(
                "The placeholder of the variable `{name}` in line {line} of the instructions does not end. Write `{{{{ {name} }}}}`."
            );
            return Err(invalid("instructions", message));
        }
    }
    Ok(())
}

/// Fills in the declared placeholders of a template. Borrows where there is nothing to fill in.
///
/// Fails when a variable that is required has no value for this person, and when the text becomes too long.
pub fn render<'a>(
    template: &'a str,
    variables: &[Value],
    person: &Person<'_>,
    now: Timestamp,
) -> Result<Cow<'a, str>, Problem> {
    let mut rendered = String::new();
    let mut is_changed = false;
    let mut rest = template;
    while let Some(found) = find(rest) {
        add(&mut rendered, found.before)?;
        match declared(variables, found.name) {
            Some(variable) => {
                is_changed = true;
                add(&mut rendered, &fill(variable, found.name, person, now)?)?;
            }
            None => add(&mut rendered, found.text)?,
        }
        rest = found.after;
    }
    if !is_changed {
        return Ok(Cow::Borrowed(template));
    }
    add(&mut rendered, rest)?;
    Ok(Cow::Owned(rendered))
}

fn add(rendered: &mut String, text: &str) -> Result<(), Problem> {
    if rendered.len().saturating_add(text.len()) > RENDERED_BYTES {
        let message = format!(
            "The instructions have more than {RENDERED_BYTES} bytes once their variables are filled in. Shorten the values or \
             the template."
        );
        return Err(invalid("instructions", message));
    }
    rendered.push_str(text);
    Ok(())
}

fn fill<'a>(
    variable: &'a Value,
    name: &str,
    person: &'a Person<'_>,
    now: Timestamp,
) -> Result<Cow<'a, str>, Problem> {
    if let Some(value) = person.value(name) {
        return Ok(value);
    }
    if let Some(default) = variable.get("default").and_then(Value::as_str) {
        return Ok(Cow::Borrowed(default));
    }
    if let Some(time) = person.local_time(name, now) {
        return Ok(Cow::Owned(time));
    }
    if variable.get("required").and_then(Value::as_bool) == Some(true) {
        let message = format!(
            "The variable `{name}` is required and this smith has no value for it. Set `{name}` in the smith's metadata, or give \
             the variable a default."
        );
        return Err(invalid(format!("variables.{name}"), message));
    }
    Ok(Cow::Borrowed(""))
}

/// A placeholder in a template, and what is around it.
struct Found<'a> {
    before: &'a str,
    /// The placeholder itself, braces included.
    text: &'a str,
    name: &'a str,
    after: &'a str,
}

fn find(template: &str) -> Option<Found<'_>> {
    let mut from = 0_usize;
    loop {
        let start = from.saturating_add(template.get(from..)?.find("{{")?);
        let inner = template.get(start.saturating_add(2)..)?;
        if let Some((name, after)) = placeholder(inner) {
            let end = template.len().saturating_sub(after.len());
            return Some(Found {
                before: template.get(..start)?,
                text: template.get(start..end)?,
                name,
                after,
            });
        }
        // Of three braces the last two may begin one.
        from = start.saturating_add(1);
    }
}

/// Reads what follows two opening braces: the name, and what comes behind the closing ones.
fn placeholder(inner: &str) -> Option<(&str, &str)> {
    let (name, rest) = leading_name(inner);
    let after = rest.trim_ascii_start().strip_prefix("}}")?;
    is_name(name).then_some((name, after))
}

/// Splits off the characters that a name can have, white space before them apart.
fn leading_name(inner: &str) -> (&str, &str) {
    let inner = inner.trim_ascii_start();
    let length = inner.bytes().position(|byte| !is_of_name(byte)).unwrap_or(inner.len());
    inner.split_at_checked(length).unwrap_or(("", inner))
}

fn is_name(text: &str) -> bool {
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && text.len() <= LONGEST_NAME && text.bytes().all(is_of_name)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn declared<'a>(variables: &'a [Value], name: &str) -> Option<&'a Value> {
    variables.iter().find(|variable| variable.get("name").and_then(Value::as_str) == Some(name))
}

fn invalid(param: impl Into<String>, message: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidVariables, message).at(param)
}

#[cfg(test)]
mod tests;
