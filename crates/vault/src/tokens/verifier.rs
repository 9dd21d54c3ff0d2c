//! Checks tokens that somebody presents. Whatever the text is, the answer is a result.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

use super::{ALGORITHM, Claims, Header, ISSUER, SigningKey, Subject, TokenError, TokenKind};

/// The longest token that is looked at, in bytes; ours have under 2 KiB with every permission.
const LONGEST: usize = 8 * 1024;

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
    /// Takes the public halves of all keys whose tokens are accepted.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.kid().to_owned(), key.public())).collect() }
    }

    /// Checks form, signature, issuer, expiry, and that the prefix and the subject agree.
    ///
    /// Whether the token is registered and not revoked only the store knows.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let mut kinds = TokenKind::ALL.iter();
        let split = kinds.find_map(|kind| Some((*kind, text.strip_prefix(kind.prefix())?)));
        let (kind, token) = split.ok_or(TokenError::Malformed)?;
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Malformed);
        }
        let (_, public) =
            self.keys.iter().find(|(kid, _)| *kid == header.kid).ok_or(TokenError::UnknownKey)?;
        public
            .verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &decode(signature)?)
            .map_err(|_| TokenError::BadSignature)?;
        let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)?;
        if claims.iss != ISSUER {
            return Err(TokenError::WrongIssuer);
        }
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
