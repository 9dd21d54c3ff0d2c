//! Tokens: RS256 JSON Web Tokens behind a prefix that tells their kind.

use std::fmt;
use std::str::FromStr;

use domain::ids::{OrganizationId, ProjectId, SmithId, TokenId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

mod signing;
mod verifier;

pub use signing::{KeyError, SigningKey};
pub use verifier::{Verified, Verifier};

/// The `iss` claim of every token. One that names another issuer is refused.
pub const ISSUER: &str = "ingram";

/// The only algorithm that is signed with and accepted.
const ALGORITHM: &str = "RS256";

/// What a token is for, told by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    Tenant,
    Smith,
    Organization,
}

impl TokenKind {
    /// Lists every kind.
    pub const ALL: &'static [Self] = &[Self::Tenant, Self::Smith, Self::Organization];

    /// Returns what stands before the JSON Web Token in a handle.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Tenant => "tha_live_",
            Self::Smith => "thp_live_",
            Self::Organization => "oka_live_",
        }
    }

    /// Returns the name under which the kind is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Smith => "smith",
            Self::Organization => "organization",
        }
    }

    /// Reads the name under which a kind is stored.
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
    /// Returns the kind of token that this subject has.
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

/// Accepts only the form that is written: ids alone may be read without their prefix, which here would confuse kinds.
impl FromStr for Subject {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let malformed = |_| TokenError::Malformed;
        let subject = if let Some((project, smith)) = text.split_once(':') {
            Self::Smith(project.parse().map_err(malformed)?, smith.parse().map_err(malformed)?)
        } else if text.starts_with("org_") {
            Self::Organization(text.parse().map_err(malformed)?)
        } else {
            Self::Project(text.parse().map_err(malformed)?)
        };
        if subject.to_string() == text { Ok(subject) } else { Err(TokenError::Malformed) }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it: [`ISSUER`].
    pub iss: String,
    /// Whom it stands for, a [`Subject`] as text.
    pub sub: String,
    pub jti: TokenId,
    /// When it was issued, in Unix seconds.
    pub iat: i64,
    /// From when on it is refused, in Unix seconds. None: it does not expire.
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
    #[error("the token was issued by another server")]
    WrongIssuer,
    #[error("the token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    kid: String,
}

/// Hashes a token for storage.
pub fn token_hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares without telling by its duration where two texts of one length differ.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests;
