//! Tools that a request brings along: functions of its caller, and MCP servers for this run.

use std::sync::Arc;

use domain::frames::Warning;
use domain::overlay::Overlay;
use domain::tools::RequestServer;
use egress::Url;
use futures::StreamExt as _;
use futures::stream;
use secrecy::SecretString;
use tools::Tools;

use super::gather::{Gathered, SIDE_BY_SIDE, warning};
use super::{Offer, Source, Toolbox};

/// Gathers what a request brings along. Servers are asked by each driver: nothing of them is kept.
pub(super) async fn gather(tools: &Tools, overlay: &Overlay) -> Gathered {
    let mut offers = Vec::new();
    let mut warnings = Vec::new();
    let asked = overlay.servers.clone().into_iter().map(|server| ask(tools, server));
    let mut asked = stream::iter(asked).buffered(SIDE_BY_SIDE);
    while let Some(found) = asked.next().await {
        match found {
            Ok(found) => offers.extend(found),
            Err(missing) => warnings.push(missing),
        }
    }
    Gathered { toolbox: Toolbox::of_request(&overlay.tools, offers), warnings }
}

async fn ask(tools: &Tools, server: RequestServer) -> Result<Vec<Offer>, Warning> {
    let label = &server.label;
    let missing = |why: String| {
        let message = format!("The MCP server `{label}` could not be asked for its tools: {why}");
        warning("tool_source_unavailable", message)
    };
    // Both were checked with the request.
    let unusable = || missing("its address or one of its headers cannot be used.".to_owned());
    let url = Url::parse(&server.url).map_err(|_| unusable())?;
    let headers = server
        .headers
        .iter()
        .map(|(name, value)| Ok((name.parse().map_err(|_| unusable())?, SecretString::from(value.clone()))));
    let target = tools::mcp::Server {
        url,
        bearer: None,
        headers: headers.collect::<Result<_, Warning>>()?,
        protocol: None,
    };
    let manifest = tools.mcp.discover(&target).await.map_err(|failure| missing(failure.to_string()))?;
    let target = Arc::new(tools::mcp::Server { protocol: Some(manifest.protocol), ..target });
    let enabled = manifest.tools.into_iter().filter(|tool| server.is_enabled(tool));
    let offers = enabled.map(|tool| Offer {
        name: String::new(),
        gate: server.gate(&tool),
        asks: RequestServer::asks(),
        description: tool.description.unwrap_or_default(),
        schema: tool.input_schema,
        is_strict: false,
        annotations: tool.annotations,
        source: Source::Request { label: label.clone(), tool: tool.name, server: Arc::clone(&target) },
    });
    Ok(offers.collect())
}
