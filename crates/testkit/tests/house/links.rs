//! Links between documents, and the places in the tree that they name.

use std::collections::HashSet;
use std::path::Path;

use super::{documents, top};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let mut broken = Vec::new();
    for (path, text) in documents() {
        for link in links(&text) {
            if !leads_somewhere(&path, &text, link) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_path_in_the_map_of_the_code_is_there() {
    let (_, text) = documents().into_iter().find(|(path, _)| path == Path::new("ARCHITECTURE.md")).unwrap();
    let named: Vec<&str> = quoted(&text).filter(|name| name.starts_with("crates/")).collect();
    assert!(named.len() > 10, "the map names its places");
    for name in named.into_iter().filter(|name| !name.contains('<')) {
        assert!(top().join(name).exists(), "ARCHITECTURE.md: {name}");
    }
    assert!(text.lines().count() < 200, "a map that is too long is not read");
}

#[test]
fn headings_and_links_are_read_as_they_are_rendered() {
    let text = "# One: the *first*\n```sh\n# none\n[a](b)\n```\n[x](y.md#z) and `[no](link)`\n";
    assert_eq!(headings(text), HashSet::from(["one-the-first".to_owned()]));
    assert_eq!(links(text), ["y.md#z"]);
}

fn leads_somewhere(from: &Path, text: &str, link: &str) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return headings(text).contains(heading);
    }
    let path = top().join(from).parent().unwrap().join(file);
    if heading.is_empty() {
        return path.exists();
    }
    std::fs::read_to_string(path).is_ok_and(|text| headings(&text).contains(heading))
}

/// The lines of a document that are no code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(text) {
        // Every other piece stands between backticks.
        for piece in line.split('`').step_by(2) {
            links.extend(piece.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
        }
    }
    links
}

/// The names under which the headings of a document can be linked to.
fn headings(text: &str) -> HashSet<String> {
    let titles =
        prose(text).filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let name = |title: &str| {
        let kept =
            title.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    titles.map(name).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2))
}
