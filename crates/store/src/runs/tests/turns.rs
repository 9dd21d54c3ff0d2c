//! The order of a thread's runs, whatever the clocks say.

use super::*;
use crate::Location;
use crate::testing::{Driven, open_at};

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
            let next = server.next_on_thread(NODE, behind.smith.id, "t").await.unwrap().unwrap();
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
