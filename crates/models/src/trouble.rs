//! Why a call failed, before it is put into words for the caller.

use std::time::Duration;

use domain::models::Provider;

use crate::call::{Failure, FailureKind};

/// How much of a provider's own words is passed on, in characters.
const QUOTE: usize = 300;

/// Shorter keys are placeholders for servers that want none; replacing them would garble messages.
const SHORTEST_SECRET: usize = 4;

/// What went wrong with a call. The provider's words stay raw in here, so that a key in them is found before they are
/// shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) kind: FailureKind,
    /// Continues a sentence that begins with the provider's name.
    what: String,
    said: Option<String>,
    advice: &'static str,
    /// How long the provider asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

impl Trouble {
    /// The same call may succeed later.
    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        let advice = "Try again later.";
        Self { kind: FailureKind::Unavailable, what: what.into(), said: None, advice, retry_after: None }
    }

    /// There is no connection.
    pub(crate) fn unreachable(what: &str) -> Self {
        let advice = "Check the address and the network, or try again later.";
        Self { advice, ..Self::unavailable(what) }
    }

    /// The call will not be taken as it is.
    pub(crate) fn refused(what: impl Into<String>, advice: &'static str) -> Self {
        Self { kind: FailureKind::Refused, what: what.into(), said: None, advice, retry_after: None }
    }

    /// The address may not be called; `why` says so in full.
    pub(crate) fn forbidden(why: &str) -> Self {
        let what = format!("was not called. {}", why.trim_end_matches('.'));
        Self { kind: FailureKind::Forbidden, what, said: None, advice: "", retry_after: None }
    }

    /// The stream ended before the answer did.
    pub(crate) fn cut() -> Self {
        Self::unavailable("ended the stream before the answer was complete")
    }

    /// What came is not the provider's format.
    pub(crate) fn garbage() -> Self {
        Self::unavailable("sent something that is not an answer in its own format")
    }

    /// Adds the provider's own words.
    #[must_use]
    pub(crate) fn said(mut self, words: Option<&str>) -> Self {
        self.said = words.filter(|words| !words.trim().is_empty()).map(ToOwned::to_owned);
        self
    }

    #[must_use]
    pub(crate) const fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Puts it into words that hold no key.
    pub(crate) fn into_failure(self, provider: Provider, key: &str, attempts: u32) -> Failure {
        let mut message = format!("{} {}", provider.label(), self.what);
        if attempts > 1 {
            message.push_str(&format!(" ({attempts} attempts)"));
        }
        if let Some(said) = self.said {
            message.push_str(&format!(": \"{}\"", shortened(&without(&said, key))));
        }
        message.push('.');
        if !self.advice.is_empty() {
            message.push(' ');
            message.push_str(self.advice);
        }
        Failure { kind: self.kind, message: without(&message, key) }
    }
}

fn without(text: &str, key: &str) -> String {
    if key.len() < SHORTEST_SECRET { text.to_owned() } else { text.replace(key, "[key]") }
}

/// Makes one line of at most [`QUOTE`] characters.
fn shortened(text: &str) -> String {
    let line = text.split(|character: char| character.is_whitespace() || character.is_control());
    let line = line.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_before_the_words_are_shortened() {
        let words = format!("{}sk-secret-key is wrong", "x".repeat(QUOTE - 6));
        let trouble = Trouble::refused("refused the call (400)", "Check the model.").said(Some(&words));
        let failure = trouble.into_failure(Provider::Openai, "sk-secret-key", 1);
        assert!(!failure.message.contains("sk-"), "{}", failure.message);
        assert!(failure.message.chars().count() < QUOTE + 100);
    }

    #[test]
    fn a_message_says_who_what_and_what_to_do() {
        let failure = Trouble::unavailable("answered 529").said(Some("over\n loaded")).into_failure(
            Provider::Anthropic,
            "key-of-somebody",
            3,
        );
        assert_eq!(failure.message, "Anthropic answered 529 (3 attempts): \"over loaded\". Try again later.");
    }

    #[test]
    fn a_placeholder_is_no_secret() {
        let failure = Trouble::refused("refused the call (404)", "").said(Some("no xylophone")).into_failure(
            Provider::OpenaiCompatible,
            "x",
            1,
        );
        assert_eq!(failure.message, "OpenAI-compatible refused the call (404): \"no xylophone\".");
    }
}
