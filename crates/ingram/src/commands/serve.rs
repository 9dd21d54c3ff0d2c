//! `ingram serve`

use std::process::ExitCode;

use anyhow::bail;
use domain::models::Provider;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::next;
use crate::config::{Config, Settings};
use crate::server::Server;

/// Serves until the process is told to end: once to let what is under way end, twice to stop at once.
pub(super) async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    // Before anything is built, so that no signal finds the process without an ear for it.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    raise_file_limit();
    let server = tokio::select! {
        server = Box::pin(Server::build(&config)) => server?,
        // A database that is silent, or whose schema takes long to bring up to date, must not keep who wants to stop.
        () = told(&mut terminate, &mut interrupt) => {
            tracing::info!("Told to stop before the server had started: stopped.");
            return Ok(ExitCode::SUCCESS);
        }
    };
    announce(&config, &server);

    let shutdown = CancellationToken::new();
    let mut running = std::pin::pin!(Box::pin(server.run(shutdown.clone())));
    tokio::select! {
        outcome = running.as_mut() => outcome?,
        () = told(&mut terminate, &mut interrupt) => {
            shutdown.cancel();
            tokio::select! {
                outcome = running.as_mut() => outcome?,
                () = told(&mut terminate, &mut interrupt) => bail!("told to stop twice: stopped before everything had ended"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn told(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Allows this process as many open files as the system lets it: every connection is one, and the usual bound is low.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(error = %error, "The bound on open files could not be raised; it bounds connections too.");
    }
}

/// Says where the server is, what it has, and what to do next.
fn announce(config: &Config, server: &Server) {
    let address = server.address();
    let (url, place) = (next::url(address), place(&config.settings));
    let everywhere =
        if address.ip().is_unspecified() { " and all other addresses of this machine" } else { "" };
    let has_key = |provider: &&Provider| config.hosted.contains_key(provider);
    let providers: Vec<_> = Provider::ALL.iter().filter(has_key).map(|provider| provider.as_str()).collect();
    let providers = if providers.is_empty() { "none".to_owned() } else { providers.join(", ") };
    let program = std::env::args().next().unwrap_or_else(|| "ingram".to_owned());
    let next = next::step(&program, config);
    tracing::info!(
        url,
        data = place,
        providers,
        "Serving {url}{everywhere}, data in {place}, provider keys: {providers}. {next}"
    );
}

fn place(settings: &Settings) -> String {
    match settings.database_url {
        Some(_) => "PostgreSQL".to_owned(),
        None => settings.data.display().to_string(),
    }
}
