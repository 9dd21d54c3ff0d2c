//! Slugs: the names of agents that programs use.

use crate::problems::{Code, Problem};

const LONGEST: usize = 63;
/// The slug of an agent whose name has no letter or digit to make one of.
const NAMELESS: &str = "agent";

/// A name of 1 to 63 characters of `a-z`, `0-9` and `-` that begins with a letter or digit. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slug(String);

impl Slug {
    /// Reads a slug that a caller chose.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let is_valid = text.len() <= LONGEST
            && text.starts_with(|first: char| first != '-')
            && text.chars().all(|character| is_plain(character) || character == '-');
        if is_valid {
            return Ok(Self(text.to_owned()));
        }
        let message = format!(
            "`slug` must have 1 to {LONGEST} characters of a-z, 0-9 and `-`, and begin with a letter or digit. Leave it out, \
             and it is made from the name."
        );
        Err(Problem::new(Code::InvalidSlug, message).at("slug"))
    }

    /// Makes a slug from the name of an agent: `Support (EU)` becomes `support-eu`.
    pub fn from_name(name: &str) -> Self {
        let lower = name.to_lowercase();
        let words: Vec<&str> =
            lower.split(|character| !is_plain(character)).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Self(NAMELESS.to_owned());
        }
        Self(words.join("-").chars().take(LONGEST).collect())
    }

    /// Returns the slug with which it is tried for the `number`th time to find one that is free: `support`, `support-2`,
    /// `support-3`. It is as long as a slug may be at most.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        if number <= 1 {
            return self.clone();
        }
        let suffix = format!("-{number}");
        let kept: String = self.0.chars().take(LONGEST.saturating_sub(suffix.len())).collect();
        Self(kept + &suffix)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slug_is_made_from_a_name() {
        let long = "a".repeat(70);
        for (name, slug) in [
            ("Support", "support"),
            ("  Support (EU), 2nd line! ", "support-eu-2nd-line"),
            ("--a__b--", "a-b"),
            ("Größe", "gr-e"),
            ("ÀB", "b"),
            ("\u{212A}elvin", "kelvin"),
            ("客服", "agent"),
            ("", "agent"),
            ("-", "agent"),
            (&long, &long[..63]),
            (&format!("{}  b", "a".repeat(62)), &format!("{}-", "a".repeat(62))),
        ] {
            assert_eq!(Slug::from_name(name).as_str(), slug, "{name}");
        }
    }

    #[test]
    fn a_slug_that_is_none_is_refused() {
        for text in ["", "-", "-a", "A", "a b", "a_b", "ä", "a.b", "a\0", &"a".repeat(64)] {
            let refusal = Slug::parse(text).unwrap_err();
            assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidSlug, Some("slug")), "{text}");
        }
        for text in ["a", "0", "a-b", "a--b", "2nd", &"a".repeat(63)] {
            assert_eq!(Slug::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_number_fits_into_the_longest_slug() {
        let slug = Slug::from_name("support");
        assert_eq!(slug.numbered(1), slug);
        assert_eq!(slug.numbered(2).as_str(), "support-2");
        let long = Slug::from_name(&"a".repeat(63));
        assert_eq!(long.numbered(10).as_str(), format!("{}-10", "a".repeat(60)));
    }

    proptest! {
        #[test]
        fn every_slug_that_is_made_could_have_been_chosen(name: String, number: u64) {
            let slug = Slug::from_name(&name);
            for slug in [slug.numbered(number), slug] {
                prop_assert_eq!(Slug::parse(slug.as_str()), Ok(slug));
            }
        }
    }
}
