use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::get;
use reqwest::dns::{Addrs, Name, Resolving};
use tokio::net::TcpListener;

use super::*;
use crate::AddressClass;

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(5), idle: Some(Duration::from_secs(5)), total: None };

/// Answers each question with the next of its answers, and the last one from then on.
pub(crate) struct Names {
    answers: Vec<SocketAddr>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn new(answers: &[&str]) -> Arc<Self> {
        let answers = answers.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve(&self, _name: Name) -> Resolving {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[asked.min(self.answers.len() - 1)];
        Box::pin(async move { Ok(Box::new(std::iter::once(answer)) as Addrs) })
    }
}

/// Starts a server on loopback that tells who called, and sends whoever asks for `/away` to itself.
async fn server() -> SocketAddr {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route(
            "/",
            get(async |headers: HeaderMap| {
                let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
                names.sort();
                format!("{} {}", headers["user-agent"].to_str().unwrap(), names.join(","))
            }),
        )
        .route("/away", get(async move || Redirect::temporary(&format!("http://{address}/"))))
        // Closed after each answer, so that the next request has to connect again.
        .route("/close", get(async || [("connection", "close")]));
    answer(listener, router);
    address
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn answer(listener: TcpListener, router: Router) {
    #[expect(clippy::disallowed_methods, reason = "the server lives as long as the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
}

/// Starts a server with these routes on loopback.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    answer(listener, router);
    address
}

fn url(host: &str, port: u16, path: &str) -> Url {
    Url::parse(&format!("http://{host}:{port}{path}")).unwrap()
}

/// Names that have a public address and a private one.
struct Mixed;

impl Resolve for Mixed {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses =
            ["93.184.216.34:0", "10.0.0.1:0"].map(|address| address.parse::<SocketAddr>().unwrap());
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

/// A name server that says nothing.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _name: Name) -> Resolving {
        Box::pin(std::future::pending())
    }
}

pub(crate) fn client(policy: Policy, names: Arc<dyn Resolve>) -> Client {
    Egress::with_resolver(names).unwrap().client(policy, TIMEOUTS).unwrap()
}

/// Gets the URL; a refusal comes back as its class, from wherever it was made.
async fn get_url(client: &Client, url: &Url) -> Result<reqwest::Response, AddressClass> {
    let refused = |refusal: &Refusal| match refusal {
        Refusal::Address { class, .. } => *class,
        Refusal::Scheme { .. } => panic!("{refusal}"),
    };
    let request = client.request(Method::GET, url).map_err(|refusal| refused(&refusal))?;
    request.send().await.map_err(|error| match Refusal::behind(&error) {
        Some(refusal) => refused(refusal),
        None => panic!("{error:?}"),
    })
}

#[tokio::test]
async fn a_loopback_server_is_refused_under_public_and_reached_otherwise() {
    let address = server().await;
    for host in ["127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "name.test"] {
        let url = url(host, address.port(), "/");
        let public = client(Policy::Public, Names::new(&["127.0.0.1"]));
        assert_eq!(get_url(&public, &url).await.err(), Some(AddressClass::Loopback), "{host}");
        for policy in [Policy::LocalToo, Policy::Any] {
            let local = client(policy, Names::new(&["127.0.0.1"]));
            assert_eq!(get_url(&local, &url).await.unwrap().status(), StatusCode::OK, "{host}");
        }
    }
}

#[tokio::test]
async fn an_address_for_others_to_call_is_checked_where_its_name_leads_to_now() {
    let look_up = async |policy, host: &str, answer: &str| {
        client(policy, Names::new(&[answer])).look_up(&url(host, 443, "/a.png")).await
    };
    assert_eq!(look_up(Policy::Public, "files.test", "93.184.216.34").await, Ok(()));
    for (policy, host, answer) in [
        (Policy::Public, "files.test", "10.0.0.1"),
        (Policy::Public, "10.0.0.1", "93.184.216.34"),
        (Policy::LocalToo, "metadata.test", "169.254.169.254"),
    ] {
        let refused = look_up(policy, host, answer).await;
        assert!(matches!(refused, Err(LookUpError::Refused(Refusal::Address { .. }))), "{host}: {refused:?}");
    }
    assert_eq!(look_up(Policy::Any, "metadata.test", "169.254.169.254").await, Ok(()));
    // Whoever calls it may choose any of its addresses.
    let mixed = client(Policy::Public, Arc::new(Mixed));
    assert!(mixed.look_up(&url("mixed.test", 443, "/a.png")).await.is_err());
    // Whoever calls it finds out.
    let egress = Egress::new().unwrap().client(Policy::Public, TIMEOUTS).unwrap();
    assert_eq!(egress.look_up(&url("nobody.invalid", 443, "/")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_name_about_which_nothing_is_said_is_not_let_through() {
    let silent = client(Policy::Public, Arc::new(Silent));
    let looked_up = silent.look_up(&url("silent.test", 443, "/")).await;
    assert_eq!(looked_up, Err(LookUpError::TimedOut { host: "silent.test".to_owned() }));
}

#[tokio::test]
async fn the_name_of_this_machine_is_checked_as_the_system_resolves_it() {
    let address = server().await;
    let egress = Egress::new().unwrap();
    let url = url("localhost", address.port(), "/");
    let public = egress.client(Policy::Public, TIMEOUTS).unwrap();
    assert_eq!(get_url(&public, &url).await.err(), Some(AddressClass::Loopback));
    let local = egress.client(Policy::LocalToo, TIMEOUTS).unwrap();
    assert_eq!(get_url(&local, &url).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_again_for_each_connection() {
    let address = server().await;
    let names = Names::new(&["127.0.0.1", "169.254.169.254"]);
    let local = client(Policy::LocalToo, names.clone());
    let url = url("rebinding.test", address.port(), "/close");
    assert_eq!(get_url(&local, &url).await.unwrap().status(), StatusCode::OK);
    assert_eq!(get_url(&local, &url).await.err(), Some(AddressClass::LinkLocal));
    assert_eq!(names.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_name_is_resolved_once_for_a_connection_so_nothing_can_change_between_check_and_use() {
    let address = server().await;
    let names = Names::new(&["127.0.0.1", "10.0.0.1"]);
    let local = client(Policy::LocalToo, names.clone());
    get_url(&local, &url("once.test", address.port(), "/")).await.unwrap();
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_handed_back_and_not_followed() {
    let address = server().await;
    let local = client(Policy::LocalToo, Names::new(&["127.0.0.1"]));
    let response = get_url(&local, &url("127.0.0.1", address.port(), "/away")).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn a_request_tells_the_name_of_the_product_and_little_else() {
    let address = server().await;
    let local = client(Policy::LocalToo, Names::new(&["127.0.0.1"]));
    let response = get_url(&local, &url("127.0.0.1", address.port(), "/")).await.unwrap();
    let expected = format!("ingram/{} accept,host,user-agent", env!("CARGO_PKG_VERSION"));
    assert_eq!(response.text().await.unwrap(), expected);
}
