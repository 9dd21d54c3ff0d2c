use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use serde_json::Value as Json;

use super::{Person, key_of, project};
use crate::belongings::registry::BELONGINGS;
use crate::belongings::{Export, Piece};
use crate::testing::{both, open};
use crate::{Batch, Error, ProjectStore};

/// Puts the files of an archive together.
async fn archive(project: &ProjectStore, person: &Person) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let pieces: Vec<Piece> =
        project.archive_of(person.smith.id).await?.unwrap().pieces().try_collect().await?;
    let mut files = BTreeMap::new();
    let mut name = String::new();
    for piece in pieces {
        match piece {
            Piece::File(next) => {
                assert!(files.insert(next.clone(), Vec::new()).is_none(), "{next} is there twice");
                name = next;
            }
            Piece::Bytes(bytes) => files.get_mut(&name).unwrap().extend(bytes),
        }
    }
    Ok(files)
}

fn lines(file: &[u8]) -> Vec<Json> {
    let text = std::str::from_utf8(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn an_archive_holds_everything_of_its_smith_and_nothing_of_another() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let ana = Person::with_everything(&project, "ana", 2).await;
        Person::with_everything(&project, "bo", 2).await;
        let files = archive(&project, &ana).await.unwrap();
        let all: String = files.values().map(|file| String::from_utf8_lossy(file).into_owned()).collect();
        for what in [
            "external",
            "name",
            "metadata",
            "instructions",
            "thread-0",
            "thread-1",
            "open",
            "channel",
            "mail",
            "question",
            "note",
            "answer",
            "file.txt",
            "content",
            "token",
            "host.example",
        ] {
            assert!(all.contains(&format!("ana-{what}")), "{what}");
        }
        for secret in ["ana-key", "bo-"] {
            assert!(!all.contains(secret), "{secret}");
        }
        let manifest: Json = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest["smith_id"], ana.smith.id.to_string());
        for file in manifest["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            assert_eq!(file["rows"], lines(&files[name]).len(), "{name}");
            assert_ne!(file["rows"], 0, "{name}: the test has nothing in it");
        }
        assert!(manifest["left_out"].to_string().contains("idempotency_keys"));
        let listed =
            BELONGINGS.iter().filter(|belonging| matches!(belonging.export, Export::Lines(_))).count();
        assert_eq!(manifest["files"].as_array().unwrap().len(), listed);
        for file in lines(&files["files.jsonl"]) {
            assert_eq!(files[file["path"].as_str().unwrap()], b"ana-content");
        }
        let remembered = project.store.server().remembered(&key_of("ana")).await.unwrap();
        assert!(remembered.is_some());
    })
    .await;
}

#[tokio::test]
async fn long_tables_are_read_in_pages_without_a_gap() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let mut ana = Person::with_everything(&project, "ana", 0).await;
        let run = ana.start(&project, "long").await;
        for seq in 1..=600 {
            assert!(ana.append(&project, run, seq).await);
        }
        let files = archive(&project, &ana).await.unwrap();
        let frames = lines(&files["run_frames.jsonl"]);
        let of_run = frames.iter().filter(|frame| frame["run_id"] == run.to_string());
        let seqs: Vec<u64> = of_run.map(|frame| frame["seq_from"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (0..=600).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn large_rows_are_read_few_at_a_time() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let mut ana = Person::with_everything(&project, "ana", 0).await;
        let run = ana.start(&project, "large").await;
        let delta = "x".repeat(900_000);
        for seq in 1..=6 {
            let frame = domain::frames::Frame::Delta { delta: delta.clone() };
            assert!(
                project.store.server().append_to_run(&ana.addition(run, seq, frame)).await.unwrap().is_kept()
            );
        }
        let archive = project.archive_of(ana.smith.id).await.unwrap().unwrap();
        let pieces: Vec<Piece> = archive.pieces().try_collect().await.unwrap();
        let longest = pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File(_) => 0,
        });
        let longest = longest.max().unwrap();
        assert!((900_000..2_500_000).contains(&longest), "{longest}");
    })
    .await;
}

#[tokio::test]
async fn an_archive_of_a_smith_that_is_erased_meanwhile_breaks_off() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let ana = Person::with_everything(&project, "ana", 1).await;
        let mut pieces = Box::pin(project.archive_of(ana.smith.id).await.unwrap().unwrap().pieces());
        assert!(pieces.try_next().await.unwrap().is_some());
        project.begin_erasing(ana.smith.id).await.unwrap().unwrap();
        project.destroy_key(ana.smith.id).await.unwrap();
        let rest: Result<Vec<Piece>, Error> = pieces.try_collect().await;
        assert!(rest.is_err());
        assert!(project.archive_of(ana.smith.id).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn an_archived_smith_can_be_exported() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let ana = Person::with_everything(&project, "ana", 1).await;
        project.archive_smith(ana.smith.id).await.unwrap();
        let files = archive(&project, &ana).await.unwrap();
        assert_eq!(lines(&files["runs.jsonl"]).len(), 2);
    })
    .await;
}

async fn alter(project: &ProjectStore, statements: &[&str]) {
    let mut batch = Batch::new();
    for sql in statements {
        batch.exec((*sql).to_owned(), vec![]);
    }
    project.store.db().commit(batch).await.unwrap();
}

#[tokio::test]
async fn an_archive_of_damaged_rows_ends_and_says_what_of_them_is_missing() {
    both(async |location| {
        let project = project(&open(location).await).await;
        let ana = Person::with_everything(&project, "ana", 2).await;
        let whole = archive(&project, &ana).await.unwrap();
        let manifest: Json = serde_json::from_slice(&whole["manifest.json"]).unwrap();
        assert_eq!(manifest["complete"], true);
        let first = "(select id from runs order by id limit 1)";
        alter(
            &project,
            &[
                &format!("update runs set actor = 'x' where id = {first}"),
                &format!("update run_results set body = 'x' where run_id = {first}"),
                &format!("update run_requests set request = config, config = 'x' where run_id = {first}"),
                "update files set content = 'x' where id = (select id from files order by id limit 1)",
                "update files set description = 'x' where id = (select id from files order by id desc limit 1)",
                "update smiths set profile = 'x'",
            ],
        )
        .await;
        let files = archive(&project, &ana).await.unwrap();
        let manifest: Json = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest["complete"], false);
        for file in manifest["files"].as_array().unwrap() {
            let name = file["name"].as_str().unwrap();
            let unreadable: &[&str] = match name {
                "runs.jsonl" => &["actor"],
                "run_results.jsonl" => &["body"],
                "run_requests.jsonl" => &["request", "config"],
                "files.jsonl" => &["description"],
                "smith.jsonl" => &["profile"],
                _ => &[],
            };
            assert_eq!(file["unreadable_rows"], usize::from(!unreadable.is_empty()), "{name}");
            assert_eq!(file["unreadable_files"], usize::from(name == "files.jsonl"), "{name}");
            let (before, after) = (lines(&whole[name]), lines(&files[name]));
            assert_eq!((file["rows"].as_u64(), after.len()), (Some(before.len() as u64), before.len()));
            for (before, after) in before.into_iter().zip(after) {
                let Some(columns) = after.get("unreadable") else {
                    assert_eq!(before, after, "{name}");
                    continue;
                };
                assert_eq!(*columns, serde_json::json!(unreadable), "{name}");
                assert!(unreadable.iter().all(|column| after[*column].is_null()));
                assert_eq!(before["id"], after["id"]);
            }
        }
        let stored = lines(&files["files.jsonl"]);
        let there = stored.iter().map(|file| files.contains_key(file["path"].as_str().unwrap()));
        assert_eq!(there.collect::<Vec<_>>(), [false, true, true]);
    })
    .await;
}

#[tokio::test]
async fn an_archive_without_the_key_holds_what_was_never_sealed() {
    both(async |location| {
        let ana = {
            let project = project(&open(location.clone()).await).await;
            Person::with_everything(&project, "ana", 1).await
        };
        // Another process, which has no data key at hand yet.
        let project = project(&open(location).await).await;
        alter(&project, &["update smiths set data_key = 'x'"]).await;
        let files = archive(&project, &ana).await.unwrap();
        let manifest: Json = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest["complete"], false);
        assert!(files.keys().all(|name| !name.starts_with("files/")));
        assert_eq!(lines(&files["smith.jsonl"])[0]["external_id"], "ana-external");
        assert_eq!(lines(&files["runs.jsonl"])[0]["thread_id"], "ana-thread-0");
        let frames = lines(&files["run_frames.jsonl"]);
        assert!(frames.iter().all(|frame| frame["unreadable"] == serde_json::json!(["body"])));
    })
    .await;
}
