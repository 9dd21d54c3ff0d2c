//! One request and its answer, with a look at the clock.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;

use super::Client;

/// After which an answer counts as one that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request that is sent again and again, and how its answer is recognised.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) path: String,
    pub(crate) body: Bytes,
    /// The text that the first token comes with.
    pub(crate) first: &'static str,
    /// The text without which an answer is a failure.
    pub(crate) done: &'static str,
}

/// When parts of an answer had arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) first: Instant,
    pub(crate) end: Instant,
}

impl Exchange {
    /// Sends the request and reads the answer to its end.
    pub(crate) async fn perform(&self, client: &Client) -> anyhow::Result<Timing> {
        tokio::time::timeout(PATIENCE, self.attempt(client)).await.context("no answer in time")?
    }

    async fn attempt(&self, client: &Client) -> anyhow::Result<Timing> {
        let request = client.request(Method::POST, &self.path, self.body.clone())?;
        let (response, lease) = client.send(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut text = Vec::new();
        let mut first = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            let seen = text.len();
            text.extend_from_slice(&data);
            if first.is_none() && contains(&text, seen, self.first) {
                first = Some(Instant::now());
            }
        }
        let end = Instant::now();
        client.give_back(lease);
        ensure!(status.is_success(), "status {status}: {}", String::from_utf8_lossy(&text));
        let Some(first) = first.filter(|_| contains(&text, 0, self.done)) else {
            bail!("not the answer that was expected: {}", String::from_utf8_lossy(&text));
        };
        Ok(Timing { first, end })
    }
}

/// Looks for a text in bytes that do not have it before `seen`.
fn contains(bytes: &[u8], seen: usize, text: &str) -> bool {
    let from = seen.saturating_sub(text.len());
    let new = bytes.get(from..).unwrap_or_default();
    new.windows(text.len().max(1)).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_the_border_of_two_parts() {
        assert!(contains(b"data: [DONE]", 8, "[DONE]"));
        assert!(contains(b"data: [DONE]", 0, "data"));
        assert!(!contains(b"data: [DONE]", 0, "delta"));
        assert!(!contains(b"", 0, "delta"));
    }
}
