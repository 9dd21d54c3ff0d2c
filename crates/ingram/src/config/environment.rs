//! The environment of the process, as a value.

use std::collections::BTreeMap;

/// Variables by name. A variable that is set to nothing is not set.
#[derive(Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    /// The names of those whose values are no Unicode.
    unreadable: Vec<String>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.texts.insert(name, value)),
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// Lists the variables whose names begin with `prefix`.
    pub(crate) fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.texts.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        all.filter(move |(name, value)| name.starts_with(prefix) && !value.trim().is_empty())
    }

    /// Lists the variables whose values nobody can read as a text.
    pub(crate) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let texts = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { texts, unreadable: Vec::new() }
    }
}
