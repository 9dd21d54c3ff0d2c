//! Addresses of images and files in an input: it is the provider that calls them, which may run next to this server.

use std::time::Duration;

use domain::content::{Content, Message, Part};
use domain::{Code, Problem};
use egress::{LookUpError, Url};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use models::Models;
use moka::sync::Cache;

/// Hosts that the addresses of one run may name: each is looked up.
const HOSTS: usize = 64;
/// How many of them at once.
const AT_ONCE: usize = 4;
/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a host that passed is not looked up again: a chat names those of its past with every turn.
const LASTS: Duration = Duration::from_secs(60);
/// How many of these are remembered.
const REMEMBERED: u64 = 10_000;

/// Checks addresses, and remembers the hosts that passed for a while.
pub(crate) struct Addresses {
    passed: Cache<String, ()>,
}

/// A host, with the first address that names it and where that stands.
struct Named {
    host: String,
    url: Url,
    at: String,
}

impl Addresses {
    pub(crate) fn new() -> Self {
        Self { passed: Cache::builder().max_capacity(REMEMBERED).time_to_live(LASTS).build() }
    }

    /// Refuses addresses that a tenant may not have called. Returns whether any had to be looked up.
    ///
    /// The messages do not repeat the address: it may hold a secret.
    pub(crate) async fn check(&self, models: &Models, messages: &[&Message]) -> Result<bool, Problem> {
        let mut hosts: Vec<Named> = Vec::new();
        for (address, at) in addresses(messages) {
            let named = named(address, at)?;
            if self.passed.contains_key(&named.host) || hosts.iter().any(|other| other.host == named.host) {
                continue;
            }
            if hosts.len() == HOSTS {
                let message = format!(
                    "The addresses of one run may name {HOSTS} hosts. Give the bytes inline, or fewer."
                );
                return Err(Problem::invalid_input(named.at, message));
            }
            hosts.push(named);
        }
        let any = !hosts.is_empty();
        let looking_up = stream::iter(hosts)
            .map(async |named| self.look_up(models, named).await)
            .buffered(AT_ONCE)
            .try_collect::<()>();
        let looked_up = tokio::time::timeout(PATIENCE, looking_up).await;
        looked_up.unwrap_or_else(|_| {
            let message = "The hosts of images and files could not be looked up in time. Retry shortly.";
            Err(Problem::new(Code::ServiceOverloaded, message))
        })?;
        Ok(any)
    }

    async fn look_up(&self, models: &Models, Named { host, url, at }: Named) -> Result<(), Problem> {
        match models.look_up(&url).await {
            Ok(()) => {
                self.passed.insert(host, ());
                Ok(())
            }
            Err(LookUpError::Refused(refusal)) => Err(Problem::invalid_input(at, refusal.to_string())),
            Err(error @ LookUpError::TimedOut { .. }) => {
                Err(Problem::new(Code::ServiceOverloaded, error.to_string()).at(at))
            }
        }
    }
}

/// Reads an address.
fn named(address: &str, at: String) -> Result<Named, Problem> {
    let url = Url::parse(address).ok().filter(|url| url.scheme() == "https");
    let Some((url, host)) = url.and_then(|url| Some((url.clone(), url.host_str()?.to_owned()))) else {
        let message = "This is no address. Give one such as https://host.example/image.png.";
        return Err(Problem::invalid_input(at, message));
    };
    if !url.username().is_empty() || url.password().is_some() {
        let message = "An address must hold no user and no password: the provider would be told them.";
        return Err(Problem::invalid_input(at, message));
    }
    Ok(Named { host, url, at })
}

/// Lists the addresses of images and files in messages, with the place where each is named.
fn addresses<'a>(messages: &'a [&Message]) -> impl Iterator<Item = (&'a str, String)> {
    messages.iter().enumerate().flat_map(|(index, message)| {
        let parts = match &message.content {
            Content::Parts(parts) => parts.as_slice(),
            Content::Text(_) => &[],
        };
        parts.iter().enumerate().filter_map(move |(part_index, part)| {
            let (Part::Image(source) | Part::File(source)) = part else { return None };
            let (address, field) = match (&source.image_url, &source.file_url) {
                (Some(address), _) => (address, "image_url"),
                (None, address) => (address.as_ref()?, "file_url"),
            };
            Some((address.as_str(), format!("input[{index}].content[{part_index}].{field}")))
        })
    })
}
