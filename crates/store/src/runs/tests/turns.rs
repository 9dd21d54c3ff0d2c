//! Whose turn it is: the order of a thread's runs whatever the clocks say, and of a project's that may have only so many at once.

use super::*;
use crate::db::params;
use crate::runs::turns::next_of_project;
use crate::testing::{Driven, open_at};
use crate::{Dialect, Location};

/// Two stores of one database whose clocks are ten minutes apart.
async fn apart(location: Location) -> (World, World) {
    let (early, late) = (Driven::new(), Driven::new());
    late.advance(600);
    let ahead = world(open_at(location.clone(), &late).await).await;
    let behind = open_at(location, &early).await;
    let project = behind.project(ahead.project.id());
    let smith = project.smith(ahead.smith.id).await.unwrap().unwrap();
    (ahead, World { store: behind, project, smith })
}

#[tokio::test]
async fn turns_are_read_in_the_order_in_which_they_were_taken_whatever_the_clocks_say() {
    both(async |location| {
        let (ahead, behind) = apart(location).await;
        let mut runs = Vec::new();
        for number in 0..6 {
            let world = if number % 2 == 0 { &ahead } else { &behind };
            let (run, started) = world.start("t").await;
            assert_eq!(started, Started::Running);
            assert!(world.finish(run, 1, 1).await.is_kept());
            runs.push(run);
        }
        assert!(!runs.is_sorted(), "the ids follow the clocks");
        for (number, run) in runs.iter().enumerate() {
            let seal = &behind.smith.seal;
            let turns = behind.project.turns_before(*run, behind.smith.id, "t", seal, 10).await.unwrap();
            let turns: Vec<RunId> = turns.into_iter().map(|(run, _)| run).collect();
            let expected: Vec<RunId> = runs[..number].iter().rev().copied().collect();
            assert_eq!(turns, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_lane_goes_on_with_who_came_first_whatever_the_clocks_say() {
    both(async |location| {
        let (ahead, behind) = apart(location).await;
        let server = behind.store.server();
        let (first, _) = ahead.start("t").await;
        let (second, _) = ahead.start("t").await;
        let (third, _) = behind.start("t").await;
        assert!(ahead.finish(first, 1, 1).await.is_kept());
        for expected in [second, third] {
            let next = server.next_on_thread(NODE, behind.smith.id, "t", None).await.unwrap().unwrap();
            assert_eq!(next.run, expected);
            assert!(behind.finish(next.run, next.fence, 0).await.is_kept());
        }
    })
    .await;
}

#[tokio::test]
async fn runs_that_two_replicas_start_at_the_same_moment_take_different_turns() {
    both(async |location| {
        let (ahead, behind) = apart(location).await;
        let starts = (0..24).map(|number| {
            let world = if number % 2 == 0 { &ahead } else { &behind };
            let mut run = world.run("t");
            run.waiting = 16;
            async move { world.project.start_run(&world.smith.seal, &run).await }
        });
        let started = futures::future::join_all(starts).await;
        let count = |wanted| started.iter().filter(|one| matches!(one, Ok(got) if *got == wanted)).count();
        assert_eq!((count(Started::Running), count(Started::Queued)), (1, 16));
        assert!(started.iter().all(|one| matches!(one, Ok(_) | Err(StartError::Full))), "{started:?}");
        let rows = ahead.store.db().read("select turn from runs order by turn", vec![]).await.unwrap();
        let turns: Vec<u64> = rows.iter().map(|row| row.get(0).unwrap()).collect();
        assert_eq!(turns, (1..=17).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_run_lets_the_one_that_waited_longest_in() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let (first, _) = world.start("t").await;
        let (second, _) = world.start("t").await;
        world.start("t").await;
        assert_eq!(server.next_on_thread(NODE, world.smith.id, "t", None).await.unwrap(), None);
        assert_eq!(world.finish(first, 1, 1).await, Appended::KeptAndAnotherWaits);
        let next = server.next_on_thread(NODE, world.smith.id, "t", None).await.unwrap().unwrap();
        assert_eq!(next.run, second);
        assert_eq!(server.next_on_thread(NODE, world.smith.id, "t", None).await.unwrap(), None);
        let saved = world.project.saved_run(second).await.unwrap().unwrap();
        assert_eq!(saved.record.status, Status::Running);
        assert!(saved.journal.is_empty(), "a queued run begins when its turn comes");
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_smith_that_was_archived_has_no_turn_any_more() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let (first, _) = world.start("t").await;
        let (second, _) = world.start("t").await;
        assert_eq!(world.project.archive_smith(world.smith.id).await.unwrap(), Some(vec![first, second]));
        assert!(world.finish(first, 1, 1).await.is_kept());
        assert_eq!(server.next_on_thread(NODE, world.smith.id, "t", None).await.unwrap(), None);
        assert_eq!(server.next_of_project(world.project.id(), 9).await.unwrap(), None);
        assert!(server.stalled_threads(10).await.unwrap().is_empty());
        assert!(server.stalled_projects(9, 10).await.unwrap().is_empty());
        assert_eq!(world.record(second).await.status, Status::Queued);
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_nobody_moves_on_is_found() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let (first, _) = world.start("t").await;
        world.start("t").await;
        assert!(server.stalled_threads(10).await.unwrap().is_empty());
        assert!(world.finish(first, 1, 1).await.is_kept());
        assert_eq!(server.stalled_threads(10).await.unwrap(), [world.waiting("t")]);
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_an_archived_project_has_no_turn_and_is_found() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let (first, _) = world.start("t").await;
        let (second, _) = world.start("t").await;
        let bootstrapped = server.bootstrap().await.unwrap();
        let organization = world.store.organization(bootstrapped.organization);
        assert!(organization.archive_project(world.project.id()).await.unwrap());
        let left = server.runs_of_the_archived(10).await.unwrap();
        let archived = |run| Archived { run, project: world.project.id(), with: ArchivedWith::Project };
        assert_eq!(left, [archived(first), archived(second)]);
        let late = world.project.start_run(&world.smith.seal, &world.run("late")).await;
        assert!(matches!(late, Err(StartError::SmithGone)), "{late:?}");
        assert!(world.finish(first, 1, 1).await.is_kept());
        assert_eq!(server.next_on_thread(NODE, world.smith.id, "t", None).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_project_with_as_many_runs_as_it_may_lets_the_next_ones_wait() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let start = async |thread_id: &str| {
            let run = NewRun { at_once: Some(2), ..world.run(thread_id) };
            let started = world.project.start_run(&world.smith.seal, &run).await.unwrap();
            (run.id, started)
        };
        let (a, started) = start("a").await;
        assert_eq!(started, Started::Running);
        let (_, started) = start("b").await;
        assert_eq!(started, Started::Running);
        let (c, started) = start("c").await;
        assert_eq!(started, Started::Queued);
        // It waits for its thread, not for its project.
        let (_, started) = start("b").await;
        assert_eq!(started, Started::Queued);
        let (d, started) = start("d").await;
        assert_eq!(started, Started::Queued);
        assert_eq!(world.record(c).await.next_seq, 0, "a queued run begins when its turn comes");
        let next = async || server.next_of_project(world.project.id(), 2).await.unwrap();
        let take = async |thread| server.next_on_thread(NODE, world.smith.id, thread, Some(2)).await.unwrap();
        assert_eq!(next().await, None);
        assert_eq!(take("c").await, None);
        assert!(server.stalled_projects(2, 10).await.unwrap().is_empty());

        assert!(world.finish(a, 1, 1).await.is_kept());
        assert_eq!(next().await, Some(world.waiting("c")), "the oldest that does not wait for its thread");
        assert_eq!(server.stalled_projects(2, 10).await.unwrap(), [world.project.id()]);
        let (late, started) = start("late").await;
        assert_eq!(started, Started::Queued, "there is room, and somebody waits for it already");
        let taken = take("c").await.unwrap();
        assert_eq!(taken.run, c);
        assert_eq!((next().await, take("d").await), (None, None));
        assert!(world.finish(c, taken.fence, 0).await.is_kept());
        let taken = take("d").await.unwrap();
        assert_eq!(taken.run, d);
        assert!(world.finish(d, taken.fence, 0).await.is_kept());
        assert_eq!(next().await, Some(world.waiting("late")));
        assert_eq!(take("late").await.map(|claimed| claimed.run), Some(late));
    })
    .await;
}

#[tokio::test]
async fn a_run_that_waits_for_its_project_takes_no_place_of_those_that_wait_on_its_thread() {
    both(async |location| {
        let world = world(open(location).await).await;
        let start = async |thread_id: &str| {
            let run = NewRun { at_once: Some(1), waiting: 1, ..world.run(thread_id) };
            world.project.start_run(&world.smith.seal, &run).await
        };
        assert!(matches!(start("a").await, Ok(Started::Running)));
        assert!(matches!(start("b").await, Ok(Started::Queued)), "its turn comes with the project's");
        assert!(matches!(start("b").await, Ok(Started::Queued)), "one may wait behind it");
        assert!(matches!(start("b").await, Err(StartError::Full)));
    })
    .await;
}

#[tokio::test]
async fn the_next_run_of_a_project_is_found_among_all_that_have_ended() {
    both(async |location| {
        let world = world(open(location).await).await;
        let (run, _) = world.start("t").await;
        assert!(world.finish(run, 1, 1).await.is_kept());
        let (explain, column, numbers, id) = match world.store.db().dialect() {
            Dialect::Sqlite => (
                "explain query plan",
                3,
                "with recursive numbers (number) as (select 2 union all select number + 1 from numbers where number < 5000)",
                "unhex(printf('%032x', number))",
            ),
            Dialect::Postgres => (
                "explain",
                0,
                "with numbers (number) as (select generate_series(2, 5000))",
                "decode(lpad(to_hex(number), 32, '0'), 'hex')",
            ),
        };
        let copies = format!(
            "{numbers} insert into runs (id, project_id, smith_id, agent_id, thread_id, status, channel, model, fence, crashes, \
             next_seq, actor, created_at, updated_at, turn) \
             select {id}, project_id, smith_id, agent_id, thread_id, status, channel, model, fence, crashes, \
             next_seq, actor, created_at, updated_at, number from runs cross join numbers"
        );
        world.store.db().script(&copies).await.unwrap();
        world.store.db().script("analyze").await.unwrap();
        let values = params![world.project.id(), 2_u64];
        let sql = format!("{explain} {}", next_of_project());
        let rows = world.store.db().read(&sql, values).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(column).unwrap()).collect();
        let plan = plan.join("\n");
        // Either holds no run that has ended, or finds those that wait.
        let indexes = ["runs_queued", "runs_by_project_and_status"];
        assert!(indexes.iter().any(|index| plan.contains(index)), "{plan}");
    })
    .await;
}

#[tokio::test]
async fn the_runs_of_another_project_count_for_nothing() {
    both(async |location| {
        let world = world(open(location).await).await;
        let server = world.store.server();
        let bootstrapped = server.bootstrap().await.unwrap();
        let organization = world.store.organization(bootstrapped.organization);
        let other = organization.create_project("other", &Map::new(), None).await.unwrap();
        let project = world.store.project(other.id);
        let smith = project.ensure_smith(&NewSmith::default(), None).await.unwrap().smith;
        let other = World { store: world.store.clone(), project, smith };
        for (world, expected) in
            [(&world, Started::Running), (&other, Started::Running), (&other, Started::Queued)]
        {
            let run = NewRun { at_once: Some(1), ..world.run(&format!("{expected:?}")) };
            assert_eq!(world.project.start_run(&world.smith.seal, &run).await.unwrap(), expected);
        }
    })
    .await;
}
