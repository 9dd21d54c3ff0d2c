//! Bodies of answers, read up to a bound.

use egress::reqwest::{self, Response};

/// What was read of a body.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// Whether there was more than was to be read.
    pub(crate) is_cut: bool,
}

/// Reads a body, but not more than so many bytes of it.
pub(crate) async fn read(response: &mut Response, max_bytes: usize) -> Result<Body, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = max_bytes.saturating_sub(bytes.len());
        if chunk.len() > room {
            bytes.extend(chunk.iter().take(room));
            return Ok(Body { bytes, is_cut: true });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { bytes, is_cut: false })
}
