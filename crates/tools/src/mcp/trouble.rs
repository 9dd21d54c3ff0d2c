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
const MAX_LOOKED_AT: usize = 64 * 1024;

/// How many characters of the beginning of a secret are taken for it, also where the rest is missing.
const TELLING: usize = 8;

/// Errors by which the protocol itself refuses a request.
const REFUSALS: [ErrorCode; 4] = [
    ErrorCode::METHOD_NOT_FOUND,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
    ErrorCode::HEADER_MISMATCH,
];

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

    /// Tells whether the server may have turned the request away because of its revision.
    ///
    /// These are the statuses and errors by which the transport of any revision says that it does not take a request. Whether
    /// that was it, only what the server says of its revisions can tell.
    pub(crate) fn is_turned_away(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status.as_u16(), 400 | 404 | 405 | 406 | 415),
            Self::Error(error) => REFUSALS.contains(&error.code),
            _ => false,
        }
    }

    /// Tells whether a call has certainly had no effect.
    ///
    /// A status that a tool may have caused as well as the transport, as 400 and 403, does not say so.
    fn is_undone(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Unreached(_) | Self::Unusable(_) => true,
            Self::Status { status, error } => {
                matches!(status.as_u16(), 300..=399 | 401 | 404 | 405 | 406 | 413 | 415 | 429)
                    || error.as_ref().is_some_and(|error| REFUSALS.contains(&error.code))
            }
            Self::Error(error) => REFUSALS.contains(&error.code),
            Self::Lost(_) | Self::Nonsense(_) => false,
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

    /// Returns the server's own words, without the secrets that it was called with, and shortened.
    fn words(&self, server: &Server) -> Option<String> {
        let words = self.error()?.message.trim().chars();
        let mut words: String =
            words.filter(|character| !character.is_control()).take(MAX_LOOKED_AT).collect();
        // All of them before anything is cut off: half a secret would not be known for one.
        for secret in secrets(server) {
            words = redacted(&words, &secret);
        }
        let words: String = words.chars().take(MAX_WORDS).collect();
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
        let mut output = match self {
            // Where the address leads is not the model's business.
            Self::Refused(_) => "This server does not call the address of the MCP server.".to_owned(),
            _ => self.sentence(),
        };
        match self {
            Self::Error(_) if !self.is_undone() => {}
            _ if self.is_undone() => output.push_str(" The call was not carried out."),
            _ => output.push_str(" Whether the call was carried out is not known."),
        }
        if let Some(words) = self.words(server) {
            output.push_str(" It says: ");
            output.push_str(&words);
        }
        Answer { trouble: Some(self.sentence()), ..Answer::error(output) }
    }
}

/// Lists what a server must not be heard to repeat: what it is called with, and what stands in its address for that.
fn secrets(server: &Server) -> Vec<String> {
    let mut secrets: Vec<String> = server.url.query().map(str::to_owned).into_iter().collect();
    // A short value is a word like any other.
    let values = server.url.query_pairs().map(|(_, value)| value.into_owned());
    secrets.extend(values.filter(|value| value.chars().count() >= TELLING));
    secrets.extend(server.url.password().map(str::to_owned));
    secrets.extend(server.bearer.as_ref().map(|bearer| bearer.expose_secret().to_owned()));
    for (_, value) in &server.headers {
        let value = value.expose_secret();
        // What stands behind `Bearer` and the like is the secret.
        secrets.extend(value.split_once(' ').map(|(_, bare)| bare.trim().to_owned()));
        secrets.push(value.to_owned());
    }
    secrets.retain(|secret| !secret.is_empty());
    // The longest first, so that nothing is left over of one that holds another.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// Leaves a secret out of a text, and every piece that it begins with, from a telling length on.
fn redacted(text: &str, secret: &str) -> String {
    let telling = secret.char_indices().nth(TELLING).map_or(secret, |(end, _)| secret.split_at(end).0);
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, found)) = rest.split_once(telling) {
        redacted.push_str(before);
        redacted.push('…');
        let more = secret.strip_prefix(telling).unwrap_or_default();
        let same = more.chars().zip(found.chars()).take_while(|(one, other)| one == other);
        let repeated = same.map(|(character, _)| character.len_utf8()).sum();
        rest = found.get(repeated..).unwrap_or_default();
    }
    redacted.push_str(rest);
    redacted
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
    fn a_piece_of_a_secret_is_no_less_a_secret() {
        let server = Server {
            url: "https://mcp.example/mcp?v=2&key=query-secret-9".parse().unwrap(),
            bearer: Some("abcdefgh-ijklmnop".into()),
            headers: vec![(http::header::COOKIE, "Token qrstuvwxyz-012345".into())],
            protocol: None,
        };
        let words = |text: &str| Trouble::Error(error(text)).words(&server).unwrap();
        assert_eq!(words("abcdefgh-ijklmnop is wrong"), "… is wrong");
        assert_eq!(words("wrong: abcdefgh-ijk"), "wrong: …");
        assert_eq!(words("Token qrstuvwxyz-012345, or qrstuvwxyz***"), "…, or …***");
        assert_eq!(words("abcdefgh-ijk... and abcdefgh"), "…... and …");
        assert_eq!(words("abcdefg is too short to tell, v 2"), "abcdefg is too short to tell, v 2");
        assert_eq!(words("the key query-secret-9 of v=2&key=query-secret-9"), "the key … of …");
        // What is cut off is looked at first: no half of the secret stays at the end.
        for before in 480..500 {
            let words = words(&format!("{} abcdefgh-ijklmnop", "x".repeat(before)));
            assert!(words.chars().count() <= MAX_WORDS && !words.contains("abc"), "{words}");
        }
    }

    #[test]
    fn a_model_is_not_told_where_the_address_leads() {
        let url = "http://169.254.169.254/mcp".parse().unwrap();
        let egress = egress::Egress::new().unwrap();
        let timeouts =
            egress::Timeouts { connect: std::time::Duration::from_secs(1), idle: None, total: None };
        let client = egress.client(egress::Policy::Public, timeouts).unwrap();
        let refusal = client.request(reqwest::Method::GET, &url).unwrap_err();
        let answer = Trouble::Refused(refusal).answer(&server());
        let told = "This server does not call the address of the MCP server. The call was not carried out.";
        assert_eq!(answer.output, told);
        assert!(answer.trouble.unwrap().contains("169.254.169.254"));
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
        let status = |status, error| output(Trouble::Status { status, error });
        // A tool may have caused these, in the middle of its work.
        for open in [
            StatusCode::BAD_REQUEST,
            StatusCode::FORBIDDEN,
            StatusCode::CONFLICT,
            StatusCode::UNPROCESSABLE_ENTITY,
        ] {
            assert!(is_unknown(status(open, None)), "{open}");
        }
        assert!(is_unknown(status(StatusCode::BAD_REQUEST, Some(error("no")))));
        let mismatch = ErrorData::new(ErrorCode::HEADER_MISMATCH, "no".to_owned(), None);
        let is_undone = |output: String| output.contains("was not carried out");
        assert!(is_undone(status(StatusCode::BAD_REQUEST, Some(mismatch.clone()))));
        assert!(is_undone(output(Trouble::Error(mismatch))));
        assert!(
            is_undone(status(StatusCode::NOT_FOUND, None))
                && is_undone(status(StatusCode::UNAUTHORIZED, None))
        );
        assert!(is_undone(output(Trouble::Unreached("refused the connection"))));
    }
}
