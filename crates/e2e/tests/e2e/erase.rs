//! What is kept of a person: taken out as an archive, and erased without a trace.

pub(crate) mod archives;
mod files;

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::{Engine, Server, Setup, Smith, both};
use reqwest::Method;
use serde_json::{Value, json};
use testkit::http::{Answer, Client};
use testkit::upstream::{Gate, Reply, Upstream};

use crate::support::{PERMISSIONS, entries, id, number, organization, project, reader, token};

/// What a person has said or is known by, each with a word of its own.
struct Person {
    name: &'static str,
    smith: String,
    run: String,
    client: Client,
}

/// What stands in the clear in the database, because it is looked up.
const CLEAR: &[&str] = &["external", "thread", "channel"];
/// What is sealed there.
const SEALED: &[&str] = &[
    "display",
    "metadata",
    "instructions",
    "question",
    "answer",
    "structured",
    "filename",
    "content",
    "note",
    "token",
];

impl Person {
    fn word(&self, what: &str) -> String {
        word(self.name, what)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/smiths/{}{rest}", self.smith)
    }

    fn words(&self) -> impl Iterator<Item = String> {
        CLEAR.iter().chain(SEALED).map(|what| self.word(what))
    }

    /// Makes a person of whom something is in every place.
    async fn everywhere(server: &Server, upstream: &Upstream, name: &'static str) -> Self {
        let word = |what: &str| word(name, what);
        let keyed = |key: &str| server.admin().with_header("idempotency-key", &format!("{name}-{key}"));
        let body = json!({
            "external_id": word("external"), "display_name": word("display"), "model": "openai_compatible/mock",
            "metadata": {"about": word("metadata")}, "instructions": word("instructions"),
        });
        let smith = keyed("smith").post("/v1/smiths", &body).await.expect(201);
        let smith = id(&smith).to_owned();
        let own = format!("/v1/smiths/{smith}");
        let body = json!({
            "smith_id": smith, "permissions": PERMISSIONS, "name": word("token"),
        });
        let minted = keyed("token").post("/v1/tenant/tokens", &body).await.expect(201);
        let client = server.anonymous().with_bearer(token(&minted));
        let key = json!({"api_key": word("secret")});
        server.admin().put(&format!("{own}/model_keys/openai"), &key).await.expect(200);

        upstream.answer(Reply::text(&word("answer")));
        let file = STANDARD.encode(word("content"));
        let body = json!({
            "thread_id": word("thread"), "channel": word("channel"), "metadata": {"note": word("note")},
            "input": [{"role": "user", "content": [
                {"type": "text", "text": word("question")},
                {"type": "file", "filename": format!("{}.txt", word("filename")), "file_data": file},
            ]}],
        });
        let run = keyed("run").post(&format!("{own}/runs"), &body).await.expect(200);
        assert_eq!(run["status"], "completed", "{run:#}");
        upstream.answer(Reply::text(&json!({"word": word("structured")}).to_string()));
        let schema = json!({"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"],
            "additionalProperties": false});
        let format =
            json!({"type": "json_schema", "json_schema": {"name": "w", "schema": schema, "strict": true}});
        let body = json!({"input": "Say it.", "response_format": format});
        let structured = client.post(&format!("{own}/runs"), &body).await.expect(200);
        assert_eq!(structured["status"], "completed", "{structured:#}");
        Self { name, smith, run: id(&run).to_owned(), client }
    }
}

fn word(name: &str, what: &str) -> String {
    format!("canary-{name}-{what}-canary")
}

async fn two_people(server: &Server) -> (Upstream, Person, Person) {
    let upstream = Upstream::start().await;
    let key = json!({"api_key": "sk-test", "base_url": upstream.openai_url()});
    server.admin().put("/v1/tenant/model_keys/openai_compatible", &key).await.expect(200);
    let ana = Person::everywhere(server, &upstream, "ana").await;
    let bo = Person::everywhere(server, &upstream, "bo").await;
    (upstream, ana, bo)
}

/// Reads the database as it lies there: the files of SQLite, every row of PostgreSQL.
async fn stored(server: &Server) -> Vec<u8> {
    let Some(database) = server.database() else {
        let files =
            ["ingram.db", "ingram.db-wal"].map(|name| std::fs::read(server.data().join(name)).unwrap());
        return files.concat();
    };
    let client = database.client().await;
    let sql = "select table_name::text from information_schema.tables where table_schema = 'public'";
    let mut text = String::new();
    for table in client.query(sql, &[]).await.unwrap() {
        let table: String = table.get(0);
        for row in client.query(&format!("select t::text from {table} as t"), &[]).await.unwrap() {
            text.push_str(&row.get::<_, String>(0));
            text.push('\n');
        }
    }
    text.into_bytes()
}

/// Tells whether a text is somewhere in bytes, also as the hexadecimal digits in which PostgreSQL writes its bytes.
fn holds(bytes: &[u8], text: &str) -> bool {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    [text.as_bytes(), digits.as_bytes()]
        .iter()
        .any(|wanted| bytes.windows(wanted.len()).any(|part| part == *wanted))
}

pub(crate) fn unzipped(answer: &Answer) -> BTreeMap<String, Vec<u8>> {
    assert_eq!(answer.status, 200, "{answer}");
    let mut archive = zip::ZipArchive::new(Cursor::new(answer.body.to_vec())).unwrap();
    let mut files = BTreeMap::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.insert(file.name().unwrap().into_owned(), content);
    }
    files
}

#[tokio::test]
async fn an_archive_holds_what_is_kept_of_a_person_and_nothing_of_another() {
    both(async |server| {
        let (_upstream, ana, _bo) = two_people(&server).await;
        let answer = server.admin().get(&ana.path("/export")).await;
        assert_eq!(answer.header("content-type"), "application/zip");
        assert_eq!(
            answer.header("content-disposition"),
            format!("attachment; filename=\"{}.zip\"", ana.smith)
        );
        let files = unzipped(&answer);
        let all: Vec<u8> = files.values().flatten().copied().collect();
        for word in ana.words() {
            assert!(holds(&all, &word), "{word} is missing");
        }
        for secret in ["canary-bo", &ana.word("secret"), "sk-test"] {
            assert!(!holds(&all, secret), "{secret}");
        }
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!((&manifest["format"], &manifest["smith_id"]), (&json!(1), &json!(ana.smith)));
        let counts: BTreeMap<&str, u64> = manifest["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| (file["name"].as_str().unwrap(), file["rows"].as_u64().unwrap()))
            .collect();
        let known = ["smith.jsonl", "runs.jsonl", "files.jsonl", "tokens.jsonl"].map(|name| counts[name]);
        assert_eq!(known, [1, 2, 1, 1]);
        let file: Value = serde_json::from_slice(&files["files.jsonl"]).unwrap();
        assert_eq!(files[file["path"].as_str().unwrap()], ana.word("content").into_bytes());
        // Also of a smith that was archived.
        server.admin().delete(&ana.path("")).await.expect(204);
        let archived = unzipped(&server.admin().get(&ana.path("/export")).await);
        assert_eq!(archived["runs.jsonl"], files["runs.jsonl"]);
    })
    .await;
}

#[tokio::test]
async fn an_erased_person_leaves_no_trace() {
    both(async |server| {
        let (_upstream, ana, bo) = two_people(&server).await;
        let before = stored(&server).await;
        for what in CLEAR {
            assert!(holds(&before, &ana.word(what)), "{what}: the test would not find it");
        }
        let erase = ana.path("/erase");
        let receipt = server.admin().post(&erase, &json!({})).await.expect(200);
        assert_eq!(receipt["smith_id"], ana.smith.as_str());
        assert_eq!(receipt["kept"], json!(["receipt", "anonymous_usage"]));

        let (after, log) = (stored(&server).await, server.log());
        for word in ana.words().chain([ana.word("secret"), "canary-ana".to_owned()]) {
            assert!(!holds(&after, &word), "{word} is in the database");
            assert!(!holds(log.as_bytes(), &word), "{word} is in the log");
        }
        for what in CLEAR {
            assert!(holds(&after, &bo.word(what)), "{what} of another is gone");
        }
        for (method, rest) in [
            (Method::GET, String::new()),
            (Method::PATCH, String::new()),
            (Method::DELETE, String::new()),
            (Method::GET, "/export".to_owned()),
            (Method::GET, "/runs".to_owned()),
            (Method::POST, "/runs".to_owned()),
            (Method::GET, format!("/runs/{}", ana.run)),
            (Method::GET, format!("/runs/{}/events", ana.run)),
            (Method::POST, format!("/runs/{}/replay", ana.run)),
            (Method::GET, "/model_keys".to_owned()),
        ] {
            let body = json!({"locale": "de", "input": "x"});
            let answer = server.admin().send(method, &ana.path(&rest), Some(&body)).await;
            answer.expect_error(404, "not_found");
        }
        ana.client.get("/v1/runs").await.expect_error(401, "unauthenticated");
        for list in ["/v1/smiths", "/v1/runs", "/v1/tenant/tokens"] {
            let listed = server.admin().get(list).await.expect(200).to_string();
            assert!(!listed.contains(&ana.smith) && listed.contains(&bo.smith), "{list}: {listed}");
        }
        // The neighbour has everything, and what was answered to a key of the erased one is not answered again.
        let files = unzipped(&server.admin().get(&bo.path("/export")).await);
        let all: Vec<u8> = files.values().flatten().copied().collect();
        assert!(bo.words().all(|word| holds(&all, &word)));
        bo.client.get(&bo.path(&format!("/runs/{}", bo.run))).await.expect(200);
        let keyed = server.admin().with_header("idempotency-key", "ana-smith");
        let body = json!({
            "external_id": ana.word("external"), "display_name": ana.word("display"), "model": "openai_compatible/mock",
            "metadata": {"about": ana.word("metadata")}, "instructions": ana.word("instructions"),
        });
        let again = keyed.post("/v1/smiths", &body).await;
        assert_eq!(again.header("idempotency-replayed"), "");
        assert_ne!(id(&again.expect(201)), ana.smith);
        assert_eq!(server.admin().post(&erase, &json!({})).await.expect(200), receipt);
    })
    .await;
}

#[tokio::test]
async fn the_archived_can_be_erased_and_others_cannot_ask_for_it() {
    both(async |server| {
        let (_upstream, ana, bo) = two_people(&server).await;
        let organization = organization(&server).await;
        let (stranger, _) = project(&server, &organization, "elsewhere").await;
        for path in [ana.path("/erase"), bo.path("/erase")] {
            stranger.post(&path, &json!({})).await.expect_error(404, "not_found");
            ana.client.post(&path, &json!({})).await.expect_error(403, "admin_required");
        }
        stranger.get(&ana.path("/export")).await.expect_error(404, "not_found");
        ana.client.get(&ana.path("/export")).await.expect_error(403, "admin_required");
        server.admin().get(&ana.path("")).await.expect(200);
        server.admin().delete(&ana.path("")).await.expect(204);
        let receipt = server.admin().post(&ana.path("/erase"), &json!({})).await.expect(200);
        assert!(!holds(&stored(&server).await, "canary-ana"));
        // Whom nobody knows has no receipt, and neither has one of another project.
        stranger.post(&ana.path("/erase"), &json!({})).await.expect_error(404, "not_found");
        assert_eq!(server.admin().post(&ana.path("/erase"), &json!({})).await.expect(200), receipt);
    })
    .await;
}

/// A run whose model has said a word of its person and goes on.
async fn speaking(server: &Server, upstream: &Upstream, gate: &Gate) -> (Smith, testkit::sse::Reader) {
    upstream.answer_otherwise(Reply::chunks([word("ana", "one"), word("ana", "two")]).through(gate));
    let smith = server.smith_on(upstream).await;
    let body = json!({"input": word("ana", "question"), "stream": true, "thread_id": word("ana", "thread")});
    let mut stream = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&body)).await;
    gate.release(1);
    assert_eq!(stream.take(2).await[1].text("delta"), word("ana", "one"));
    (smith, stream)
}

#[tokio::test]
async fn a_stream_under_way_ends_with_its_smith_and_writes_nothing_back() {
    both(async |server| {
        let (upstream, gate) = (Upstream::start().await, Gate::hold());
        let (smith, mut stream) = speaking(&server, &upstream, &gate).await;
        let queued =
            json!({"input": word("ana", "next"), "stream": true, "thread_id": word("ana", "thread")});
        let mut next = server.admin().stream(Method::POST, &smith.path("/runs"), Some(&queued)).await;
        server.admin().post(&smith.path("/erase"), &json!({})).await.expect(200);
        upstream.wait_for_abandoned(1).await;
        gate.open();
        for frames in [stream.drain().await, next.drain().await] {
            assert!(frames.iter().all(|frame| frame.event != "run.completed"), "{frames:#?}");
        }
        assert_eq!(upstream.requests().len(), 1, "the queued one never begins");
        assert!(!holds(&stored(&server).await, "canary-ana"));
        assert_eq!(entries(&server.admin().get("/v1/runs").await.expect(200)), &[] as &[Value]);
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_drives_a_run_of_the_erased_smith_writes_nothing_back() {
    let server = Setup::on(Engine::Postgres).with_configuration("[engine]\nlease_ms = 400\n").start().await;
    let other = server.replica().await;
    let (upstream, gate) = (Upstream::start().await, Gate::hold());
    let (smith, mut stream) = speaking(&server, &upstream, &gate).await;
    // It sleeps while the smith is erased, and goes on where it was.
    server.pause();
    let receipt = other.admin().post(&smith.path("/erase"), &json!({})).await.expect(200);
    gate.open();
    server.wake();
    let frames = stream.drain().await;
    assert!(frames.iter().all(|frame| frame.event != "run.completed"), "{frames:#?}");
    assert!(!holds(&stored(&server).await, "canary-ana"));
    assert_eq!(server.admin().post(&smith.path("/erase"), &json!({})).await.expect(200), receipt);
    server.admin().get(&smith.path("")).await.expect_error(404, "not_found");
}

/// Tells whether every erasure of the server is finished.
async fn is_finished(server: &Server) -> bool {
    number(server, "select count(*) from erasures where finished_at is null").await == 0
}

/// Waits for a round of the server to finish what was left.
async fn finished(server: &Server) {
    let rounds = async {
        while !is_finished(server).await {
            server.anonymous().get("/health").await.expect(200);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), rounds).await.expect("a round finishes it");
}

const LEASE: &str = "[engine]\nlease_ms = 400\n";

#[tokio::test]
async fn an_erasure_that_a_kill_has_cut_is_finished_by_the_next_start() {
    let mut server = Setup::on(Engine::Postgres).with_configuration(LEASE).start().await;
    let (_upstream, ana, bo) = two_people(&server).await;
    // Somebody holds a row, so that the server does not get beyond it.
    let mut holder = server.database().unwrap().client().await;
    let held = holder.transaction().await.unwrap();
    let sql =
        "select 1 from files where smith_id = (select id from smiths where external_id = $1) for update";
    assert_eq!(held.query(sql, &[&ana.word("external")]).await.unwrap().len(), 1);
    let admin = server.admin();
    let path = ana.path("/erase");
    let asked = admin.send_or_break(Method::POST, &path, None);
    let killed = async {
        // From here on the key is gone, and so are the runs.
        let gone = server.database().unwrap().client().await;
        let count = "select count(*) from runs join smiths on smiths.id = runs.smith_id where smiths.external_id is null";
        let erased = "select count(*) from erasures where erased_at is not null";
        let number = async |sql: &str| gone.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
        while number(erased).await == 0 || number(count).await > 0 {}
    };
    tokio::select! {
        answer = asked => panic!("answered already: {answer:?}"),
        () = killed => {}
    }
    server.kill().await;
    assert!(!is_finished(&server).await, "the kill came in the middle");
    held.rollback().await.unwrap();
    server.start_again().await;
    finished(&server).await;
    assert!(!holds(&stored(&server).await, "canary-ana"));
    let receipt = server.admin().post(&ana.path("/erase"), &json!({})).await.expect(200);
    assert_eq!(receipt["smith_id"], ana.smith.as_str());
    server.admin().get(&bo.path("")).await.expect(200);
}

#[tokio::test]
async fn old_content_that_a_reader_holds_in_the_log_of_writes_goes_with_the_next_round() {
    let mut server = Setup::on(Engine::Sqlite).with_configuration(LEASE).start().await;
    let (_upstream, ana, _bo) = two_people(&server).await;
    let holder = reader(&server);
    holder.execute_batch("begin").unwrap();
    let count: i64 = holder.query_row("select count(*) from smiths", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
    let receipt = server.admin().post(&ana.path("/erase"), &json!({})).await.expect(200);
    server.admin().get(&ana.path("")).await.expect_error(404, "not_found");
    assert!(!is_finished(&server).await);
    assert!(holds(&stored(&server).await, "canary-ana"), "the reader still sees it");
    server.kill().await;
    drop(holder);
    server.start_again().await;
    finished(&server).await;
    assert!(!holds(&stored(&server).await, "canary-ana"));
    assert_eq!(server.admin().post(&ana.path("/erase"), &json!({})).await.expect(200), receipt);
}
