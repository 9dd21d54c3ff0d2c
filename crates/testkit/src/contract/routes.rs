//! Finds the operation that a concrete path belongs to.

use serde_json::Value;

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete"];

/// All operations of the document.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

#[derive(Debug)]
pub(super) struct Route {
    method: String,
    template: String,
    pointer: String,
}

/// What the document says about a method and a path. An operation is named by its JSON pointer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match<'a> {
    Operation(&'a str),
    OtherMethod,
    Nothing,
}

impl Route {
    pub(super) fn method(&self) -> &str {
        &self.method
    }

    pub(super) fn template(&self) -> &str {
        &self.template
    }

    pub(super) fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Counts the literal segments of the template when the path fits it: the more, the better the match.
    fn literals(&self, path: &str) -> Option<usize> {
        let mut literals = 0;
        let (mut wanted, mut given) = (self.template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return Some(literals),
                (Some(wanted), Some(given)) if wanted == given => literals += 1,
                (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
                _ => return None,
            }
        }
    }
}

impl Routes {
    pub(super) fn of(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let routes = paths.flat_map(|(template, operations)| {
            METHODS.iter().filter(|method| operations.get(**method).is_some()).map(|method| Route {
                method: method.to_uppercase(),
                template: template.clone(),
                pointer: format!("/paths/{}/{method}", template.replace('~', "~0").replace('/', "~1")),
            })
        });
        Self(routes.collect())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    pub(super) fn find(&self, method: &str, path: &str) -> Match<'_> {
        let path = without_query(path);
        let fitting = self.0.iter().filter_map(|route| Some((route.literals(path)?, route)));
        let Some(best) = fitting.clone().map(|(literals, _)| literals).max() else {
            return Match::Nothing;
        };
        let mut best = fitting.filter(|(literals, _)| *literals == best).map(|(_, route)| route);
        match best.find(|route| route.method.eq_ignore_ascii_case(method)) {
            Some(route) => Match::Operation(&route.pointer),
            None => Match::OtherMethod,
        }
    }

    /// Returns the template that a path belongs to, or the path itself.
    pub(super) fn template<'a>(&'a self, method: &str, path: &'a str) -> &'a str {
        let Match::Operation(pointer) = self.find(method, path) else {
            return without_query(path);
        };
        self.0.iter().find(|route| route.pointer == pointer).map_or(path, |route| &route.template)
    }
}

/// Tells whether a list of exact paths, and of beginnings that end with `*`, names a path.
pub(super) fn is_listed(list: &[&str], path: &str) -> bool {
    let path = without_query(path);
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == *entry,
    })
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}
