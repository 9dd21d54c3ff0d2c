//! Names that documents share with the code: tests that prove promises, and metrics.

use std::collections::BTreeSet;

use super::{code, top};

fn document(name: &str) -> String {
    std::fs::read_to_string(top().join("docs").join(name)).unwrap()
}

/// The words of a text that consist of these characters and begin so.
fn words<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    words.filter(|word| word.starts_with(prefix)).collect()
}

#[test]
fn every_test_that_a_promise_rests_on_is_there() {
    let (text, code) = (document("reliability.md"), code());
    // Tests are the names of at least three words in that document.
    let quoted = text.split('`').skip(1).step_by(2);
    let tests: Vec<&str> =
        quoted.filter(|name| name.matches('_').count() >= 2 && words(name, "").len() == 1).collect();
    assert!(tests.len() > 20, "the document names its tests");
    for test in tests {
        assert!(
            code.contains(&format!("fn {test}(")),
            "docs/reliability.md names `{test}`, which is no test"
        );
    }
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_counted() {
    let (text, code) = (document("deployment.md"), code());
    let counted: BTreeSet<&str> = ["counter!(\"", "gauge!(\"", "histogram!(\""]
        .iter()
        .flat_map(|kind| code.split(&format!("metrics::{kind}")).skip(1).collect::<Vec<_>>())
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.starts_with("ingram_"))
        .collect();
    let (_, section) = text.split_once("## Metrics\n").expect("the document has a section for metrics");
    let section = section.split("\n## ").next().unwrap();
    assert_eq!(words(section, "ingram_"), counted);
}
