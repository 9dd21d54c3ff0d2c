//! Gathering: the tools that a run's configuration names, from wherever they come.

use std::sync::Arc;
use std::time::Duration;

use domain::Timestamp;
use domain::frames::Warning;
use domain::ids::McpServerId;
use domain::overlay::Overlay;
use domain::response_format::ResponseFormat;
use domain::smiths::Config;
use domain::tools::{ApprovalRule, AuthKind, Execution, Gate, Manifest, ManifestTool, McpServer};
use egress::Url;
use futures::StreamExt as _;
use futures::stream;
use moka::sync::Cache;
use secrecy::SecretString;
use store::project_tools::ToolRecord;
use store::runs::RunRequest;
use store::{ProjectStore, Readable};
use tools::Tools;
use vault::SigningSecret;

use super::{Offer, Source, Toolbox, brought};
use crate::{Inner, Options};

/// How old a list of tools may be before its server is asked again, in microseconds: an hour.
const FRESH: u64 = 60 * 60 * 1_000_000;
/// How long a server that could not be asked is left alone.
const LEAVE_ALONE: Duration = Duration::from_secs(60);
/// How many servers are remembered to be left alone.
const REMEMBERED: u64 = 10_000;
/// How many servers are asked side by side.
pub(super) const SIDE_BY_SIDE: usize = 8;

/// The tools of a run, and what it has to do without.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) toolbox: Toolbox,
    pub(crate) warnings: Vec<Warning>,
}

/// What of a request decides about the tools of its run.
#[derive(Clone, Copy)]
pub(crate) struct Requested<'a> {
    pub(crate) overlay: &'a Overlay,
    pub(crate) response_format: Option<&'a ResponseFormat>,
}

impl<'a> Requested<'a> {
    pub(crate) fn of(request: &'a RunRequest) -> Self {
        Self { overlay: &request.overlay, response_format: request.response_format.as_ref() }
    }
}

/// Remembers which servers could not be asked a moment ago, so that not every run waits for them.
pub(crate) struct Retry(Cache<(McpServerId, u64), ()>);

impl Retry {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(LEAVE_ALONE).build())
    }
}

impl Gathered {
    /// Gathers the tools of a run: those that its request brings along, or else those of its configuration.
    pub(crate) async fn of_run(
        engine: &Inner,
        project: &ProjectStore,
        config: &Config,
        request: Requested<'_>,
    ) -> Result<Self, store::Error> {
        if request.overlay.brings_tools() {
            return Ok(brought::gather(&engine.tools, request.overlay).await.within(&engine.options));
        }
        if request.response_format.is_some() {
            // A structured answer is one stateless shot.
            return Ok(Self::default());
        }
        let now = engine.store.ids().now();
        let gathered = Self::new(&engine.tools, &engine.retry, project, config, now).await?;
        Ok(gathered.within(&engine.options))
    }

    /// Gathers what a configuration names.
    async fn new(
        tools: &Tools,
        retry: &Retry,
        project: &ProjectStore,
        config: &Config,
        now: Timestamp,
    ) -> Result<Self, store::Error> {
        let mut offers = Vec::new();
        let mut warnings = Vec::new();
        for bundle in &config.enabled_hosted_tools {
            match tools.hosted.functions(bundle) {
                Some(functions) => offers.extend(functions.into_iter().map(|function| Offer {
                    name: String::new(),
                    description: function.description.to_owned(),
                    schema: function.input_schema,
                    is_strict: false,
                    annotations: function.annotations,
                    gate: None,
                    asks: Gate::default(),
                    source: Source::Hosted { function: function.name.to_owned() },
                })),
                None => warnings.push(warning(
                    "tool_unavailable",
                    format!("The hosted tool `{bundle}` is not available on this server."),
                )),
            }
        }
        let wanted = config.tools.as_deref().unwrap_or_default();
        if !wanted.is_empty() {
            let Readable { found, damaged } = project.project_tools_named(wanted).await?;
            let is_there = |name: &String| {
                damaged.contains(name) || found.iter().any(|(found, _)| found.tool.name == *name)
            };
            warnings.extend(damaged.iter().map(|name| unreadable("tool", name)));
            for name in wanted.iter().filter(|name| !is_there(name)) {
                let message = format!("The project has no tool `{name}`.");
                warnings.push(warning("tool_source_unavailable", message));
            }
            for (record, secret) in found {
                let name = record.tool.name.clone();
                match project_tool(record, secret) {
                    Some(offer) => offers.push(offer),
                    None => warnings.push(warning(
                        "tool_source_unavailable",
                        format!("The tool `{name}` has no usable address or secret. Register it again."),
                    )),
                }
            }
        }
        if config.mcp_servers.as_ref().is_none_or(|names| !names.is_empty()) {
            let names = config.mcp_servers.as_deref();
            let Readable { found, damaged } = project.mcp_servers_for(names).await?;
            warnings.extend(damaged.iter().map(|name| unreadable("MCP server", name)));
            for name in names.unwrap_or_default() {
                if !damaged.contains(name) && !found.iter().any(|(server, _)| server.name == *name) {
                    let message = format!("The project has no MCP server `{name}`.");
                    warnings.push(warning("tool_source_unavailable", message));
                }
            }
            let asked =
                found.into_iter().map(|(server, secret)| ask(tools, retry, project, server, secret, now));
            let mut asked = stream::iter(asked).buffered(SIDE_BY_SIDE);
            while let Some((found, missing)) = asked.next().await {
                offers.extend(found);
                warnings.extend(missing);
            }
        }
        Ok(Self { toolbox: Toolbox::new(offers), warnings })
    }
}

impl Gathered {
    /// Leaves out the tools that are more than one call of a model may bring along: from the first on that does not fit.
    pub(super) fn within(mut self, options: &Options) -> Self {
        let offers = &mut self.toolbox.offers;
        let mut bytes = 0_usize;
        let fits = |offer: &&Offer| {
            let size = [offer.name.len(), offer.description.len(), offer.schema.to_string().len()];
            bytes = size.into_iter().fold(bytes, usize::saturating_add);
            bytes <= options.max_tools_bytes
        };
        let kept = offers.iter().take(options.max_tools).take_while(fits).count();
        let left_out = offers.len().saturating_sub(kept);
        if left_out > 0 {
            offers.truncate(kept);
            self.warnings.push(warning(
                "tool_unavailable",
                format!(
                    "{left_out} of {} tools are not offered to the model: one call may bring along {} tools with {} bytes. Enable \
                     fewer.",
                    kept.saturating_add(left_out),
                    options.max_tools,
                    options.max_tools_bytes
                ),
            ));
        }
        self
    }
}

pub(super) fn warning(code: &str, message: String) -> Warning {
    Warning { code: code.to_owned(), message }
}

fn unreadable(what: &str, name: &str) -> Warning {
    let message =
        format!("What is stored of the {what} `{name}` cannot be read. Delete it and register it again.");
    warning("tool_source_unavailable", message)
}

fn project_tool(record: ToolRecord, secret: Option<String>) -> Option<Offer> {
    let ToolRecord { id, tool } = record;
    let gate = tool.gate();
    let asks = Gate { on_reject: tool.on_reject, ..Gate::default() };
    let source = match tool.execution {
        Execution::External => Source::External { id, tool: tool.name },
        Execution::Webhook => Source::Webhook {
            id,
            tool: tool.name,
            target: Arc::new(tools::webhook::Target {
                url: tool.url?,
                secret: SigningSecret::parse(&secret?).ok()?,
                timeout: Duration::from_secs(u64::from(tool.timeout_seconds)),
                is_repeatable: tool.annotations.is_repeatable(),
            }),
        },
    };
    Some(Offer {
        name: String::new(),
        description: tool.description,
        schema: tool.input_schema,
        is_strict: false,
        annotations: tool.annotations,
        gate,
        asks,
        source,
    })
}

/// Returns what a server offers, asking it again where its list is old. A list that is there is kept whatever comes of that.
async fn ask(
    tools: &Tools,
    retry: &Retry,
    project: &ProjectStore,
    server: McpServer,
    secret: Option<String>,
    now: Timestamp,
) -> (Vec<Offer>, Option<Warning>) {
    let name = &server.name;
    if server.auth.kind == AuthKind::Oauth {
        let message = format!("The MCP server `{name}` needs a connection of the smith, and there is none.");
        return (Vec::new(), Some(warning("connection_required", message)));
    }
    let Ok(url) = Url::parse(&server.url) else {
        let message = format!("The MCP server `{name}` has no usable address. Register it again.");
        return (Vec::new(), Some(warning("tool_source_unavailable", message)));
    };
    let protocol = server.manifest.as_ref().map(|manifest| manifest.protocol.clone());
    let target = Arc::new(tools::mcp::Server {
        url,
        bearer: secret.map(SecretString::from),
        headers: Vec::new(),
        protocol,
    });
    let mut manifest = server.manifest.clone();
    let mut missing = None;
    if !is_fresh(&server, now) {
        match fresh(tools, retry, project, &server, &target, now).await {
            Ok(found) => manifest = Some(Arc::new(found)),
            Err(why) => {
                let message = format!("The MCP server `{name}` could not be asked for its tools: {why}");
                missing = Some(warning("tool_source_unavailable", message));
            }
        }
    }
    let tools: &[ManifestTool] = manifest.as_ref().map_or(&[], |manifest| &manifest.tools);
    let enabled = tools.iter().filter(|tool| server.is_enabled(&tool.name));
    let offers = enabled.map(|tool| Offer {
        name: String::new(),
        gate: server.gate(tool),
        asks: asks(&server, &tool.name),
        description: tool.description.clone().unwrap_or_default(),
        schema: tool.input_schema.clone(),
        is_strict: false,
        annotations: tool.annotations,
        source: Source::Mcp {
            id: server.id,
            registration: server.name.clone(),
            tool: tool.name.clone(),
            server: Arc::clone(&target),
        },
    });
    (offers.collect(), missing)
}

/// Returns how long a human may take over a question of a tool, and what a refusal means: the first rule that names the tool.
fn asks(server: &McpServer, tool: &str) -> Gate {
    let rule = server.approval_policy.iter().find(|rule| rule.matches(tool));
    rule.map(ApprovalRule::gate).unwrap_or_default()
}

/// Tells whether a server's list need not be asked for again: for an hour, or for as long as the server said, if that is less.
fn is_fresh(server: &McpServer, now: Timestamp) -> bool {
    let Some((manifest, refreshed_at)) = server.manifest.as_ref().zip(server.refreshed_at) else {
        return false;
    };
    let ttl = manifest.ttl_ms.map_or(FRESH, |ttl| ttl.saturating_mul(1_000).min(FRESH));
    now.micros_since(refreshed_at) < ttl
}

async fn fresh(
    tools: &Tools,
    retry: &Retry,
    project: &ProjectStore,
    server: &McpServer,
    target: &tools::mcp::Server,
    now: Timestamp,
) -> Result<Manifest, String> {
    let key = (server.id, server.version);
    if retry.0.contains_key(&key) {
        return Err("it failed a moment ago and is left alone for a minute.".to_owned());
    }
    let discovered = tools.mcp.discover(target).await.map_err(|failure| failure.to_string());
    if discovered.is_err() {
        retry.0.insert(key, ());
    }
    // Whoever reads the registration sees the same; a run does not depend on it.
    if let Err(error) = project.keep_manifest(&server.name, server.version, discovered.clone(), now).await {
        tracing::warn!(error = %error, "What an MCP server offers could not be stored.");
    }
    discovered
}
