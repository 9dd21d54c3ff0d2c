//! Sealing: XChaCha20-Poly1305 under a data key per smith, which the server's master key wraps.
//!
//! A sealed value is `version (1 byte) || nonce (24 bytes) || ciphertext and tag`. Where it belongs (table, column, row) is
//! authenticated with it, so that a ciphertext cannot be moved to another place.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::Ids;

const VERSION: u8 = 1;
const NONCE: usize = 24;
const KEY: usize = 32;

/// Where a sealed value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub table: &'static str,
    pub column: &'static str,
    pub row: &'a [u8],
}

impl Context<'_> {
    /// Writes the parts with their lengths, so that no two contexts read the same.
    fn associated_data(&self) -> Vec<u8> {
        let parts = [self.table.as_bytes(), self.column.as_bytes(), self.row];
        let mut data = Vec::with_capacity(64);
        for part in parts {
            data.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// The sealed bytes are damaged, were moved, or were sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are damaged, belong elsewhere, or were sealed with another key")]
pub struct SealError;

/// The text is not a master key. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes, written in base64 (44 characters) or hexadecimal (64 characters)")]
pub struct InvalidMasterKey;

/// The key of one smith: what it sealed cannot be read once it is gone.
#[derive(ZeroizeOnDrop)]
pub struct DataKey([u8; KEY]);

impl DataKey {
    /// Draws a new key.
    pub fn generate(ids: &Ids) -> Self {
        Self(ids.random())
    }

    /// Seals personal content of the smith for one place.
    pub fn seal(&self, ids: &Ids, plain: &[u8], context: Context<'_>) -> Vec<u8> {
        seal(&self.0, ids, plain, context)
    }

    /// Opens what this key sealed for the same place.
    pub fn open(&self, sealed: &[u8], context: Context<'_>) -> Result<Vec<u8>, SealError> {
        open(&self.0, sealed, context)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

/// The server's own key. It wraps data keys and seals the server's secrets, each with a key derived for that purpose.
#[derive(ZeroizeOnDrop)]
pub struct MasterKey {
    root: [u8; KEY],
    wrapping: [u8; KEY],
    secrets: [u8; KEY],
}

impl MasterKey {
    /// Draws a new key.
    pub fn generate(ids: &Ids) -> Self {
        Self::from_bytes(ids.random())
    }

    /// Takes a key as it is: 32 bytes that nobody can guess, not a password.
    pub fn from_bytes(root: [u8; KEY]) -> Self {
        Self {
            wrapping: derive(&root, b"ingram wrapping 1"),
            secrets: derive(&root, b"ingram secrets 1"),
            root,
        }
    }

    /// Reads a key from base64 or hexadecimal.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let text = text.trim();
        let bytes = if text.len() == KEY * 2 { hex::decode(text).ok() } else { STANDARD.decode(text).ok() };
        let bytes = Zeroizing::new(bytes.ok_or(InvalidMasterKey)?);
        Ok(Self::from_bytes(bytes.as_slice().try_into().map_err(|_| InvalidMasterKey)?))
    }

    /// Writes the key in base64, for the key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.root))
    }

    /// Names the key without giving it away, to notice a wrong one.
    pub fn fingerprint(&self) -> String {
        let mut print = derive(&self.root, b"ingram fingerprint 1");
        let text = hex::encode(print.get(..8).unwrap_or_default());
        print.zeroize();
        text
    }

    /// Seals a data key for the row of its smith.
    pub fn wrap(&self, key: &DataKey, context: Context<'_>, ids: &Ids) -> Vec<u8> {
        seal(&self.wrapping, ids, &key.0, context)
    }

    /// Opens a data key that was wrapped for the same place.
    pub fn unwrap_key(&self, wrapped: &[u8], context: Context<'_>) -> Result<DataKey, SealError> {
        let bytes = Zeroizing::new(open(&self.wrapping, wrapped, context)?);
        Ok(DataKey(bytes.as_slice().try_into().map_err(|_| SealError)?))
    }

    /// Seals a secret of the server or of a project, such as a provider's key.
    pub fn seal(&self, ids: &Ids, secret: &[u8], context: Context<'_>) -> Vec<u8> {
        seal(&self.secrets, ids, secret, context)
    }

    /// Opens a secret that was sealed for the same place.
    pub fn open(&self, sealed: &[u8], context: Context<'_>) -> Result<Vec<u8>, SealError> {
        open(&self.secrets, sealed, context)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// Derives a key for one purpose: HMAC-SHA256 of the label under the root key.
fn derive(root: &[u8; KEY], label: &[u8]) -> [u8; KEY] {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, root);
    let tag = ring::hmac::sign(&key, label);
    tag.as_ref().try_into().unwrap_or_else(|_| Sha256::digest(tag.as_ref()).into())
}

fn seal(key: &[u8; KEY], ids: &Ids, plain: &[u8], context: Context<'_>) -> Vec<u8> {
    let nonce: [u8; NONCE] = ids.random();
    let associated = context.associated_data();
    let cipher = XChaCha20Poly1305::new(key.into());
    let payload = Payload { msg: plain, aad: &associated };
    // The cipher refuses only what is longer than 256 GiB, which no caller can hold in memory.
    let ciphertext = cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
    let mut sealed = Vec::with_capacity(1 + NONCE + ciphertext.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    sealed
}

fn open(key: &[u8; KEY], sealed: &[u8], context: Context<'_>) -> Result<Vec<u8>, SealError> {
    let (version, rest) = sealed.split_first().ok_or(SealError)?;
    let (nonce, ciphertext) = rest.split_at_checked(NONCE).ok_or(SealError)?;
    if *version != VERSION {
        return Err(SealError);
    }
    let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| SealError)?;
    let associated = context.associated_data();
    let payload = Payload { msg: ciphertext, aad: &associated };
    XChaCha20Poly1305::new(key.into()).decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError)
}

#[cfg(test)]
mod tests;
