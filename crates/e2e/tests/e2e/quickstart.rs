//! The quickstart of the README, run as it stands there.

use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use e2e::{Engine, Setup, program};
use serde_json::Value;
use tokio::process::Command;

const README: &str = include_str!("../../../../README.md");
/// Where the README says that the server is.
const ADDRESS: &str = "http://127.0.0.1:8080";
/// What a shell prints behind each command: a character that no answer holds, and how the command ended.
const MARK: char = '\u{1e}';
/// Has curl say the status of each answer, apart from the answer.
const CURL: &str = "write-out = \"%{stderr}%{http_code}\\n\"\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// A command of the quickstart, and what it printed.
struct Step {
    command: String,
    output: String,
}

#[tokio::test]
async fn the_quickstart_of_the_readme_works_as_it_stands_there() {
    let server = Setup::on(Engine::Sqlite).start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("target/release")).unwrap();
    symlink(program(), folder.path().join("target/release/ingram")).unwrap();
    symlink(server.data(), folder.path().join("data")).unwrap();
    std::fs::write(folder.path().join(".curlrc"), CURL).unwrap();

    let commands = commands(README);
    let mut script = String::new();
    for command in &commands {
        let command = command.replace(ADDRESS, server.base_url());
        script.push_str(&format!("{command}\nprintf '{MARK}%s{MARK}' \"$?\"\n"));
    }
    let shell = Command::new("bash")
        .args(["--noprofile", "--norc", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let shell = tokio::time::timeout(PATIENCE, shell).await.expect("the quickstart ends").unwrap();
    let (said, complaints) = (text(&shell.stdout), text(&shell.stderr));
    let statuses: Vec<&str> = complaints.lines().collect();
    assert_eq!(statuses, ["201"].into_iter().chain(["200"; 11]).collect::<Vec<_>>(), "{said}");
    let steps = steps(commands, &said);

    let smith: Value = serde_json::from_str(&step(&steps, "echo \"$SMITH\"").output).unwrap();
    assert_eq!((&smith["external_id"], &smith["display_name"]), (&"user_42".into(), &"Ada".into()));
    assert_eq!(smith["model"], "scripted/demo");

    let record: Value = serde_json::from_str(&step(&steps, "my name is Ada").output).unwrap();
    assert_eq!((&record["status"], &record["smith_id"]), (&"completed".into(), &smith["id"]));
    assert!(record["output"]["content"].as_str().unwrap().contains("Hello Ada"), "{record}");

    let streamed = &step(&steps, "\"stream\": true").output;
    assert!(streamed.contains("event: run.started\n") && streamed.contains("event: message.delta\n"));
    assert!(streamed.ends_with("\n\n") && events(streamed).last() == Some(&"run.completed"), "{streamed}");
    assert_eq!(ids(streamed).first(), Some(&0));

    let remembered = &step(&steps, "echo \"$RUN\"").output;
    let record: Value = serde_json::from_str(remembered).unwrap();
    assert!(record["output"]["content"].as_str().unwrap().contains("Your name is Ada"), "{record}");

    assert_eq!(step(&steps, "/runs/$RUN_ID\"").output, remembered.trim_end());
    let resumed = &step(&steps, "after=3").output;
    assert_eq!((ids(resumed).first(), events(resumed).last()), (Some(&4), Some(&"run.completed")));

    let calculated: Value = serde_json::from_str(&step(&steps, "0.1 + 0.2").output).unwrap();
    assert!(calculated["output"]["content"].as_str().unwrap().contains("0.3"), "{calculated}");
    let paused = steps.iter().rfind(|step| step.command == "echo \"$RUN\"").unwrap();
    let paused: Value = serde_json::from_str(&paused.output).unwrap();
    assert_eq!(paused["status"], "paused_for_approval", "{paused}");
    let approved: Value = serde_json::from_str(&step(&steps, "approval_decision").output).unwrap();
    assert_eq!(approved["status"], "paused_for_tool", "{approved}");
    let told = &step(&steps, "tool_result").output;
    assert_eq!(events(told).last(), Some(&"run.completed"), "{told}");
    assert!(told.contains("refunded"), "{told}");
}

#[test]
fn a_command_is_a_line_with_those_that_continue_it() {
    let text = "## Quickstart\n```sh\na \\\n  b\nc\n```\n```console\n$ no\n```\n## Next\n```sh\nno\n```\n";
    assert_eq!(commands(text), ["a \\\n  b", "c"]);
}

/// Reads the commands of the quickstart: the lines of its `sh` blocks, joined where a backslash ends one.
fn commands(readme: &str) -> Vec<String> {
    let (_, section) = readme.split_once("## Quickstart\n").expect("the README has a quickstart");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut commands: Vec<String> = Vec::new();
    for block in section.split("```sh\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let mut continued = false;
        for line in block.lines() {
            match commands.last_mut() {
                Some(last) if continued => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ => commands.push(line.to_owned()),
            }
            continued = line.ends_with('\\');
        }
    }
    commands
}

/// Cuts what the shell printed into what each command did. A command that failed is a failure of the quickstart.
fn steps(commands: Vec<String>, said: &str) -> Vec<Step> {
    let mut parts = said.split(MARK);
    let mut steps = Vec::new();
    for command in commands {
        let output = parts.next().unwrap_or_default().to_owned();
        assert_eq!(parts.next(), Some("0"), "`{command}` printed: {output}");
        steps.push(Step { command, output });
    }
    steps
}

fn step<'a>(steps: &'a [Step], part: &str) -> &'a Step {
    steps.iter().find(|step| step.command.contains(part)).expect("the quickstart has this step")
}

fn events(stream: &str) -> Vec<&str> {
    stream.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
}

fn ids(stream: &str) -> Vec<u64> {
    stream.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
