//! Which revision of the protocol a server speaks.

use rmcp::model::{ErrorCode, ProtocolVersion};
use serde_json::{Map, Value};

use super::Server;
use super::dialect::{Dialect, NEWEST};
use super::link::{Link, Request};
use super::patience::Patience;
use super::trouble::Trouble;

/// The two ways in which servers are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// 2026-07-28: each request by itself.
    Stateless,
    /// 2025-11-25 and older: a handshake first.
    Initialized,
}

impl Revision {
    /// Returns the way of a revision that is known from earlier.
    pub(crate) fn of(protocol: &str) -> Option<Self> {
        let known = ProtocolVersion::KNOWN_VERSIONS.iter().find(|version| version.as_str() == protocol)?;
        Some(if known.has_initialize() { Self::Initialized } else { Self::Stateless })
    }

    /// Chooses among what a server offers, the newest first.
    fn among(offered: &Value) -> Option<Self> {
        let offered: Vec<_> = offered.as_array()?.iter().filter_map(Value::as_str).collect();
        if offered.contains(&NEWEST) {
            return Some(Self::Stateless);
        }
        offered.into_iter().find_map(Self::of)
    }
}

/// Asks a server for its revisions.
///
/// `server/discover` is understood by every server of the newest revision, and does nothing on any other. A server that
/// does not understand it is taken for one of the older revisions, whatever it answers instead; the handshake will tell.
pub(crate) async fn probe(link: &Link, server: &Server, patience: &Patience) -> Result<Revision, Trouble> {
    let request = Request::new(link, "server/discover", Map::new());
    // Some old servers keep silent about what they do not know, which must not use up all the time there is.
    let mut patience = patience.third();
    match link.ask(server, Dialect::Stateless, request, &mut patience).await {
        Ok(reply) => {
            let offered = reply.result.get("supportedVersions");
            Ok(offered.map_or(Some(Revision::Initialized), Revision::among).ok_or(no_common_revision())?)
        }
        Err(trouble @ (Trouble::Refused(_) | Trouble::Unreached(_) | Trouble::Unusable(_))) => Err(trouble),
        Err(trouble) => judge(trouble),
    }
}

/// Decides by what a server answers that has not simply told its revisions.
fn judge(trouble: Trouble) -> Result<Revision, Trouble> {
    if trouble.has_code(ErrorCode::UNSUPPORTED_PROTOCOL_VERSION) {
        let data = trouble.error().and_then(|error| error.data.as_ref());
        let offered = data.and_then(|data| data.get("supported"));
        // It has just refused the newest.
        return match offered.and_then(Revision::among) {
            Some(Revision::Initialized) => Ok(Revision::Initialized),
            _ => Err(no_common_revision()),
        };
    }
    if trouble.has_code(ErrorCode::HEADER_MISMATCH)
        || trouble.has_code(ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY)
    {
        return Ok(Revision::Stateless);
    }
    match &trouble {
        Trouble::Status { status, .. } if matches!(status.as_u16(), 401 | 403 | 429 | 300..=399) => {
            Err(trouble)
        }
        _ => Ok(Revision::Initialized),
    }
}

const fn no_common_revision() -> Trouble {
    Trouble::Nonsense("speaks no revision of the protocol that this server speaks")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use rmcp::model::ErrorData;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_revision_that_both_speak_is_chosen() {
        assert_eq!(Revision::among(&json!(["2025-11-25", "2026-07-28"])), Some(Revision::Stateless));
        assert_eq!(Revision::among(&json!(["2025-03-26"])), Some(Revision::Initialized));
        assert_eq!(Revision::among(&json!(["2099-01-01"])), None);
        assert_eq!(Revision::of("2024-11-05"), Some(Revision::Initialized));
        assert_eq!(Revision::of("someday"), None);
    }

    #[test]
    fn only_errors_of_the_newest_revision_are_taken_for_it() {
        let error = |code, data| Trouble::Status {
            status: StatusCode::BAD_REQUEST,
            error: Some(ErrorData::new(code, "no", data)),
        };
        let supported = |versions: Value| Some(json!({"supported": versions}));
        let unsupported = ErrorCode::UNSUPPORTED_PROTOCOL_VERSION;
        assert_eq!(judge(error(ErrorCode::HEADER_MISMATCH, None)).unwrap(), Revision::Stateless);
        assert_eq!(judge(error(ErrorCode::METHOD_NOT_FOUND, None)).unwrap(), Revision::Initialized);
        assert_eq!(
            judge(error(unsupported, supported(json!(["2025-11-25"])))).unwrap(),
            Revision::Initialized
        );
        assert!(judge(error(unsupported, supported(json!(["2099-01-01"])))).is_err());
        assert!(judge(error(unsupported, None)).is_err());
        let status = |status| judge(Trouble::Status { status, error: None });
        assert_eq!(status(StatusCode::NOT_FOUND).unwrap(), Revision::Initialized);
        assert_eq!(status(StatusCode::INTERNAL_SERVER_ERROR).unwrap(), Revision::Initialized);
        assert!(status(StatusCode::UNAUTHORIZED).is_err());
    }
}
