//! Tokens: RS256 JSON Web Tokens behind a prefix that tells their kind.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::ids::{OrganizationId, ProjectId, SmithId, TokenId};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use rsa::pkcs8::EncodePrivateKey as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const KEY_BITS: usize = 2048;
/// The longest token that is looked at; ours have under 2 KiB with every permission.
const LONGEST: usize = 8 * 1024;

/// What a token is for, told by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Tenant,
    Smith,
    Organization,
}

impl TokenKind {
    pub const ALL: &'static [Self] = &[Self::Tenant, Self::Smith, Self::Organization];

    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Tenant => "tha_live_",
            Self::Smith => "thp_live_",
            Self::Organization => "oka_live_",
        }
    }

    /// The name under which the kind is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Smith => "smith",
            Self::Organization => "organization",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// Whom a token stands for, the `sub` claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Project(ProjectId),
    Smith(ProjectId, SmithId),
    Organization(OrganizationId),
}

impl Subject {
    pub const fn kind(self) -> TokenKind {
        match self {
            Self::Project(_) => TokenKind::Tenant,
            Self::Smith(..) => TokenKind::Smith,
            Self::Organization(_) => TokenKind::Organization,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(formatter, "{project}"),
            Self::Smith(project, smith) => write!(formatter, "{project}:{smith}"),
            Self::Organization(organization) => write!(formatter, "{organization}"),
        }
    }
}

impl FromStr for Subject {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let malformed = |_| TokenError::Malformed;
        if let Some((project, smith)) = text.split_once(':') {
            return Ok(Self::Smith(project.parse().map_err(malformed)?, smith.parse().map_err(malformed)?));
        }
        if text.starts_with("org_") {
            return text.parse().map(Self::Organization).map_err(malformed);
        }
        text.parse().map(Self::Project).map_err(malformed)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub jti: TokenId,
    pub iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Scopes, separated by spaces.
    pub scope: String,
}

/// Why a token is not accepted. Never holds any of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the token was signed with an unknown key")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    BadSignature,
    #[error("the token has expired")]
    Expired,
}

/// The key pair could not be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be made or read")]
pub struct KeyError;

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    kid: String,
}

/// The server's own key pair for signing tokens.
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

    fn public(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        self.pair.public().into()
    }

    /// Returns the public half as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        let public = self.public();
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": URL_SAFE_NO_PAD.encode(&public.n),
            "e": URL_SAFE_NO_PAD.encode(&public.e),
        })
    }

    /// Signs claims and returns the whole token.
    pub fn sign(&self, kind: TokenKind, claims: &Claims) -> Result<String, KeyError> {
        let header = Header { alg: "RS256".to_owned(), typ: Some("JWT".to_owned()), kid: self.kid.clone() };
        let encode = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
        let header = encode(serde_json::to_vec(&header).map_err(|_| KeyError)?);
        let payload = encode(serde_json::to_vec(claims).map_err(|_| KeyError)?);
        let message = format!("{header}.{payload}");
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).map_err(|_| KeyError)?;
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

/// A token that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub kind: TokenKind,
    pub subject: Subject,
    pub claims: Claims,
}

/// Checks tokens against the public halves of the server's keys.
#[derive(Clone)]
pub struct Verifier {
    keys: Vec<(String, RsaPublicKeyComponents<Vec<u8>>)>,
}

impl Verifier {
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.kid.clone(), key.public())).collect() }
    }

    /// Checks form, signature, expiry, and that the prefix and the subject agree. Whether the token is registered and not
    /// revoked only the store knows.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let kind = TokenKind::ALL.iter().copied().find(|kind| text.starts_with(kind.prefix()));
        let kind = kind.ok_or(TokenError::Malformed)?;
        let token = text.strip_prefix(kind.prefix()).ok_or(TokenError::Malformed)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != "RS256" {
            return Err(TokenError::Malformed);
        }
        let (_, public) = self.keys.iter().find(|(kid, _)| *kid == header.kid).ok_or(TokenError::UnknownKey)?;
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::BadSignature)?;
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)?;
        let subject: Subject = claims.sub.parse()?;
        if subject.kind() != kind {
            return Err(TokenError::Malformed);
        }
        if claims.exp.is_some_and(|exp| exp <= now.as_seconds()) {
            return Err(TokenError::Expired);
        }
        Ok(Verified { kind, subject, claims })
    }
}

/// Hashes a token for storage.
pub fn token_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares without telling by its duration where two texts differ.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |difference, (left, right)| difference | (left ^ right));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use domain::ids::Id as _;
    use proptest::prelude::*;
    use rsa::pkcs1v15::Pkcs1v15Sign;
    use rsa::pkcs8::DecodePrivateKey as _;

    use super::*;

    fn key() -> &'static SigningKey {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        KEY.get_or_init(|| SigningKey::generate().unwrap())
    }

    fn claims(exp: Option<i64>) -> Claims {
        Claims {
            iss: "https://ingram.example".into(),
            sub: ProjectId::from_bytes([1; 16]).to_string(),
            jti: TokenId::from_bytes([2; 16]),
            iat: 100,
            exp,
            scope: "tenant:*".into(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let verifier = Verifier::new([key()]);
        let token = key().sign(TokenKind::Tenant, &claims(Some(200))).unwrap();
        let verified = verifier.verify(&token, at(199)).unwrap();
        assert_eq!(verified.claims, claims(Some(200)));
        assert_eq!(verified.subject, Subject::Project(ProjectId::from_bytes([1; 16])));
        assert_eq!(verifier.verify(&token, at(200)), Err(TokenError::Expired));
    }

    #[test]
    fn an_independent_implementation_accepts_the_signature() {
        let token = key().sign(TokenKind::Tenant, &claims(None)).unwrap();
        let token = token.strip_prefix("tha_live_").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let public = rsa::PrivateKey::from_pkcs8_der(key().pkcs8()).unwrap().to_public_key();
        let digest = Sha256::digest(message.as_bytes());
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature).unwrap();
    }

    #[test]
    fn a_changed_token_is_refused() {
        let verifier = Verifier::new([key()]);
        let token = key().sign(TokenKind::Tenant, &claims(None)).unwrap();
        let body = token.strip_prefix("tha_live_").unwrap();
        assert_eq!(verifier.verify(&format!("oka_live_{body}"), at(0)), Err(TokenError::Malformed));
        let mut parts: Vec<String> = body.split('.').map(str::to_owned).collect();
        let mut forged = claims(None);
        forged.sub = ProjectId::from_bytes([9; 16]).to_string();
        parts[1] = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&forged).unwrap());
        assert_eq!(verifier.verify(&format!("tha_live_{}", parts.join(".")), at(0)), Err(TokenError::BadSignature));
    }

    #[test]
    fn no_other_algorithm_is_taken() {
        let verifier = Verifier::new([key()]);
        for alg in ["none", "HS256", "rs256"] {
            let header = json!({"alg": alg, "kid": key().kid()}).to_string();
            let payload = serde_json::to_vec(&claims(None)).unwrap();
            let text = format!("tha_live_{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            assert_eq!(verifier.verify(&text, at(0)), Err(TokenError::Malformed));
        }
    }

    #[test]
    fn a_key_survives_storage_and_an_unknown_one_is_named_as_such() {
        let again = SigningKey::from_pkcs8(key().pkcs8()).unwrap();
        assert_eq!(again.kid(), key().kid());
        let token = key().sign(TokenKind::Tenant, &claims(None)).unwrap();
        assert_eq!(Verifier::new([]).verify(&token, at(0)), Err(TokenError::UnknownKey));
        assert!(!format!("{again:?}").contains("pkcs8"));
    }

    #[test]
    fn equal_is_equal_and_nothing_else() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"ab"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_verifier_panic(text: String, prefix in prop::sample::select(vec!["", "tha_live_", "thp_live_"])) {
            let text = format!("{prefix}{text}");
            prop_assert!(Verifier::new([]).verify(&text, at(0)).is_err());
        }

        #[test]
        fn a_subject_survives_its_text(project: [u8; 16], smith: [u8; 16]) {
            let subject = Subject::Smith(ProjectId::from_bytes(project), SmithId::from_bytes(smith));
            prop_assert_eq!(subject.to_string().parse::<Subject>().unwrap(), subject);
        }
    }
}
