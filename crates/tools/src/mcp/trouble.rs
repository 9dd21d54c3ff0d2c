//! What went wrong with a server, and how it is told: to people, and to the model.

use egress::{Refusal, reqwest};
use http::StatusCode;
use rmcp::model::{ErrorCode, ErrorData};
use secrecy::ExposeSecret;

use super::Server;
use super::failure::{Failure, FailureKind};
use crate::call::Answer;

/// How much of a server's own words is passed on, in characters.
const MAX_WORDS: usize = 500;
/// How much of them is looked at.
const MAX_LOOK: usize = 8 * 1024;
/// The shortest piece of a secret that is one.
const PIECE: usize = 8;

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The address may not be called.
    Refused(Refusal),
    /// There was no connection; nothing was sent.
    Unreached(&'static str),
    /// The request was sent, and its answer is lost.
    Lost(&'static str),
    /// The server answered with a status that is no success, perhaps with an error of the protocol.
    Status { status: StatusCode, error: Option<ErrorData> },
    /// The server answered with an error of the protocol.
    Error(ErrorData),
    /// The server answered with what makes no sense.
    Nonsense(&'static str),
    /// The request could not be made, or an earlier step already told that the server cannot carry it out.
    Unusable(&'static str),
}

impl Trouble {
    /// Turns a request that could not be sent, or an answer that broke off, into trouble.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if let Some(refusal) = Refusal::behind(error) {
            return Self::Refused(refusal.clone());
        }
        if error.is_connect() {
            return Self::Unreached(unreached(error));
        }
        if error.is_builder() {
            return Self::Unusable("cannot be called with this address and secret; set them again");
        }
        Self::Lost("broke the connection before its answer was complete")
    }

    /// Returns the error of the protocol, if the server gave one.
    pub(crate) const fn error(&self) -> Option<&ErrorData> {
        match self {
            Self::Error(error) | Self::Status { error: Some(error), .. } => Some(error),
            _ => None,
        }
    }

    pub(crate) fn has_code(&self, code: ErrorCode) -> bool {
        self.error().is_some_and(|error| error.code == code)
    }

    /// Tells whether the server has turned the request away without looking at what it asks for.
    ///
    /// These are the statuses and errors by which the transport of any revision says that it does not take a request:
    /// nothing was carried out. An error that a tool may have caused is not among them.
    pub(crate) fn is_turned_away(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 400 | 404 | 405 | 406 | 415),
            Self::Error(error) => [
                ErrorCode::METHOD_NOT_FOUND,
                ErrorCode::INVALID_REQUEST,
                ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
                ErrorCode::HEADER_MISMATCH,
            ]
            .contains(&error.code),
            _ => false,
        }
    }

    const fn kind(&self) -> FailureKind {
        match self {
            Self::Refused(_) => FailureKind::Refused,
            Self::Unreached(_) | Self::Lost(_) => FailureKind::Unreachable,
            Self::Status { status, .. } => match status.as_u16() {
                401 | 403 => FailureKind::Unauthorized,
                408 | 429 | 500..=599 => FailureKind::Unreachable,
                _ => FailureKind::Protocol,
            },
            Self::Error(_) | Self::Nonsense(_) | Self::Unusable(_) => FailureKind::Protocol,
        }
    }

    /// Says what is wrong with the server, without a word of its own.
    fn sentence(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::Unreached(what) | Self::Lost(what) | Self::Nonsense(what) | Self::Unusable(what) => {
                format!("The MCP server {what}.")
            }
            Self::Status { status, error } => {
                let advice = match status.as_u16() {
                    401 => ": it wants other credentials. Check the server's `auth`",
                    403 => ": the credentials do not allow this. Check the server's `auth`",
                    300..=399 => ", a redirect, which is not followed. Register the address that it leads to",
                    404 | 405 if error.is_none() => ". Check the path of its address",
                    429 => ": it was called too often",
                    _ => "",
                };
                format!("The MCP server answered with status {}{advice}.", status.as_u16())
            }
            Self::Error(error) => format!("The MCP server answered with the error {}.", error.code.0),
        }
    }

    /// Returns the server's own words, shortened and without the secrets that it was called with.
    fn words(&self, server: &Server) -> Option<String> {
        let words = self.error()?.message.trim();
        let words: String =
            words.chars().filter(|character| !character.is_control()).take(MAX_LOOK).collect();
        let words = words_without(words, &secrets_of(server));
        (!words.is_empty()).then_some(words)
    }

    pub(crate) fn failure(&self, server: &Server) -> Failure {
        let message = match self.words(server) {
            Some(words) => format!("{} It says: {words}", self.sentence()),
            None => self.sentence(),
        };
        Failure { kind: self.kind(), message }
    }

    /// Makes the answer that a model gets instead of a result.
    pub(crate) fn answer(&self, server: &Server) -> Answer {
        let mut output = self.sentence();
        match self {
            Self::Lost(_) | Self::Nonsense(_) => {
                output.push_str(" Whether the call was carried out is not known.");
            }
            Self::Status { status, .. } if status.is_server_error() => {
                output.push_str(" Whether the call was carried out is not known.");
            }
            Self::Error(_) => {}
            _ => output.push_str(" The call was not carried out."),
        }
        if let Some(words) = self.words(server) {
            output.push_str(" It says: ");
            output.push_str(&words);
        }
        Answer { trouble: Some(self.sentence()), ..Answer::error(output) }
    }
}

/// Lists what a server was called with that is nobody's to know.
fn secrets_of(server: &Server) -> Vec<String> {
    let headers = server.headers.iter().flat_map(|(_, value)| {
        let value = value.expose_secret();
        // What stands behind `Bearer` and the like is the secret.
        let bare = value.split_once(' ').map(|(_, bare)| bare.trim());
        [Some(value), bare]
    });
    let bearer = server.bearer.as_ref().map(ExposeSecret::expose_secret);
    let values =
        server.url.query_pairs().map(|(_, value)| value.into_owned()).filter(|value| value.len() >= PIECE);
    let known = headers.chain([bearer, server.url.query(), server.url.password()]).flatten();
    let mut secrets: Vec<String> =
        known.map(str::to_owned).chain(values).filter(|secret| !secret.is_empty()).collect();
    // The longest first, so that none is left over of one that holds another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Takes secrets out of words, whole and as beginnings that a server has cut, and shortens what is left.
fn words_without(mut words: String, secrets: &[String]) -> String {
    for secret in secrets {
        words = words.replace(secret.as_str(), "…");
    }
    for secret in secrets {
        // A server that shows the beginning of a token shows how the rest goes on to look.
        let Some(beginning) = secret.get(..PIECE) else { continue };
        while let Some(at) = words.find(beginning) {
            let rest = words.get(at..).unwrap_or_default();
            let shared = rest.bytes().zip(secret.bytes()).take_while(|(one, other)| one == other).count();
            let end = (at..=at.saturating_add(shared)).rev().find(|end| words.is_char_boundary(*end));
            words.replace_range(at..end.unwrap_or(at.saturating_add(PIECE)), "…");
        }
    }
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => words.get(..end).unwrap_or_default().to_owned(),
        None => words,
    }
}

/// Says why there is no connection, as far as it tells its reader what to look at.
fn unreached(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        return "could not be reached in time";
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind == Some(std::io::ErrorKind::ConnectionRefused) {
            return "refused the connection";
        }
        // The error of the TLS library has no type that is ours to name.
        if error.to_string().contains("certificate") {
            return "showed a certificate that this server does not trust";
        }
        cause = error.source();
    }
    "could not be reached"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server {
            url: "https://user:hush@mcp.example/mcp?key=s3cret".parse().unwrap(),
            bearer: Some("tok-1".into()),
            headers: vec![(http::header::COOKIE, "Token abcdefghijklmnop".into())],
            protocol: None,
        }
    }

    fn error(message: &str) -> ErrorData {
        ErrorData::new(ErrorCode::INVALID_PARAMS, message.to_owned(), None)
    }

    #[test]
    fn secrets_that_a_server_repeats_are_not_passed_on() {
        let trouble = Trouble::Error(error("tok-1 and hush at ?key=s3cret\n are wrong"));
        let failure = trouble.failure(&server());
        assert_eq!(
            failure.message,
            "The MCP server answered with the error -32602. It says: … and … at ?… are wrong"
        );
        let answer = trouble.answer(&server());
        assert_eq!(answer.trouble.as_deref(), Some("The MCP server answered with the error -32602."));
        assert!(answer.is_error && !answer.output.contains("s3cret"));
        assert!(!format!("{:?}", server()).contains("s3cret"));
    }

    #[test]
    fn pieces_of_secrets_are_not_passed_on_either() {
        let told = |words: &str| Trouble::Error(error(words)).failure(&server()).message;
        assert!(told("no cookie abcdefghijklmnop").ends_with("no cookie …"));
        assert!(told("no cookie abcdefghij***").ends_with("no cookie …***"));
        let long = format!("{}abcdefghijklmnop", "x".repeat(MAX_WORDS - 10));
        assert!(!told(&long).contains("abcdefgh"), "also where the words are cut");
    }

    #[test]
    fn the_words_of_a_server_are_bounded() {
        let failure = Trouble::Error(error(&"long ".repeat(10_000))).failure(&server());
        assert!(failure.message.len() < 600);
    }

    #[test]
    fn each_status_says_what_to_look_at() {
        let check = |status: u16, kind, words: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = Trouble::Status { status, error: None }.failure(&server());
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        };
        check(401, FailureKind::Unauthorized, "`auth`");
        check(403, FailureKind::Unauthorized, "`auth`");
        check(302, FailureKind::Protocol, "redirect");
        check(404, FailureKind::Protocol, "path");
        check(429, FailureKind::Unreachable, "too often");
        check(503, FailureKind::Unreachable, "503");
    }

    #[test]
    fn a_model_is_told_whether_the_call_may_have_been_carried_out() {
        let output = |trouble: Trouble| trouble.answer(&server()).output;
        let is_unknown = |output: String| output.contains("not known");
        assert!(is_unknown(output(Trouble::Lost("hung up"))));
        assert!(is_unknown(output(Trouble::Status { status: StatusCode::BAD_GATEWAY, error: None })));
        assert!(!is_unknown(output(Trouble::Unreached("refused the connection"))));
        assert!(!is_unknown(output(Trouble::Status { status: StatusCode::NOT_FOUND, error: None })));
    }
}
