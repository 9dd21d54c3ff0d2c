//! Signatures of requests that this server sends: to webhook tools and to subscribers of events.
//!
//! Each request is signed twice, so that a receiver may check whichever it has a library for: in a form of our own
//! (`X-IC-Signature`, HMAC-SHA256 of `<time>.<body>`, keyed with the whole secret text) and in that of
//! [Standard Webhooks](https://www.standardwebhooks.com/) (`<id>.<time>.<body>`, keyed with the bytes behind `whsec_`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use ring::hmac;
use zeroize::Zeroizing;

use crate::Ids;

const PREFIX: &str = "whsec_";
const BYTES: usize = 32;

/// What a receiver checks signatures with: `whsec_` and 32 random bytes in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret {
    text: Zeroizing<String>,
    bytes: Zeroizing<Vec<u8>>,
}

/// The text is no secret of signatures. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is `whsec_` followed by 32 bytes in base64")]
pub struct InvalidSigningSecret;

impl SigningSecret {
    /// Draws a new secret.
    pub fn generate(ids: &Ids) -> Self {
        let bytes = Zeroizing::new(ids.random::<BYTES>());
        let text = Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice())));
        Self { text, bytes: Zeroizing::new(bytes.to_vec()) }
    }

    /// Reads a secret that was made before.
    pub fn parse(text: &str) -> Result<Self, InvalidSigningSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSigningSecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidSigningSecret)?);
        if bytes.len() != BYTES {
            return Err(InvalidSigningSecret);
        }
        Ok(Self { text: Zeroizing::new(text.to_owned()), bytes })
    }

    /// Returns the text, for where it is kept and for the one answer that shows it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(…)")
    }
}

/// The headers that show who sent a request, and that nobody has changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    id: String,
    timestamp: String,
    own: String,
    standard: String,
}

impl Signatures {
    /// Signs a body with every secret that is in force, the newest first.
    ///
    /// `id` names what is sent, the same for each attempt; `at` is the time of the attempt, of which whole seconds count.
    pub fn sign(secrets: &[SigningSecret], id: &str, at: Timestamp, body: &[u8]) -> Self {
        let timestamp = at.as_seconds().to_string();
        let own = secrets.iter().map(|secret| {
            let tag = tag(secret.text.as_bytes(), &[timestamp.as_bytes(), body]);
            format!("v1={}", hex::encode(tag))
        });
        let own = std::iter::once(format!("t={timestamp}")).chain(own).collect::<Vec<_>>().join(",");
        let standard = secrets.iter().map(|secret| {
            let tag = tag(&secret.bytes, &[id.as_bytes(), timestamp.as_bytes(), body]);
            format!("v1,{}", STANDARD.encode(tag))
        });
        let standard = standard.collect::<Vec<_>>().join(" ");
        Self { id: id.to_owned(), timestamp, own, standard }
    }

    /// Lists the headers by name.
    pub fn headers(&self) -> [(&'static str, &str); 4] {
        [
            ("x-ic-signature", &self.own),
            ("webhook-id", &self.id),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.standard),
        ]
    }
}

/// Authenticates the parts, joined by dots.
fn tag(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            context.update(b".");
        }
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests;
