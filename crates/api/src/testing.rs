//! An application on a fresh database of each kind, called without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use egress::{Egress, Policy};
use engine::Engine;
use engine::keys::{HostedKeys, Keys};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use models::Models;
use models::scripted::Scripts;
use serde_json::Value;
use store::bootstrap::Bootstrap;
use store::tokens::NewToken;
use store::{DbOptions, Location, Store};
use testkit::contract::{Contract, Observed};
use tools::{HostedTools, Mcp, Tools, Webhooks};
use tower::ServiceExt as _;
use vault::{Ids, MasterKey, SystemClock};

use crate::{API_VERSION, App, Options};

/// A running application and what is in it from the start.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) first: Bootstrap,
    pub(crate) router: Router,
    extra_routes: &'static [&'static str],
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, null if it is no JSON.
    pub(crate) body: Value,
    pub(crate) text: String,
}

fn tools(ids: &Ids) -> Tools {
    let (egress, options) = (Egress::new().unwrap(), tools::Options::default());
    Tools {
        hosted: HostedTools::new(&egress, Policy::LocalToo, &options, ids.clone()).unwrap(),
        webhooks: Webhooks::new(&egress, Policy::LocalToo, &options, ids.clone()).unwrap(),
        mcp: Mcp::new(&egress, Policy::LocalToo, tools::mcp::Options::default()).unwrap(),
    }
}

/// Runs a test body with an application on each database.
pub(crate) async fn both(body: impl AsyncFn(TestApp)) {
    both_with(Options::default(), crate::router, body).await;
}

/// Runs a test body with an application of these options and routes on each database.
pub(crate) async fn both_with(options: Options, router: impl Fn(App) -> Router, body: impl AsyncFn(TestApp)) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Location::Sqlite(directory.path().join("ingram.db"));
    body(TestApp::start(sqlite, options.clone(), &router).await).await;
    let database = testkit::postgres::database().await;
    let postgres = Location::Postgres(database.url());
    body(TestApp::start(postgres, options, &router).await).await;
}

impl TestApp {
    async fn start(location: Location, options: Options, router: impl Fn(App) -> Router) -> Self {
        let db = DbOptions {
            location,
            connections: 2,
            wait: Duration::from_secs(10),
            queue: 1_000,
            cache_bytes: 1_000_000,
            statement_timeout: Duration::from_secs(30),
        };
        let store =
            Store::open(&db, MasterKey::from_bytes([7; 32]), Ids::new(Arc::new(SystemClock))).await.unwrap();
        let first = store.server().bootstrap().await.unwrap();
        let models = Models::new(
            models::Options::default(),
            &Egress::new().unwrap(),
            Policy::LocalToo,
            Scripts::bundled(),
            Arc::new(|| 0.5),
        );
        let keys = Keys::new(HostedKeys::new(), None);
        let tools = tools(store.ids());
        let limits = engine::Options::default();
        let engine = Engine::new(store, keys, models.unwrap(), tools, limits).await.unwrap();
        let app = App::new(engine, options, PrometheusBuilder::new().build_recorder().handle());
        Self { router: router(app.clone()), app, first, extra_routes: &[] }
    }

    /// Names routes beyond the contract that may answer: exact paths, or beginnings that end with `*`.
    pub(crate) fn with_extra_routes(self, extra_routes: &'static [&'static str]) -> Self {
        Self { extra_routes, ..self }
    }

    pub(crate) async fn admin_token(&self) -> String {
        let project = self.app.store.project(self.first.project);
        project.mint_admin_token(&NewToken::default(), None).await.unwrap().unwrap().text
    }

    pub(crate) async fn organization_key(&self) -> String {
        let organization = self.app.store.organization(self.first.organization);
        organization.mint_key(&NewToken::default(), None).await.unwrap().unwrap().text
    }

    /// Sends a request as it is, and holds the answer against the contract.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let observed = Observed {
            method: method.as_str(),
            path: &path,
            status: parts.status.as_u16(),
            headers: &parts.headers,
            body: &bytes,
        };
        let violations = Contract::load().check(&observed, self.extra_routes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(violations, Ok(()), "{method} {path}: {text}");
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Reply { status: parts.status, headers: parts.headers, body, text }
    }

    /// Sends a request with a token, the version of the API, and a JSON body if it is not null.
    pub(crate) async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> Reply {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request(method.as_str(), path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(body).unwrap()).await
    }

    /// Sends a request that is to be refused, and returns status, code and param.
    pub(crate) async fn refused(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, String, String) {
        let reply = self.call(token, method, path, body).await;
        assert_ne!(reply.status, StatusCode::OK, "{}", reply.text);
        let param = reply.body["error"]["param"].as_str().unwrap_or_default().to_owned();
        (reply.status.as_u16(), reply.code().to_owned(), param)
    }
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Begins a request with the version of the API.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("ic-api-version", API_VERSION)
}
