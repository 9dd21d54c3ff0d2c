use std::sync::Arc;

use vault::{Ids, MasterKey, SystemClock};

use crate::testing::{both, open, options};
use crate::{Error, Store};

#[tokio::test]
async fn replicas_that_start_together_agree_on_what_is_there() {
    both(async |location| {
        let replicas = [open(location.clone()).await, open(location).await];
        let starts = replicas.iter().map(|store| async { store.server().bootstrap().await.unwrap() });
        let starts = futures::future::join_all(starts).await;
        assert_eq!(starts[0], starts[1]);
        assert_eq!(replicas[0].server().bootstrap().await.unwrap(), starts[0]);

        let [store, _] = &replicas;
        let projects = store.organization(starts[0].organization).projects(None, None, 10).await.unwrap();
        assert_eq!(projects.iter().map(|project| project.id).collect::<Vec<_>>(), [starts[0].project]);
        assert_eq!(projects[0].name, super::FIRST_PROJECT);
        let agent = store.project(starts[0].project).default_agent().await.unwrap();
        assert_eq!(agent.live.active_version, Some(1));
        assert_eq!(agent.slug, None);
    })
    .await;
}

#[tokio::test]
async fn another_master_key_is_refused_and_both_are_named() {
    both(async |location| {
        open(location.clone()).await.server().bootstrap().await.unwrap();
        let other = MasterKey::from_bytes([8; 32]);
        let names = [MasterKey::from_bytes([7; 32]).fingerprint(), other.fingerprint()];
        let store = Store::open(&options(location), other, Ids::new(Arc::new(SystemClock))).await.unwrap();
        let refusal = store.server().bootstrap().await.unwrap_err();
        assert!(matches!(refusal, Error::OtherMasterKey { .. }));
        let message = refusal.to_string();
        assert!(names.iter().all(|name| message.contains(name)), "{message}");
        assert!(message.contains("INGRAM_MASTER_KEY"));
    })
    .await;
}
