//! What a Claude model knows, told from its name.

/// The version of a model: 4.5 of `claude-sonnet-4-5-20250929`, 3.7 of `claude-3-7-sonnet-latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(u32, u32);

/// What the names of Claude models have in them.
const NAMES: [&str; 4] = ["claude", "opus", "sonnet", "haiku"];
/// Somebody else's model behind the same wire.
const OTHER: Generation = Generation(u32::MAX, u32::MAX);

impl Generation {
    /// Reads the version. A name without one is taken for the newest, and what is no Claude too, in what it knows.
    pub(crate) fn of(model: &str) -> Self {
        if !NAMES.iter().any(|name| model.contains(name)) {
            return OTHER;
        }
        // A date is a number too, but a long one.
        let number = |part: &str| part.parse().ok().filter(|_| part.len() <= 2);
        let mut parts = model.split(['-', '.']).skip_while(|part| number(part).is_none());
        let major = parts.next().and_then(number).unwrap_or(u32::MAX);
        Self(major, parts.next().and_then(number).unwrap_or(0))
    }

    pub(crate) fn thinks(self) -> bool {
        self >= Self(3, 7)
    }

    /// Thinks as much as it finds right, steered by an effort; earlier ones are given a budget of tokens.
    pub(crate) fn thinks_adaptively(self) -> bool {
        self >= Self(4, 6)
    }

    /// Thinks unless it is told not to.
    pub(crate) fn thinks_unasked(self) -> bool {
        self >= Self(5, 0)
    }

    pub(crate) fn knows_extra_high_effort(self) -> bool {
        self >= Self(4, 7)
    }

    /// Goes on with an assistant's words at the end of a conversation; later ones want somebody to answer to.
    pub(crate) fn goes_on_unasked(self) -> bool {
        self < Self(4, 6)
    }

    /// Takes a `tool_choice` that leaves no choice; later ones always think first, and refuse the call. Others than Claude
    /// take it.
    pub(crate) fn takes_forced_calls(self) -> bool {
        self < Self(5, 1) || self == OTHER
    }

    /// Takes its thoughts back only behind the instructions and messages that it had them with.
    pub(crate) fn binds_thoughts(self) -> bool {
        self >= Self(5, 1)
    }

    /// Keeps its thoughts to itself unless it is asked for a summary of them.
    pub(crate) fn hides_thoughts(self) -> bool {
        self >= Self(4, 7)
    }

    /// Takes `temperature`, `top_p` and `top_k`; later ones refuse them.
    pub(crate) fn samples(self) -> bool {
        self < Self(4, 7)
    }

    /// Knows `output_config.format` and strict tools.
    pub(crate) fn knows_output_format(self) -> bool {
        self >= Self(4, 5)
    }
}

#[cfg(test)]
mod tests {
    use super::{Generation, OTHER};

    #[test]
    fn the_version_is_read_from_the_name() {
        let check = |model: &str, major, minor| {
            assert_eq!(Generation::of(model), Generation(major, minor), "{model}");
        };
        check("claude-3-5-haiku-20241022", 3, 5);
        check("claude-3-7-sonnet-latest", 3, 7);
        check("claude-sonnet-4-20250514", 4, 0);
        check("claude-opus-4-1", 4, 1);
        check("claude-sonnet-4-5-20250929", 4, 5);
        check("claude-sonnet-5", 5, 0);
        check("claude-fable-5-1", 5, 1);
        check("anthropic/claude-sonnet-4.5", 4, 5);
        check("claude-something-preview", u32::MAX, 0);
        for other in ["MiniMax-M2.1", "glm-5.1", "kimi-k2.5", "deepseek-v3-2"] {
            assert_eq!(Generation::of(other), OTHER, "{other}");
        }
    }

    #[test]
    fn the_newest_claude_is_forced_to_nothing_and_others_are() {
        for (model, takes) in [
            ("claude-opus-5", true),
            ("claude-fable-5-1", false),
            ("claude-opus-5-5", false),
            ("claude-something-preview", false),
            ("glm-5.1", true),
        ] {
            assert_eq!(Generation::of(model).takes_forced_calls(), takes, "{model}");
        }
    }
}
