//! What one attempt ends with.

use egress::Refusal;
use egress::reqwest::{self, Response};

use crate::Answer;
use crate::body;

/// How much of an error's body a model gets, in characters.
const MAX_WORDS: usize = 500;

/// Why there is no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// The address is none, or something cannot be sent.
    Unusable,
    /// The guard does not let the request out.
    Refused(Refusal),
    Unreachable,
    Late,
    Broken,
    TooLarge {
        status: u16,
        max_bytes: usize,
    },
    NoText {
        status: u16,
    },
    Status {
        status: u16,
        words: String,
    },
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        match Refusal::behind(&error) {
            Some(refusal) => Self::Refused(refusal.clone()),
            None if error.is_timeout() => Self::Late,
            None if error.is_connect() => Self::Unreachable,
            None => Self::Broken,
        }
    }
}

impl Failure {
    /// Tells whether another attempt may end better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::Late | Self::Broken => true,
            Self::Status { status, .. } => *status == 429 || (500..=599).contains(status),
            Self::Unusable | Self::Refused(_) | Self::TooLarge { .. } | Self::NoText { .. } => false,
        }
    }

    /// Tells whether the request may have had its effect.
    fn is_unknown(&self) -> bool {
        match self {
            Self::Late | Self::Broken => true,
            Self::Status { status, .. } => (500..=599).contains(status),
            _ => false,
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::TooLarge { status, .. } | Self::NoText { status } | Self::Status { status, .. } => {
                Some(*status)
            }
            Self::Unusable | Self::Refused(_) | Self::Unreachable | Self::Late | Self::Broken => None,
        }
    }

    /// Puts the failure into words: for the model, and without what the tool said for whoever looks after it.
    pub(super) fn answer(&self) -> Answer {
        let trouble = self.trouble();
        let mut output = match self {
            Self::Status { status, words } if !words.is_empty() => {
                format!("The tool failed: it answered with HTTP status {status} and said: {words}")
            }
            // Where the address leads is not the model's business.
            Self::Refused(_) => "The tool failed: this server does not call its address.".to_owned(),
            // A success said that the work is done; a model that takes this for a failure would have it done again.
            Self::TooLarge { .. } | Self::NoText { .. } => {
                format!("It was carried out, but its result cannot be read: {trouble}")
            }
            _ => format!("The tool failed: {trouble}"),
        };
        if self.is_unknown() {
            output.push_str(" Whether it was carried out is not known.");
        }
        Answer { trouble: Some(trouble), ..Answer::error(output) }
    }

    fn trouble(&self) -> String {
        match self {
            Self::Unusable => "its address or the id of the call cannot be used in a request.".to_owned(),
            Self::Refused(refusal) => refusal.to_string(),
            Self::Unreachable => "no connection to its server.".to_owned(),
            Self::Late => "it did not answer in time.".to_owned(),
            Self::Broken => "its server broke the answer off.".to_owned(),
            Self::TooLarge { max_bytes, .. } => format!("its result has more than {max_bytes} bytes."),
            Self::NoText { .. } => "its result is no text in UTF-8.".to_owned(),
            Self::Status { status, .. } if (300..=399).contains(status) => {
                format!("it answered with HTTP status {status}, and redirects are not followed.")
            }
            Self::Status { status, .. } => format!("it answered with HTTP status {status}."),
        }
    }
}

/// Reads an answer: its body where it is a good one.
pub(super) async fn read(mut response: Response, max_bytes: usize) -> Result<(u16, String), Failure> {
    let status = response.status().as_u16();
    if !response.status().is_success() {
        // The status says enough; what breaks its body off is no matter.
        let body = body::read(&mut response, MAX_WORDS * 4).await.map(|body| body.bytes).unwrap_or_default();
        return Err(Failure::Status { status, words: words(&body) });
    }
    let body = body::read(&mut response, max_bytes).await?;
    if body.is_cut {
        return Err(Failure::TooLarge { status, max_bytes });
    }
    String::from_utf8(body.bytes).map(|text| (status, text)).map_err(|_| Failure::NoText { status })
}

/// Takes the beginning of a body that is text.
fn words(body: &[u8]) -> String {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        // The reading may have stopped within a character.
        Err(error) if error.error_len().is_none() => body
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())
            .unwrap_or_default(),
        Err(_) => "",
    };
    text.trim().chars().take(MAX_WORDS).collect()
}
