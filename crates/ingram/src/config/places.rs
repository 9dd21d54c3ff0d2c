//! Where settings came from, in words for the messages that say what is wrong with one.

use std::collections::BTreeMap;

use figment::{Figment, Metadata};

use super::names;

/// Where each setting came from that something sets: a file, a variable or a flag.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, String>);

impl Places {
    pub(super) fn of(figment: &Figment) -> Self {
        let named = |name: String| {
            let label = label(&place(figment.find_metadata(&name)?), &name);
            Some((name, label))
        };
        Self(names::all().into_iter().filter_map(named).collect())
    }

    /// Names a setting by the place that has set it, as the beginning of a message: `INGRAM_LISTEN`, `--listen`,
    /// or the file with the setting. A setting that has its default is named alone.
    pub(crate) fn label(&self, setting: &str) -> String {
        self.0.get(setting).cloned().unwrap_or_else(|| format!("`{setting}`"))
    }
}

/// Names a place: the path of the file, the variable or the flag.
pub(super) fn place(metadata: &Metadata) -> String {
    match metadata.source.as_ref().and_then(|source| source.file_path()) {
        Some(path) => path.display().to_string(),
        None => metadata.name.to_string(),
    }
}

/// Names a setting in a place. A variable and a flag say themselves which setting they are.
pub(super) fn label(place: &str, setting: &str) -> String {
    if place == names::variable(setting) || place.starts_with("--") {
        return place.to_owned();
    }
    format!("{place}: `{setting}`")
}
