//! The scripted provider: answers from a script file instead of a model, without a key and without a network.
//!
//! For trying the product, for tests of what is built on it, and for demonstrations. The same script and the same request
//! give the same events. `docs/scripted-model.md` describes the format.

mod format;
mod instance;
mod matcher;
mod player;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::stream::{self, BoxStream, StreamExt};

use self::format::Script;
use crate::call::{Event, Failure, FailureKind, Request};

/// The name of the script that is built into the program.
const DEMO: &str = "demo";

/// How long a script file may be, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// How many scripts a folder may hold.
const MAX_SCRIPTS: usize = 200;

/// How long the name of a script may be, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Why the scripts could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is longer than {MAX_FILE_BYTES} bytes; split the script", path.display())]
    TooLong { path: PathBuf },
    #[error("{} holds more than {MAX_SCRIPTS} scripts; move some away", path.display())]
    TooMany { path: PathBuf },
    #[error(
        "{} cannot name a script: use letters, digits, `-`, `_` and `.`, at most {MAX_NAME_BYTES} of them",
        path.display()
    )]
    Name { path: PathBuf },
    #[error("{}: {fault}", path.display())]
    Format { path: PathBuf, fault: String },
}

/// The scripts that this server has. Cheap to clone.
#[derive(Clone)]
pub struct Scripts {
    scripts: Arc<BTreeMap<String, Entry>>,
}

/// The demo's patterns take their time to compile: a server that never plays it should not pay for it at start. Tests
/// make sure that it has no fault.
enum Entry {
    Demo(OnceLock<Result<Script, String>>),
    Loaded(Script),
}

impl Entry {
    fn script(&self) -> Result<&Script, &str> {
        match self {
            Self::Demo(script) => {
                let script = script.get_or_init(|| Script::parse(include_str!("demo.toml")));
                script.as_ref().map_err(String::as_str)
            }
            Self::Loaded(script) => Ok(script),
        }
    }
}

impl fmt::Debug for Scripts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.names()).finish()
    }
}

impl Scripts {
    /// Returns the scripts that are built into the program.
    pub fn bundled() -> Self {
        Self { scripts: Arc::new(bundled()) }
    }

    /// Loads the built-in scripts and every `*.toml` of the folder, which is named by its file's stem.
    ///
    /// A file of the folder replaces a built-in script of the same name.
    pub fn load(folder: &Path) -> Result<Self, ScriptError> {
        let mut scripts = bundled();
        for path in script_files(folder)? {
            let name = script_name(&path)?;
            let script = Script::parse(&read_bounded(&path)?)
                .map_err(|fault| ScriptError::Format { path: path.clone(), fault })?;
            scripts.insert(name, Entry::Loaded(script));
        }
        Ok(Self { scripts: Arc::new(scripts) })
    }

    /// Lists the names of the scripts in alphabetical order, without the provider's prefix.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scripts.keys().map(String::as_str)
    }

    /// Answers a request as the script that it names as its model says.
    pub fn call(&self, request: Request) -> BoxStream<'static, Result<Event, Failure>> {
        let name = request.model.strip_prefix("scripted/").unwrap_or(&request.model);
        match self.scripts.get(name).map(Entry::script) {
            Some(Ok(script)) => player::play(player::plan(script, &request)),
            Some(Err(fault)) => {
                let message = format!("The script `{name}` cannot be played: {fault}");
                stream::iter([Err(Failure { kind: FailureKind::Refused, message })]).boxed()
            }
            None => stream::iter([Err(self.unknown(name))]).boxed(),
        }
    }

    fn unknown(&self, name: &str) -> Failure {
        let name: String = name.chars().take(MAX_NAME_BYTES).collect();
        let known: Vec<_> = self.names().take(20).map(|known| format!("`scripted/{known}`")).collect();
        Failure {
            kind: FailureKind::Refused,
            message: format!(
                "No script named `{name}`. Put `{name}.toml` into the scripts folder (INGRAM_SCRIPTS) and restart the \
                 server, or use one of: {}.",
                known.join(", ")
            ),
        }
    }
}

fn bundled() -> BTreeMap<String, Entry> {
    BTreeMap::from([(DEMO.to_owned(), Entry::Demo(OnceLock::new()))])
}

/// Lists the script files of a folder in the order of their names.
fn script_files(folder: &Path) -> Result<Vec<PathBuf>, ScriptError> {
    let read = |source| ScriptError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        // Hidden files are what editors and file systems leave behind.
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_hidden || path.extension().is_none_or(|extension| extension != "toml") || !path.is_file() {
            continue;
        }
        if files.len() == MAX_SCRIPTS {
            return Err(ScriptError::TooMany { path: folder.to_owned() });
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

fn script_name(path: &Path) -> Result<String, ScriptError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| stem.len() <= MAX_NAME_BYTES && stem.chars().all(allowed))
        .map(str::to_owned)
        .ok_or_else(|| ScriptError::Name { path: path.to_owned() })
}

fn read_bounded(path: &Path) -> Result<String, ScriptError> {
    let read = |source| ScriptError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(read)?;
    // One byte more than allowed tells a file that is too long, whatever its size was said to be.
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ScriptError::TooLong { path: path.to_owned() });
    }
    let mut text = String::new();
    bytes.as_slice().read_to_string(&mut text).map_err(read)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
