//! What tests of several tools need.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use domain::ids::{Id as _, RunId, SmithId};
use domain::{Clock, Timestamp};
use serde_json::Value;
use vault::Ids;

use crate::{Call, Person};

/// A clock that stands still at 1 May 2026, 12:00 UTC.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_777_636_800)
    }
}

pub(crate) fn ids() -> Ids {
    Ids::new(Arc::new(Noon))
}

/// Makes a call with these arguments; what is no object counts as none.
pub(crate) fn call(tool: &str, args: Value) -> Call {
    let at = Timestamp::from_seconds(1_777_636_800);
    let (run, smith) = (RunId::at(at, [1; 10]), SmithId::at(at, [2; 10]));
    Call {
        tool: tool.to_owned(),
        args: args.as_object().cloned().unwrap_or_default(),
        call_id: "call_1".to_owned(),
        idempotency_key: format!("{run}::call_1"),
        run,
        smith,
        thread_id: "main".to_owned(),
        resumption: None,
        person: Person::default(),
    }
}

/// Serves the routes on loopback as long as the test runs.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the server lives as long as the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
