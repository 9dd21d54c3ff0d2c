//! Why a server's tools could not be listed, in words for the people who registered it.

/// What has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// This server does not call the address.
    Refused,
    /// There was no connection, it broke, or there was no answer in time.
    Unreachable,
    /// The server did not accept the credentials, or wants some.
    Unauthorized,
    /// The server answered, but not as this protocol has it, or with more than is taken.
    Protocol,
}

/// The tools of a server could not be listed.
///
/// The message holds neither the bearer nor the query of the address, nor a beginning of them that a server has repeated as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
}
