use domain::Timestamp;
use domain::ids::Id as _;
use domain::models::Provider;
use domain::principals::Permission;
use vault::{Ids, MasterKey};

use super::schema::dump;
use super::{Person, key_of, project};
use crate::belongings::registry::BELONGINGS;
use crate::belongings::{Erase, Progress};
use crate::idempotency::Remember;
use crate::model_keys::KeyOwner;
use crate::runs::{RunFilter, StartError};
use crate::smiths::{NewSmith, SmithFilter};
use crate::testing::{Driven, both, open, options};
use crate::tokens::NewToken;
use crate::{Location, ProjectStore, Store};

async fn erase(project: &ProjectStore, person: &Person) {
    project.begin_erasing(person.smith.id).await.unwrap().unwrap();
    project.destroy_key(person.smith.id).await.unwrap();
    finish(project, person).await;
}

async fn finish(project: &ProjectStore, person: &Person) {
    while project.erase_some(person.smith.id).await.unwrap() != Progress::Done {}
}

/// Lists what the tables still know of a person.
async fn traces(store: &Store, person: &Person) -> Vec<String> {
    let id: String = person.smith.id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (word, text) = (format!("{}-", person.word), person.smith.id.to_string());
    let mut traces = Vec::new();
    for (table, rows) in dump(store.db()).await {
        let knows = |row: &String| row.contains(&word) || row.contains(&text) || row.contains(&id);
        if rows.iter().any(knows) {
            traces.push(table);
        }
    }
    traces
}

#[tokio::test]
async fn nothing_of_an_erased_smith_stays_but_the_receipt_and_usage_of_nobody() {
    both(async |location| {
        let store = open(location.clone()).await;
        let project = project(&store).await;
        let ana = Person::with_everything(&project, "ana", 3).await;
        let bo = Person::with_everything(&project, "bo", 3).await;
        let neighbour = traces(&store, &bo).await;
        assert_eq!(traces(&store, &ana).await.len(), neighbour.len());
        erase(&project, &ana).await;
        assert_eq!(traces(&store, &ana).await, ["erasures"]);
        assert_eq!(traces(&store, &bo).await, neighbour);
        assert_eq!(project.runs(&RunFilter::default(), None, 10).await.unwrap().len(), 4);
        assert_eq!(project.smiths(&SmithFilter::default(), None, 10).await.unwrap().len(), 1);
        if let Location::Sqlite(file) = &location {
            for ending in ["", "-wal"] {
                let bytes = std::fs::read(format!("{}{ending}", file.display())).unwrap();
                let count =
                    |text: &str| bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
                assert_eq!(count("ana-"), 0, "{ending}");
                assert_eq!(count("bo-external") > 0, ending.is_empty());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn usage_is_added_up_by_day_agent_and_model() {
    both(async |location| {
        let clock = Driven::new();
        let store = Store::open(&options(location), MasterKey::from_bytes([7; 32]), Ids::new(std::sync::Arc::new(clock.clone())))
            .await
            .unwrap();
        let project = project(&store).await;
        let ana = Person::with_everything(&project, "ana", 60).await;
        clock.advance(24 * 60 * 60);
        let bo = Person::with_everything(&project, "bo", 1).await;
        erase(&project, &ana).await;
        erase(&project, &bo).await;
        let sql = "select day, model, runs, input_tokens, output_tokens, cache_read_tokens from anonymous_usage order by day";
        let rows = store.db().read(sql, vec![]).await.unwrap();
        let numbers = |row: &crate::db::Row| {
            let day: Timestamp = row.get(0).unwrap();
            assert_eq!(day.as_micros() % 86_400_000_000, 0);
            assert_eq!(row.get::<String>(1).unwrap(), "scripted/demo");
            [2, 3, 4, 5].map(|column| row.get::<u64>(column).unwrap())
        };
        let usage: Vec<_> = rows.iter().map(numbers).collect();
        assert_eq!(usage, [[61, 420, 120, 0], [2, 7, 2, 0]]);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_goes_on_wherever_a_crash_has_cut_it() {
    both(async |location| {
        let store = open(location.clone()).await;
        let bo = Person::with_everything(&project(&store).await, "bo", 1).await;
        let mut parts = 0;
        // After each number of parts the process dies, until there is nothing left to die in.
        for survived in 0.. {
            let project = project(&store).await;
            let ana = Person::with_everything(&project, "ana", 55).await;
            project.begin_erasing(ana.smith.id).await.unwrap().unwrap();
            project.destroy_key(ana.smith.id).await.unwrap();
            let mut done = false;
            for _ in 0..survived {
                done = project.erase_some(ana.smith.id).await.unwrap() == Progress::Done;
            }
            assert_eq!(store.server().unfinished_erasures(10).await.unwrap().is_empty(), done);
            let heir = open(location.clone()).await;
            for (owner, smith) in heir.server().unfinished_erasures(10).await.unwrap() {
                assert_eq!(smith, ana.smith.id);
                finish(&heir.project(owner), &ana).await;
            }
            assert_eq!(traces(&store, &ana).await, ["erasures"], "after {survived}");
            let sum =
                "select cast(sum(runs) as bigint), cast(sum(input_tokens) as bigint) from anonymous_usage";
            let row = store.db().read_one(sum, vec![]).await.unwrap().unwrap();
            let times = survived + 1;
            assert_eq!(
                (row.get::<u64>(0).unwrap(), row.get::<u64>(1).unwrap()),
                (56 * times, 55 * 7 * times)
            );
            parts = survived;
            if done {
                break;
            }
        }
        assert!(parts >= 5, "{parts}");
        assert!(!traces(&store, &bo).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn two_processes_at_one_erasure_count_its_usage_once() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let ana = Person::with_everything(&projects[0], "ana", 120).await;
        let erasures = projects.iter().map(|project| async {
            project.begin_erasing(ana.smith.id).await.unwrap().unwrap();
            project.destroy_key(ana.smith.id).await.unwrap();
            finish(project, &ana).await;
            project.receipt(ana.smith.id).await.unwrap().unwrap()
        });
        let receipts = futures::future::join_all(erasures).await;
        assert_eq!(receipts[0], receipts[1]);
        let row = stores[0].db().read_one("select runs, input_tokens from anonymous_usage", vec![]).await;
        let row = row.unwrap().unwrap();
        assert_eq!((row.get::<u64>(0).unwrap(), row.get::<u64>(1).unwrap()), (121, 840));
    })
    .await;
}

#[tokio::test]
async fn a_driver_that_knows_nothing_of_the_erasure_writes_nothing_back() {
    both(async |location| {
        let store = open(location.clone()).await;
        let here = project(&store).await;
        let ana = Person::with_everything(&here, "ana", 1).await;
        let open_run = *ana.runs.last().unwrap();
        // Another process has the key at hand, and drives the run.
        let elsewhere = project(&open(location).await).await;
        let saved = elsewhere.saved_run(open_run).await.unwrap().unwrap();
        assert!(elsewhere.run(open_run).await.unwrap().is_some());
        here.begin_erasing(ana.smith.id).await.unwrap().unwrap();
        assert_eq!(here.destroy_key(ana.smith.id).await.unwrap(), [open_run]);
        for project in [&here, &elsewhere] {
            assert!(!ana.append(project, open_run, saved.record.next_seq).await);
            assert!(!ana.finish(project, open_run).await);
            assert!(
                project.run(open_run).await.unwrap().is_none(),
                "its key is still at hand, its rows are not shown"
            );
            assert!(project.runs(&RunFilter::default(), None, 10).await.unwrap().is_empty());
        }
        finish(&here, &ana).await;
        for project in [&here, &elsewhere] {
            assert!(!ana.append(project, open_run, saved.record.next_seq).await);
            assert!(!ana.finish(project, open_run).await);
        }
        assert_eq!(traces(&store, &ana).await, ["erasures"]);
    })
    .await;
}

#[tokio::test]
async fn nobody_writes_for_a_smith_from_the_moment_its_erasure_is_asked_for() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let ana = Person::with_everything(&project, "ana", 1).await;
        let id = ana.smith.id;
        project.begin_erasing(id).await.unwrap().unwrap();
        for stage in 0..3 {
            let run = project.start_run(&ana.smith.seal, &ana.new_run(&project, "late")).await;
            assert!(matches!(run, Err(StartError::SmithGone)), "{stage}");
            let token =
                project.mint_smith_token(id, &[Permission::RunsRead], &NewToken::default(), None).await;
            assert!(token.unwrap().is_none());
            assert!(!project.put_model_key(KeyOwner::Smith(id), Provider::Gemini, "k", None).await.unwrap());
            assert!(project.smith(id).await.unwrap().is_none());
            if stage == 0 {
                project.destroy_key(id).await.unwrap();
            } else {
                finish(&project, &ana).await;
            }
        }
        let remember = Remember::answer(key_of("late"), 200, b"ana-late".to_vec()).of_smith(Some(id));
        assert!(store.server().remember(&remember).await.unwrap_err().is_reference());
        assert_eq!(traces(&store, &ana).await, ["erasures"]);
    })
    .await;
}

#[tokio::test]
async fn whoever_writes_while_the_smith_is_erased_leaves_nothing() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let (here, elsewhere) = (project(&stores[0]).await, project(&stores[1]).await);
        for _ in 0..5 {
            let ana = Person::with_everything(&here, "ana", 1).await;
            let id = ana.smith.id;
            let new = NewSmith { external_id: Some("ana-external".into()), ..NewSmith::default() };
            let writes = async {
                for number in 0..20 {
                    let run = elsewhere
                        .start_run(&ana.smith.seal, &ana.new_run(&elsewhere, &format!("ana-{number}")))
                        .await;
                    assert!(matches!(run, Ok(_) | Err(StartError::SmithGone)), "{:?}", run.err());
                    let name = NewToken { name: Some("ana-late".into()), ttl_seconds: None };
                    elsewhere.mint_smith_token(id, &[Permission::RunsRead], &name, None).await.unwrap();
                    let key = elsewhere.put_model_key(KeyOwner::Smith(id), Provider::Gemini, "k", None).await;
                    key.unwrap();
                    let remember = Remember::answer(key_of(&number.to_string()), 200, b"a".to_vec());
                    let kept = stores[1].server().remember(&remember.of_smith(Some(id))).await;
                    let is_taken = |error: &crate::Error| {
                        error.is_reference() || error.is_guard(crate::idempotency::GUARD)
                    };
                    assert!(kept.is_ok() || kept.as_ref().is_err_and(is_taken), "{kept:?}");
                }
            };
            let erased = async {
                tokio::task::yield_now().await;
                erase(&here, &ana).await;
            };
            futures::join!(writes, erased);
            assert_eq!(traces(&stores[0], &ana).await, ["erasures"]);
            assert!(here.ensure_smith(&new, None).await.unwrap().created, "the pair is free");
            let again = here.smiths(&SmithFilter::default(), None, 1).await.unwrap().remove(0);
            here.begin_erasing(again.id).await.unwrap().unwrap();
            here.destroy_key(again.id).await.unwrap();
            while here.erase_some(again.id).await.unwrap() != Progress::Done {}
        }
    })
    .await;
}

#[tokio::test]
async fn the_database_is_vacuumed_once_for_all_that_were_erased() {
    both(async |location| {
        let store = open(location.clone()).await;
        let project = project(&store).await;
        let server = store.server();
        let people = [
            Person::with_everything(&project, "ana", 1).await,
            Person::with_everything(&project, "bo", 1).await,
            Person::with_everything(&project, "cy", 1).await,
        ];
        assert!(!server.has_traces().await.unwrap());
        let [ana, bo, cy] = &people;
        erase(&project, ana).await;
        erase(&project, bo).await;
        // This one is under way, and comes later.
        project.begin_erasing(cy.smith.id).await.unwrap().unwrap();
        project.destroy_key(cy.smith.id).await.unwrap();
        let Location::Postgres(_) = &location else {
            assert!(!server.has_traces().await.unwrap(), "SQLite overwrites what it deletes");
            assert_eq!(server.clear_traces().await.unwrap(), 0);
            return;
        };
        assert!(server.has_traces().await.unwrap());
        assert_eq!(server.clear_traces().await.unwrap(), 2);
        assert!(!server.has_traces().await.unwrap());
        let sql = "select relname::text, vacuum_count from pg_stat_user_tables";
        let rows = store.db().read(sql, vec![]).await.unwrap();
        let count_of = |table: &str| -> u64 {
            let row = rows.iter().find(|row| row.get::<String>(0).unwrap() == table).unwrap();
            row.get(1).unwrap()
        };
        for belonging in BELONGINGS {
            let is_kept = matches!(belonging.erase, Erase::Keep(_));
            assert_eq!(count_of(belonging.table), u64::from(!is_kept), "{}", belonging.table);
        }
        finish(&project, cy).await;
        assert_eq!(server.clear_traces().await.unwrap(), 1);
        assert_eq!(server.clear_traces().await.unwrap(), 0);
        // Connections that are left are as they were: bounded.
        let bound = store.db().read_one("select current_setting('statement_timeout')", vec![]).await.unwrap();
        assert_eq!(bound.unwrap().get::<String>(0).unwrap(), "30s");
    })
    .await;
}

#[tokio::test]
async fn statistics_of_the_planner_forget_who_was_erased() {
    let database = testkit::postgres::database().await;
    let store = open(Location::Postgres(database.url())).await;
    let project = project(&store).await;
    let ana = Person::with_everything(&project, "ana", 1).await;
    for other in ["bo", "cy"] {
        Person::with_everything(&project, other, 1).await;
    }
    let samples = async |of: &str| {
        let sql = "select count(*) from pg_stats where schemaname = 'public' \
                   and (histogram_bounds::text like $1 or most_common_vals::text like $1)";
        let row = store.db().read_one(sql, vec![format!("%{of}-external%").into()]).await.unwrap().unwrap();
        row.get::<u64>(0).unwrap()
    };
    store.db().script("analyze").await.unwrap();
    assert!(samples("ana").await > 0, "the planner has seen everybody");
    erase(&project, &ana).await;
    store.server().clear_traces().await.unwrap();
    assert_eq!(samples("ana").await, 0);
    assert!(samples("bo").await > 0);
}

#[tokio::test]
async fn a_vacuum_that_was_cut_short_is_still_to_come() {
    let database = testkit::postgres::database().await;
    let store = open(Location::Postgres(database.url())).await;
    let project = project(&store).await;
    let ana = Person::with_everything(&project, "ana", 1).await;
    erase(&project, &ana).await;
    let server = store.server();
    let mut other = database.client().await;
    let held = other.transaction().await.unwrap();
    held.batch_execute("lock table smiths in share update exclusive mode").await.unwrap();
    let cut = async {
        let watch = database.client().await;
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and query like 'vacuum%' and wait_event_type = 'Lock'";
        while watch.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        database.cut_connections().await;
    };
    let (cleared, ()) = futures::join!(server.clear_traces(), cut);
    assert!(cleared.is_err());
    assert!(server.has_traces().await.unwrap());
    assert_eq!(server.clear_traces().await.unwrap(), 1);
}

#[tokio::test]
async fn a_receipt_is_the_same_forever_and_another_project_has_none() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let ana = Person::with_everything(&project, "ana", 1).await;
        let stranger = store.project(store.ids().mint());
        assert!(stranger.begin_erasing(ana.smith.id).await.unwrap().is_none());
        assert!(stranger.archive_of(ana.smith.id).await.unwrap().is_none());
        assert!(project.begin_erasing(store.ids().mint()).await.unwrap().is_none());
        assert!(project.smith(ana.smith.id).await.unwrap().is_some(), "nothing was done");
        assert!(project.receipt(ana.smith.id).await.unwrap().is_none());
        project.archive_smith(ana.smith.id).await.unwrap();
        erase(&project, &ana).await;
        let receipt = project.receipt(ana.smith.id).await.unwrap().unwrap();
        assert_eq!(receipt.kept, ["receipt", "anonymous_usage"]);
        erase(&project, &ana).await;
        assert_eq!(project.receipt(ana.smith.id).await.unwrap().unwrap(), receipt);
        assert!(stranger.receipt(ana.smith.id).await.unwrap().is_none());
        assert!(stranger.begin_erasing(ana.smith.id).await.unwrap().is_none());
    })
    .await;
}
