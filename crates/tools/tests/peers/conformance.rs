//! The conformance suite of the protocol: it plays a server and judges what the client does.

use std::path::Path;
use std::process::Command;

use super::process::installed;

/// Lets the suite run one scenario.
#[track_caller]
fn conforms(scenario: &str) {
    let folder = installed();
    let client = std::env::current_exe().unwrap();
    let client = client.parent().and_then(Path::parent).unwrap().join("examples/conformance");
    assert!(client.exists(), "`cargo build -p tools --example conformance` builds the client for the suite");
    let results = tempfile::tempdir().unwrap();
    let output = Command::new(folder.join("node_modules/.bin/node"))
        .arg(folder.join("node_modules/@modelcontextprotocol/conformance/dist/index.js"))
        .args(["client", "--scenario", scenario, "--command"])
        .arg(&client)
        .arg("--output-dir")
        .arg(results.path())
        .output()
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{scenario}\n{told}\n{errors}");
    assert!(errors.contains("OVERALL: PASSED") || told.contains("OVERALL: PASSED"), "{told}\n{errors}");
}

#[test]
fn the_handshake_conforms() {
    conforms("initialize");
}

#[test]
fn calls_conform() {
    conforms("tools_call");
}

#[test]
fn a_stream_that_broke_off_is_read_on_as_the_suite_wants() {
    conforms("sse-retry");
}

#[test]
fn what_each_request_says_conforms() {
    conforms("request-metadata");
}

#[test]
fn headers_conform() {
    conforms("http-standard-headers");
    conforms("http-custom-headers");
    conforms("http-invalid-tool-headers");
}

#[test]
fn questions_and_their_answers_conform() {
    conforms("sep-2322-client-request-state");
}

#[test]
fn schemas_are_kept_as_they_are_and_fetched_from_nowhere() {
    conforms("json-schema-ref-no-deref");
    conforms("json-schema-2020-12-preservation");
}
