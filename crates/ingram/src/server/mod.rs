//! The composition root: configuration in, a running server out.

mod listener;
mod measure;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::egress::{Egress, Policy};
use anyhow::{Context as _, bail};
use api::App;
use engine::Engine;
use engine::keys::Keys;
use models::Models;
use models::scripted::Scripts;
use store::{Store, Upgrade};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tools::{HostedTools, Mcp, Tools, Webhooks};
use vault::{Ids, SystemClock};

use crate::config::{Config, Settings};
use crate::data::{self, Lock};
use listener::Listener;

/// How often what was counted is summed up, so that it takes no more memory with every request.
const SUM_UP: Duration = Duration::from_secs(5);
/// How often idempotency keys are forgotten that have had their day.
const FORGET: Duration = Duration::from_secs(600);

/// A server that is ready to run.
pub struct Server {
    app: App,
    engine: Engine,
    store: Store,
    mcp: Mcp,
    listener: Listener,
    close: Duration,
    metrics: measure::Handle,
    _lock: Option<Lock>,
}

impl Server {
    /// Builds a server: data folder and key, database, models, engine, routes, and the address to listen on.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let Config { settings, hosted, .. } = config;
        let metrics = measure::start()?;
        let lock = settings
            .uses_data()
            .then(|| data::prepare(&settings.data).and_then(|()| data::lock(&settings.data)));
        let lock = lock.transpose()?;
        // Bound before anything else is built: an address that is taken is the most common mistake.
        let listener = listen(config).await?;
        let store = open_store(config, Upgrade::Always).await?;
        let egress = Egress::new()?;
        // What counts is where the server can be reached, which a name does not say.
        let tenants = Policy::for_tenants(settings.egress, listener.address());
        let models = models(config, &egress, tenants, store.ids())?;
        let tools = tools(settings, &egress, tenants, store.ids())?;
        let keys = Keys::new(hosted.clone(), settings.default_model.clone());
        let engine = Engine::new(store.clone(), keys, models, tools.clone(), settings.engine.clone()).await?;
        let options = api::Options { metrics_token: settings.metrics_token.clone(), ..settings.http.clone() };
        let mcp = tools.mcp.clone();
        let app = App::new(engine.clone(), options, metrics.clone());
        let close = Duration::from_millis(settings.server.close_ms);
        Ok(Self { app, engine, store, mcp, listener, close, metrics, _lock: lock })
    }

    /// Returns the address that the server listens on, with the port that the system chose if it was to choose.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Serves until `shutdown`. Then it refuses new work, lets runs and answers end for a bounded time, and returns.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { app, engine, store, mcp, listener, close, metrics, _lock } = self;
        let tasks = TaskTracker::new();
        tasks.spawn(house_keeping(store.clone(), metrics, shutdown.clone()));
        let mut engine = tasks.spawn({
            let shutdown = shutdown.clone();
            async move { Box::pin(engine.run(shutdown)).await }
        });
        let connections = listener.serve(api::router(app.clone()), shutdown.clone());
        tasks.close();

        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            _ = &mut engine => bail!("the engine broke; what it said is in the log above"),
        }
        tracing::info!("Shutting down: no new work, what is under way may end.");
        app.drain();
        engine.await.context("the engine broke")?;
        // Streams end with their runs; what is left are slow readers.
        if tokio::time::timeout(close, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "Closed connections whose answers had not ended."
            );
        }
        tasks.wait().await;
        mcp.finish().await;
        store.db().close().await;
        tracing::info!("The server has stopped.");
        Ok(())
    }
}

/// Listens where the settings say. A fault names the place that said it.
async fn listen(config: &Config) -> anyhow::Result<Listener> {
    let Config { settings, places, .. } = config;
    let place = || places.label("listen");
    let addresses = settings.listen.addresses().await.with_context(place)?;
    Listener::bind(&addresses, &settings.server).with_context(place)
}

/// Opens the database under its master key, and puts into it what every server has.
pub(crate) async fn open_store(config: &Config, upgrade: Upgrade) -> anyhow::Result<Store> {
    let settings = &config.settings;
    let ids = Ids::new(Arc::new(SystemClock));
    if settings.uses_data() {
        data::prepare(&settings.data)?;
    }
    data::look_for_lost_key(config).await?;
    let master = data::master_key(config, &ids)?;
    let store = Store::open_with(&settings.database(), upgrade, master, ids).await;
    let store = store.map_err(|error| data::name_place(config, error))?;
    store.server().bootstrap().await.map_err(|error| data::name_place(config, error))?;
    Ok(store)
}

fn models(config: &Config, egress: &Egress, tenants: Policy, ids: &Ids) -> anyhow::Result<Models> {
    let Config { settings, places, .. } = config;
    let scripts = match settings.scripts() {
        Some(folder) => Scripts::load(folder).with_context(|| places.label("scripts"))?,
        None => Scripts::bundled(),
    };
    let ids = ids.clone();
    let jitter = Arc::new(move || f64::from(u32::from_be_bytes(ids.random())) / (f64::from(u32::MAX) + 1.0));
    Ok(Models::new(settings.models.clone(), egress, tenants, scripts, jitter)?)
}

fn tools(settings: &Settings, egress: &Egress, tenants: Policy, ids: &Ids) -> anyhow::Result<Tools> {
    Ok(Tools {
        hosted: HostedTools::new(egress, tenants, &settings.tools, ids.clone())?,
        webhooks: Webhooks::new(egress, tenants, &settings.tools, ids.clone())?,
        mcp: Mcp::new(egress, tenants, settings.mcp.clone())?,
    })
}

async fn house_keeping(store: Store, metrics: measure::Handle, shutdown: CancellationToken) {
    // Made here and not on first need, so that nobody's first token has to wait for it.
    if let Err(error) = store.server().signing_key().await {
        tracing::error!(error = %error, "The key that signs tokens could not be made or read.");
    }
    let mut sum_up = tokio::time::interval(SUM_UP);
    let mut forget = tokio::time::interval(FORGET);
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = sum_up.tick() => metrics.run_upkeep(),
            _ = forget.tick() => {
                if let Err(error) = store.server().forget_expired().await {
                    tracing::warn!(error = %error, "Old idempotency keys could not be forgotten; tried again later.");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
