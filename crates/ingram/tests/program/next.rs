//! What `serve` says to do next, typed in another terminal in the same folder.

use std::path::Path;
use std::process::Command;

use testkit::http::Client;

use super::{Process, ingram};

/// Starts a server, does in a shell what it says, with `variables` set there, and looks whether the token is taken.
async fn check(folder: &Path, server: &mut Command, variables: &[(&str, &str)]) -> String {
    let server = Process::start_with(server);
    let message = server.start.get("message").and_then(serde_json::Value::as_str).unwrap().to_owned();
    let (_, command) = message.split_once(": export ").unwrap();
    let mut shell = Command::new("sh");
    shell.env_clear().current_dir(folder).envs(variables.iter().copied());
    let typed = shell.args(["-c", &format!("export {command}; printf %s \"$IC_TOKEN\"")]).output().unwrap();
    let (token, log) = (String::from_utf8(typed.stdout).unwrap(), String::from_utf8_lossy(&typed.stderr));
    assert!(token.starts_with("tha_live_"), "{message}: {log}");
    let answer = Client::new(&server.url).with_bearer(&token).get("/v1/tenant/tokens").await;
    assert_eq!(answer.status, 200, "{message}");
    message
}

#[tokio::test]
async fn the_next_step_works_however_the_server_was_told_where_its_data_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let listen = "serve --listen 127.0.0.1:0";
    check(path, &mut ingram(path, listen), &[]).await;
    check(path, ingram(path, listen).args(["--data", "my data"]), &[]).await;
    check(path, ingram(path, listen).env("INGRAM_DATA", "by-variable"), &[]).await;

    std::fs::write(path.join("other.toml"), "data = \"by-file\"\nmaster_key_file = \"named.key\"\n").unwrap();
    std::fs::write(path.join("named.key"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").unwrap();
    Command::new("chmod").args(["600", "named.key"]).current_dir(path).status().unwrap();
    check(path, ingram(path, listen).args(["--config", "other.toml"]), &[]).await;
    check(path, ingram(path, listen).env("INGRAM_CONFIG", "other.toml"), &[]).await;
    let mut server = ingram(path, listen);
    check(path, server.args(["--data", "other"]).env("INGRAM_MASTER_KEY_FILE", "named.key"), &[]).await;

    std::fs::write(path.join("ingram.toml"), "data = \"by-usual-file\"\n").unwrap();
    check(path, &mut ingram(path, listen), &[]).await;
}

#[tokio::test]
async fn the_next_step_asks_for_what_is_secret() {
    let database = testkit::postgres::database().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let url = database.url();
    let here = [("INGRAM_DATABASE_URL", url.as_str())];
    let mut server = ingram(path, "serve --listen 127.0.0.1:0 --data elsewhere");
    // The master key is in the folder all the same.
    let message = check(path, server.args(["--database-url", &url]), &here).await;
    assert!(message.contains("Next, where INGRAM_DATABASE_URL is set as for this server: "), "{message}");
    assert!(!message.contains(&url), "{message}");

    std::fs::write(path.join("ingram.toml"), format!("database_url = \"{url}\"\n")).unwrap();
    let message = check(path, &mut ingram(path, "serve --listen 127.0.0.1:0 --data elsewhere"), &[]).await;
    assert!(message.contains("Next: "), "what is in the file is read from there: {message}");
}

#[tokio::test]
async fn a_server_on_all_addresses_names_one_that_can_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let message = check(folder.path(), &mut ingram(folder.path(), "serve --listen 0.0.0.0:0"), &[]).await;
    assert!(message.contains("Serving http://127.0.0.1:"), "{message}");
    assert!(message.contains(" and all other addresses of this machine, data in data"), "{message}");
}
