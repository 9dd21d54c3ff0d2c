//! What the body of a registration says, with a preset behind it where it names one.

use domain::tools::presets::{self, Preset};
use domain::tools::{ApprovalRule, AuthKind, ClientMode, McpAuth, is_name};
use domain::{Code, Problem};
use utoipa::ToSchema;

use super::render::ApprovalRuleOut;
use crate::app::App;
use crate::extract::Fields;
use crate::native::addresses;

const LONGEST_SECRET: usize = 4_096;
const MOST_ALLOWED: usize = 1_000;
const LONGEST_TOOL: usize = 255;

/// Where the server is and how it is called. A field that is null is as one that is left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
pub(super) struct McpServerIn {
    /// Needed unless `catalog` names a preset.
    url: Option<String>,
    /// The slug of a preset, whose values count where the body has none.
    catalog: Option<String>,
    auth: Option<McpAuthIn>,
    /// The tools that may be used. Left out: those of the preset, otherwise all.
    tool_allowlist: Option<Vec<String>>,
    /// Which tools need a human's consent. Left out: what the preset says, otherwise only tools that say themselves that they
    /// may destroy something.
    approval_policy: Option<Vec<ApprovalRuleOut>>,
}

/// How the server is to know who calls it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
struct McpAuthIn {
    /// `none`, `bearer` or `oauth`. Needed unless the preset says it.
    kind: Option<String>,
    /// With `oauth`: whose connections are used.
    provider: Option<String>,
    /// With `bearer`: what is sent. Left out where the server is registered again at the same host: the one that is kept.
    secret: Option<String>,
    /// With `oauth`: `tenant` for the project's own client, which is usual, or `platform` for the server's.
    client_mode: Option<String>,
}

/// A registration as it was asked for.
pub(super) struct Wanted {
    pub(super) url: String,
    pub(super) auth: McpAuth,
    /// The secret that was given.
    pub(super) secret: Option<String>,
    pub(super) catalog_slug: Option<String>,
    pub(super) allowlist: Option<Vec<String>>,
    pub(super) approval_policy: Vec<ApprovalRule>,
}

/// Reads a registration.
pub(super) fn read(app: &App, fields: &Fields<'_>) -> Result<Wanted, Problem> {
    let preset = preset(fields)?;
    let url = addresses::url(app, fields)?.or(preset.map(|preset| preset.mcp_url.as_str()));
    let url = url.ok_or_else(|| {
        let message =
            "Give the `url` of the server, such as https://host.example/mcp, or a `catalog` preset.";
        Problem::new(Code::UrlRequired, message).at("url")
    })?;
    let (auth, secret) = auth(fields, preset)?;
    let allowlist = match allowlist(fields)? {
        None => preset.and_then(|preset| preset.default_allowlist.clone()),
        given => given,
    };
    let approval_policy = match fields.value("approval_policy") {
        None => preset.map(|preset| preset.default_approval_policy.clone()).unwrap_or_default(),
        Some(rules) => ApprovalRule::parse_all(rules, "approval_policy")?,
    };
    Ok(Wanted {
        url: url.to_owned(),
        auth,
        secret,
        catalog_slug: preset.map(|preset| preset.slug.clone()),
        allowlist,
        approval_policy,
    })
}

fn preset(fields: &Fields<'_>) -> Result<Option<&'static Preset>, Problem> {
    let Some(slug) = fields.text("catalog")?.filter(|slug| !slug.is_empty()) else { return Ok(None) };
    presets::find(slug).map(Some).ok_or_else(|| {
        let message = "The catalog has no such preset. GET /v1/catalog lists them.";
        Problem::new(Code::UnknownCatalogEntry, message).at("catalog")
    })
}

fn auth(fields: &Fields<'_>, preset: Option<&Preset>) -> Result<(McpAuth, Option<String>), Problem> {
    let empty = serde_json::Map::new();
    let given = Fields::of_body(fields.object("auth")?.unwrap_or(&empty));
    // The readers name a field within its object; the caller sent it within the body.
    let text = |name: &str| {
        given.text(name).map_err(|mut problem| {
            problem.message = problem.message.replace(&format!("`{name}`"), &format!("`auth.{name}`"));
            problem.at(format!("auth.{name}"))
        })
    };
    let refuse = |code, name: &str, message: &str| Problem::new(code, message).at(format!("auth.{name}"));
    let preset = preset.map(|preset| &preset.auth);
    let kind = match text("kind")? {
        Some(kind) => AuthKind::parse(kind),
        None => preset.map(|preset| preset.kind),
    };
    let kind = kind.ok_or_else(|| {
        refuse(Code::InvalidAuthKind, "kind", "`auth.kind` must be `none`, `bearer` or `oauth`.")
    })?;
    let client_mode = match text("client_mode")? {
        Some(mode) => ClientMode::parse(mode).ok_or_else(|| {
            let message = "`auth.client_mode` must be `tenant` or `platform`.";
            refuse(Code::InvalidClientMode, "client_mode", message)
        })?,
        None => preset.map(|preset| preset.client_mode).unwrap_or_default(),
    };
    let provider = text("provider")?.filter(|provider| !provider.is_empty());
    let provider = provider.or(preset.and_then(|preset| preset.provider.as_deref()));
    let provider = match (kind, provider) {
        (AuthKind::Oauth, Some(provider)) if is_name(provider) => Some(provider.to_owned()),
        (AuthKind::Oauth, _) => {
            let message = "With `oauth`, `auth.provider` must name whose connections are used: 1 to 64 letters, digits, `_` and `-`.";
            return Err(refuse(Code::InvalidInput, "provider", message));
        }
        _ => None,
    };
    let secret = text("secret")?.map(str::trim).filter(|secret| !secret.is_empty());
    if let Some(secret) = secret {
        if kind != AuthKind::Bearer {
            let message = "`auth.secret` goes with `bearer`. Leave it out, or change `auth.kind`.";
            return Err(refuse(Code::InvalidInput, "secret", message));
        }
        if secret.len() > LONGEST_SECRET || !secret.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            let message = format!(
                "`auth.secret` must be what is sent as the bearer: at most {LONGEST_SECRET} printable ASCII characters without \
                 spaces."
            );
            return Err(refuse(Code::InvalidInput, "secret", &message));
        }
    }
    let client_mode = if kind == AuthKind::Oauth { client_mode } else { ClientMode::default() };
    Ok((McpAuth { kind, provider, client_mode }, secret.map(str::to_owned)))
}

fn allowlist(fields: &Fields<'_>) -> Result<Option<Vec<String>>, Problem> {
    let Some(names) = fields.texts("tool_allowlist")? else { return Ok(None) };
    let is_good = |name: &&str| (1..=LONGEST_TOOL).contains(&name.chars().count());
    if names.len() > MOST_ALLOWED || !names.iter().all(is_good) {
        let expected = format!(
            "a list of at most {MOST_ALLOWED} names of tools, each of 1 to {LONGEST_TOOL} characters"
        );
        return Err(fields.refuse("tool_allowlist", &expected));
    }
    Ok(Some(names.into_iter().map(str::to_owned).collect()))
}
