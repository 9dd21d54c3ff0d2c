use futures::StreamExt as _;
use serde_json::json;

use super::*;
use crate::agents::{Attach, AttachError, AttachedSmith, AttachedSmiths, MOST_ATTACHED};
use crate::testing::{both, open};
use domain::ids::SmithId;

fn ids(attached: &AttachedSmiths) -> Vec<SmithId> {
    attached.smiths.iter().map(|attached| attached.smith).collect()
}

#[tokio::test]
async fn smiths_move_with_what_they_override_and_without_their_pins() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let (from, to) = (published(&project, "from").await, published(&project, "to").await);
        let mut new = on(from, Some("ana"));
        new.pin = Some(1);
        new.overrides.apply(json!({"model": "gpt-5"}).as_object().unwrap()).unwrap();
        let ana = project.ensure_smith(&new, None).await.unwrap().smith;
        let (bo, stays) = (smith(&project, from, Some("bo")).await, smith(&project, to, None).await);

        let which = Attach::Smiths(vec![bo.id, ana.id, stays.id, bo.id]);
        let attached = project.attach_smiths(to, &which, None).await.unwrap();
        let expected = [
            AttachedSmith { smith: ana.id, override_keys: vec!["model".into()] },
            AttachedSmith { smith: bo.id, override_keys: vec![] },
        ];
        assert_eq!((attached.smiths.as_slice(), attached.has_more), (&expected[..], false));
        let moved = project.smith(ana.id).await.unwrap().unwrap();
        assert_eq!((moved.agent, moved.pin, moved.agent_version), (to, None, Some(1)));
        assert_eq!(moved.effective().model.as_deref(), Some("gpt-5"));
        assert_eq!(moved.effective().instructions.as_deref(), Some("to"));
        assert_eq!((count(&project, from).await, count(&project, to).await), (0, 3));
        counts_are_true(&store).await;
        let again = project.attach_smiths(to, &which, None).await.unwrap();
        assert_eq!(again, AttachedSmiths::default());
    })
    .await;
}

#[tokio::test]
async fn a_call_that_cannot_move_all_moves_none_and_says_why() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let (from, other, to) = (
            published(&project, "from").await,
            published(&project, "other").await,
            published(&project, "to").await,
        );
        let ana = smith(&project, from, Some("ana")).await.id;
        let twin = smith(&project, other, Some("ana")).await.id;
        let bo = smith(&project, from, Some("bo")).await.id;
        smith(&project, to, Some("bo")).await;
        let attach = async |to: AgentId, smiths: &[SmithId]| {
            project.attach_smiths(to, &Attach::Smiths(smiths.to_vec()), None).await.unwrap_err()
        };
        assert!(matches!(attach(to, &[ana, bo]).await, AttachError::PairTaken(smith) if smith == bo));
        assert!(matches!(attach(to, &[ana, twin]).await, AttachError::PairTaken(smith) if smith == twin));
        let nobody = store.ids().mint();
        assert!(matches!(attach(to, &[ana, nobody]).await, AttachError::NoSmith(smith) if smith == nobody));
        let draft = project.create_agent(&named("draft"), None).await.unwrap().agent.id;
        assert!(matches!(attach(draft, &[ana]).await, AttachError::Unpublished));
        assert!(matches!(attach(store.ids().mint(), &[ana]).await, AttachError::NoAgent));
        assert!(matches!(
            project.attach_smiths(to, &Attach::All, None).await,
            Err(AttachError::PairTaken(_))
        ));
        assert_eq!((count(&project, from).await, count(&project, to).await), (2, 1));

        let stranger = store.project(store.ids().mint());
        let refused = stranger.attach_smiths(to, &Attach::Smiths(vec![ana]), None).await;
        assert!(matches!(refused, Err(AttachError::NoAgent)));
        project.archive_smith(bo).await.unwrap();
        assert!(matches!(attach(to, &[bo]).await, AttachError::NoSmith(_)));
        counts_are_true(&store).await;
    })
    .await;
}

#[tokio::test]
async fn all_smiths_move_in_calls_of_a_bounded_size() {
    both(async |location| {
        let store = open(location).await;
        let project = project(&store).await;
        let agents = [published(&project, "a").await, published(&project, "b").await];
        let to = published(&project, "to").await;
        // Copies of real smiths cannot be opened, so these are made one by one, a few beyond the bound.
        let wanted = MOST_ATTACHED + 5;
        let made = futures::stream::iter(0..wanted).map(|number| {
            let (project, new) = (project.clone(), on(agents[number % 2], None));
            async move { project.ensure_smith(&new, None).await.unwrap().smith.id }
        });
        let mut made: Vec<SmithId> = made.buffer_unordered(64).collect().await;
        made.sort_unstable();
        let first = project.attach_smiths(to, &Attach::All, None).await.unwrap();
        assert_eq!((first.smiths.len(), first.has_more), (MOST_ATTACHED, true));
        let second = project.attach_smiths(to, &Attach::All, None).await.unwrap();
        assert_eq!((second.smiths.len(), second.has_more), (5, false));
        let mut moved = [ids(&first), ids(&second)].concat();
        moved.sort_unstable();
        assert_eq!(moved, made);
        assert_eq!(project.attach_smiths(to, &Attach::All, None).await.unwrap(), AttachedSmiths::default());
        assert_eq!(count(&project, to).await, wanted as u64);
        counts_are_true(&store).await;
    })
    .await;
}

#[tokio::test]
async fn moves_in_opposite_directions_lose_nobody() {
    both(async |location| {
        let stores = [open(location.clone()).await, open(location).await];
        let projects = [project(&stores[0]).await, project(&stores[1]).await];
        let agents = [published(&projects[0], "a").await, published(&projects[0], "b").await];
        let mut smiths = Vec::new();
        for number in 0..40 {
            smiths.push(smith(&projects[0], agents[number % 2], Some(&format!("user_{number}"))).await.id);
        }
        for _ in 0..5 {
            let which = Attach::Smiths(smiths.clone());
            let moves =
                (0..4).map(|number| projects[number % 2].attach_smiths(agents[number % 2], &which, None));
            let archive = async {
                let gone = smiths.last().copied().unwrap();
                projects[0].archive_smith(gone).await.unwrap();
            };
            let (moves, ()) = futures::join!(futures::future::join_all(moves), archive);
            for moved in moves {
                // One smith is archived meanwhile.
                assert!(matches!(moved, Ok(_) | Err(AttachError::NoSmith(_))), "{moved:?}");
            }
            smiths.pop();
            counts_are_true(&stores[0]).await;
        }
        let all = count(&projects[0], agents[0]).await + count(&projects[0], agents[1]).await;
        assert_eq!(all, smiths.len() as u64);
    })
    .await;
}
