//! The page about the clients shows what the programs do.

use super::program::sources;

const PAGE: &str = include_str!("../../../../../docs/openai-clients.md");
/// How the page names a program.
const LINK: &str = "](../clients/";

/// A block of code on the page: the program that it is from, and its lines.
struct Block {
    program: String,
    lines: Vec<String>,
}

#[test]
fn what_the_page_shows_of_the_clients_is_what_the_tests_run() {
    let blocks = blocks(PAGE);
    assert!(blocks.len() >= 7, "the page shows each client");
    for block in blocks {
        let program = std::fs::read_to_string(sources().join(&block.program)).unwrap();
        let program: Vec<&str> = program.lines().collect();
        let is_there = program.windows(block.lines.len()).any(|place| is_indented(place, &block.lines));
        assert!(is_there, "{} has not:\n{}", block.program, block.lines.join("\n"));
    }
}

#[test]
fn a_block_is_what_a_program_is_after_the_change() {
    let page =
        "See [it](../clients/python/a.py):\n\n```diff\n import a\n-old()\n+new()\n```\n\n```python\nx\n```\n";
    let blocks = blocks(page);
    let lines: Vec<&[String]> = blocks.iter().map(|block| block.lines.as_slice()).collect();
    assert_eq!(lines, [["import a", "new()"].map(str::to_owned).as_slice(), &["x".to_owned()]]);
    assert!(blocks.iter().all(|block| block.program == "python/a.py"));
    assert!(is_indented(&["    if a:", "", "        b"], &["if a:", "", "    b"].map(str::to_owned)));
    assert!(!is_indented(&["    if a:", "    b"], &["if a:", "    b"].map(str::to_owned)));
}

/// Reads the blocks of code that follow the name of a program, as they are after the change that they show.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut program = None;
    for (place, text) in page.split("```").enumerate() {
        if place % 2 == 0 {
            let named = text.rsplit_once(LINK).and_then(|(_, rest)| rest.split(')').next());
            program = named.map(str::to_owned).or(program);
            continue;
        }
        let (Some(program), Some((language, code))) = (program.clone(), text.split_once('\n')) else {
            continue;
        };
        let lines = code.lines().filter_map(|line| match language {
            "diff" => (!line.starts_with('-')).then(|| line.get(1..).unwrap_or_default()),
            _ => Some(line),
        });
        blocks.push(Block { program, lines: lines.map(str::to_owned).collect() });
    }
    blocks
}

/// Tells whether lines of a program are those of a block, all as much further to the right.
fn is_indented(program: &[&str], block: &[String]) -> bool {
    let Some(indentation) =
        program.first().zip(block.first()).and_then(|(line, shown)| line.strip_suffix(shown.as_str()))
    else {
        return false;
    };
    indentation.trim().is_empty()
        && program.iter().zip(block).all(|(line, shown)| {
            (line.is_empty() && shown.is_empty()) || line.strip_prefix(indentation) == Some(shown)
        })
}
