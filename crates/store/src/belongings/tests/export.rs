use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use serde_json::Value as Json;

use super::{Person, key_of, project};
use crate::belongings::registry::BELONGINGS;
use crate::belongings::{Export, Piece};
use crate::testing::{both, open};
use crate::{Error, ProjectStore};

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
