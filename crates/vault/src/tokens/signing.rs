//! The key pair that signs tokens.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{ALGORITHM, Claims, Header, TokenKind};

const KEY_BITS: usize = 2048;

/// The key pair could not be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be made or read")]
pub struct KeyError;

/// The server's own key pair for signing tokens.
///
/// The stored form is wiped when it is dropped. The form that ring computes with is not: ring has no way to do that, so
/// a process keeps one such key for its whole life.
pub struct SigningKey {
    pair: RsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    kid: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    /// Makes a key pair. Takes a good part of a second: not for a thread that serves requests.
    pub fn generate() -> Result<Self, KeyError> {
        let key = rsa::PrivateKey::new(&mut rand::rng(), KEY_BITS).map_err(|_| KeyError)?;
        let document = key.to_pkcs8_der().map_err(|_| KeyError)?;
        Self::from_pkcs8(document.as_bytes())
    }

    /// Reads a key pair from PKCS#8 DER. Fails when it is damaged or its two halves do not belong together.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError)?;
        let public: RsaPublicKeyComponents<Vec<u8>> = pair.public().into();
        let kid = thumbprint(&public);
        Ok(Self { pair, pkcs8: Zeroizing::new(pkcs8.to_vec()), kid })
    }

    /// Returns the private key as PKCS#8 DER, to be sealed.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Names the key: the RFC 7638 thumbprint of its public half.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn public(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        self.pair.public().into()
    }

    /// Returns the public half as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": ALGORITHM,
            "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&public.n),
            "e": URL_SAFE_NO_PAD.encode(&public.e),
        })
    }

    /// Signs claims and returns the whole token.
    pub fn sign(&self, kind: TokenKind, claims: &Claims) -> Result<String, KeyError> {
        let header = Header { alg: ALGORITHM.to_owned(), typ: Some("JWT".to_owned()), kid: self.kid.clone() };
        let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let header = encode(serde_json::to_vec(&header).map_err(|_| KeyError)?);
        let payload = encode(serde_json::to_vec(claims).map_err(|_| KeyError)?);
        let message = format!("{header}.{payload}");
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature)
            .map_err(|_| KeyError)?;
        Ok(format!("{}{message}.{}", kind.prefix(), encode(signature)))
    }
}

fn thumbprint(public: &RsaPublicKeyComponents<Vec<u8>>) -> String {
    // The members in the order and form that RFC 7638 prescribes.
    let canonical = format!(
        r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#,
        URL_SAFE_NO_PAD.encode(&public.e),
        URL_SAFE_NO_PAD.encode(&public.n)
    );
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
}
