//! Which crate may use which. Tests may use the testkit besides.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The rooms, highest first, with what each may use.
const ARROWS: &[(&str, &[&str])] = &[
    // Measures the built program from outside.
    ("bench", &[]),
    ("e2e", &["testkit"]),
    ("ingram", &["api", "domain", "egress", "engine", "models", "store", "tools", "vault"]),
    ("api", &["domain", "egress", "engine", "models", "store", "tools", "vault"]),
    ("engine", &["domain", "egress", "models", "store", "tools", "vault"]),
    ("models", &["domain", "egress"]),
    ("tools", &["domain", "egress", "vault"]),
    ("store", &["domain", "egress", "vault"]),
    ("egress", &[]),
    ("vault", &["domain"]),
    ("domain", &[]),
    ("testkit", &[]),
];

/// What a crate uses of the workspace: in the product, and in its tests only.
#[derive(Default)]
struct Uses {
    product: Vec<String>,
    tests: Vec<String>,
}

#[test]
fn no_arrow_between_crates_turns_round() {
    let mut crates = crates();
    for (name, allowed) in ARROWS {
        let Some(uses) = crates.remove(*name) else { panic!("`{name}` has a row here but is no crate") };
        for used in &uses.product {
            assert!(allowed.contains(&used.as_str()), "`{name}` may not use `{used}`");
        }
        for used in uses.tests.iter().filter(|used| *used != "testkit") {
            // A test also builds what the rooms that it uses are built with.
            let below = ARROWS.iter().filter(|(other, _)| allowed.contains(other));
            let is_below = below.into_iter().any(|(_, theirs)| theirs.contains(&used.as_str()));
            assert!(
                allowed.contains(&used.as_str()) || is_below,
                "the tests of `{name}` may not use `{used}`"
            );
        }
    }
    let unknown: Vec<_> = crates.keys().collect();
    assert!(unknown.is_empty(), "say here what these crates may use: {unknown:?}");
}

#[test]
fn the_rooms_are_in_an_order_in_which_every_arrow_points_down() {
    for (place, (name, allowed)) in ARROWS.iter().enumerate() {
        for used in *allowed {
            let below = ARROWS.iter().position(|(other, _)| other == used).unwrap();
            assert!(below > place, "`{name}` stands below `{used}`");
        }
    }
}

fn crates() -> BTreeMap<String, Uses> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(super::top())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut uses = Uses::default();
        let dependencies = package["dependencies"].as_array().unwrap();
        // What has a path is of this workspace.
        for dependency in dependencies.iter().filter(|dependency| dependency["path"].is_string()) {
            let used = dependency["name"].as_str().unwrap().to_owned();
            if dependency["kind"] == "dev" { uses.tests.push(used) } else { uses.product.push(used) }
        }
        crates.insert(package["name"].as_str().unwrap().to_owned(), uses);
    }
    crates
}
