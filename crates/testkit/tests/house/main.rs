//! The house in order: what the rooms may use, and whether the documents say what is there.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "all of this is a test, its helpers too")]

mod arrows;
mod links;
mod names;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The documents of the project, each with its path from the top.
fn documents() -> Vec<(PathBuf, String)> {
    let top = top();
    let mut paths = files(&top, "md");
    paths.extend(files(&top.join("docs"), "md"));
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&top).unwrap().to_owned(), text)
    };
    paths.into_iter().map(read).collect()
}

/// The files right in a folder whose names end so.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// All code of the crates, with the tests in it.
fn code() -> String {
    let mut folders = vec![top().join("crates")];
    let mut code = String::new();
    while let Some(folder) = folders.pop() {
        for path in files(&folder, "rs") {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
    }
    code
}
