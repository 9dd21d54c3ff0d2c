//! All cryptography of the server: ids and randomness, sealing, tokens, signatures. Small, so that it can be reviewed in one sitting.

mod ids;
mod sealing;
mod signatures;
mod tokens;

pub use ids::{Ids, SystemClock};
pub use sealing::{Context, DataKey, InvalidMasterKey, MasterKey, SealError};
pub use signatures::{InvalidSigningSecret, Signatures, SigningSecret};
pub use tokens::{
    Claims, ISSUER, KeyError, SigningKey, Subject, TokenError, TokenKind, Verified, Verifier,
    constant_time_eq, token_hash,
};
