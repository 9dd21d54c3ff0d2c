//! `ingram token create`

use anyhow::{Context as _, bail};
use domain::ids::{OrganizationId, SmithId};
use domain::principals::Permission;
use store::tokens::{Minted, NewToken};
use store::{ProjectStore, Store, Upgrade};

use crate::cli;
use crate::config::Config;
use crate::data;
use crate::server::open_store;

/// How long a smith token is valid at most, and unless something else is said, in seconds.
const SMITH_LONGEST: u32 = 86_400;
const SMITH_USUAL: u32 = 3_600;

/// Mints a token and returns its text. Works beside a running server too, whose schema it does not touch.
pub(super) async fn create(config: Config, token: cli::NewToken) -> anyhow::Result<String> {
    let store = open_store(&config, Upgrade::OnlyFirst).await?;
    let minted = mint(&store, token).await;
    store.db().close().await;
    let named = |error: anyhow::Error| match error.downcast::<store::Error>() {
        Ok(error) => data::name_place(&config, error),
        Err(error) => error,
    };
    Ok(minted.map_err(named)?.text)
}

async fn mint(store: &Store, token: cli::NewToken) -> anyhow::Result<Minted> {
    let cli::NewToken { project, kind, permissions, ttl, name } = token;
    let first = store.server().bootstrap().await?;
    if kind.organization {
        let organization: OrganizationId = first.organization;
        let new = NewToken { name, ttl_seconds: ttl };
        let minted = store.organization(organization).mint_key(&new, None).await?;
        return minted.context("the organization is gone");
    }
    let project = match project {
        Some(name_or_id) => find(store, &name_or_id).await?,
        None => store.project(first.project),
    };
    let Some(smith) = kind.smith else {
        let minted = project.mint_admin_token(&NewToken { name, ttl_seconds: ttl }, None).await?;
        return minted.context("the project is gone; name another with --project");
    };
    let smith: SmithId = smith.parse().context("--smith: expected an id such as smt_…")?;
    let permissions = permissions.iter().map(|text| permission(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let ttl = ttl.unwrap_or(SMITH_USUAL);
    if ttl > SMITH_LONGEST {
        bail!("--ttl: a smith token is valid for a day at most (24h)");
    }
    let new = NewToken { name, ttl_seconds: Some(ttl) };
    let minted = project.mint_smith_token(smith, &permissions, &new, None).await?;
    minted.context("--smith: the project has no such smith; name its project with --project")
}

async fn find(store: &Store, name_or_id: &str) -> anyhow::Result<ProjectStore> {
    let project = store.server().find_project(name_or_id).await?;
    let project = project.with_context(|| format!("--project: there is no project `{name_or_id}`"))?;
    Ok(store.project(project.id))
}

fn permission(text: &str) -> anyhow::Result<Permission> {
    Permission::parse(text).with_context(|| {
        let known: Vec<_> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        format!("--permission: `{text}` is none of {}", known.join(", "))
    })
}
