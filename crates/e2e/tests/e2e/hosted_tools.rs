//! The catalogue of tools that run inside the server.

use e2e::{Engine, Server, Setup, both};
use insta::assert_json_snapshot;
use serde_json::json;

use crate::support::entries;

const PATH: &str = "/v1/tenant/hosted_tools";

async fn names(server: &Server) -> Vec<String> {
    let listed = server.admin().get(PATH).await.expect(200);
    entries(&listed).iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_server_lists_what_it_can_do_and_a_configuration_may_name_it() {
    both(async |server| {
        let listed = server.admin().get(PATH).await.expect(200);
        assert_json_snapshot!("hosted_tools", listed);
        let names = names(&server).await;
        let smith = server.smith(json!({"enabled_hosted_tools": names})).await;
        let shown = server.admin().get(&smith.path("")).await.expect(200);
        assert_eq!(shown["enabled_hosted_tools"], json!(names));
    })
    .await;
}

#[tokio::test]
async fn a_search_is_offered_once_its_provider_is_set_up_completely() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let brave = || Setup::on(engine).with_variable("INGRAM_TOOLS_SEARCH_PROVIDER", "brave");
        let server = brave().start().await;
        assert!(!names(&server).await.contains(&"web_search".to_owned()));
        assert!(server.log().contains("`web_search` is not offered"), "{}", server.log());

        let canary = "brave-canary-51";
        let server = brave().with_variable("BRAVE_API_KEY", canary).start().await;
        assert_eq!(names(&server).await[0], "web_search");
        assert!(!server.log().contains(canary));

        let configuration = "[tools.search]\nprovider = \"searxng\"\nbase_url = \"http://127.0.0.1:8888\"\n";
        let server = Setup::on(engine).with_configuration(configuration).start().await;
        assert_eq!(names(&server).await[0], "web_search");
    }
}
