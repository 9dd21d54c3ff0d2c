//! Where settings came from, in words for the messages that say what is wrong with one.

use std::collections::BTreeMap;
use std::path::Path;

use figment::{Figment, Metadata};

use super::names;

/// Where each setting came from that something sets: a file, a variable or a flag.
#[derive(Clone, Debug, Default)]
pub struct Places(BTreeMap<String, Origin>);

/// Where one setting came from.
#[derive(Clone, Debug)]
struct Origin {
    label: String,
    is_file: bool,
}

impl Places {
    pub(super) fn of(figment: &Figment) -> Self {
        let named = |name: String| {
            let metadata = figment.find_metadata(&name)?;
            let (label, is_file) = (label(&place(metadata), &name), file(metadata).is_some());
            Some((name, Origin { label, is_file }))
        };
        Self(names::all().into_iter().filter_map(named).collect())
    }

    /// Names a setting by the place that has set it, as the beginning of a message: `INGRAM_LISTEN`, `--listen`,
    /// or the file with the setting. A setting that has its default is named alone.
    pub(crate) fn label(&self, setting: &str) -> String {
        self.0.get(setting).map_or_else(|| format!("`{setting}`"), |origin| origin.label.clone())
    }

    /// Tells whether a setting came from the configuration file.
    pub(crate) fn is_in_file(&self, setting: &str) -> bool {
        self.0.get(setting).is_some_and(|origin| origin.is_file)
    }
}

fn file(metadata: &Metadata) -> Option<&Path> {
    metadata.source.as_ref().and_then(|source| source.file_path())
}

/// Names a place: the path of the file, the variable or the flag.
pub(super) fn place(metadata: &Metadata) -> String {
    match file(metadata) {
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
