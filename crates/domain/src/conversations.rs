//! Conversations: listable handles on threads of a smith, with a title.

use serde_json::{Map, Value};

use crate::problems::Problem;
use crate::smiths::parse_metadata;

/// The most characters of a title that a caller sets.
pub const LONGEST_TITLE: usize = 255;
/// About how many characters of a message become a title.
const CUT: usize = 60;

/// Makes a title of what the first message of a conversation says: its beginning on one line, cut behind a word.
///
/// None where the message has no text that could be shown.
pub fn title_of(text: &str) -> Option<String> {
    let is_shown = |character: &char| !character.is_control() && !is_invisible(*character);
    let mut title = String::new();
    let mut length = 0_usize;
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        let word: String = word.chars().filter(is_shown).collect();
        if word.is_empty() {
            continue;
        }
        let (space, letters) = (usize::from(!title.is_empty()), word.chars().count());
        let longer = length.saturating_add(space).saturating_add(letters);
        if longer <= CUT {
            title.extend((space == 1).then_some(' '));
            title.push_str(&word);
            length = longer;
            continue;
        }
        // Text without spaces, or a word that is longer than a title, is cut within.
        if title.is_empty() {
            title.extend(word.chars().take(CUT.saturating_sub(1)));
        }
        title.push('…');
        break;
    }
    (!title.is_empty()).then_some(title)
}

/// Characters that change how others are shown, and show nothing themselves.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Takes over what is said of `metadata`: a value sets a key, null removes it, and keys that are not named stay.
pub fn merge_metadata(
    metadata: &mut Map<String, Value>,
    changes: &Map<String, Value>,
) -> Result<(), Problem> {
    let mut merged = metadata.clone();
    for (key, value) in changes {
        match value {
            Value::Null => {
                // The others keep their order.
                merged.shift_remove(key);
            }
            value => {
                merged.insert(key.clone(), value.clone());
            }
        }
    }
    *metadata = parse_metadata(&Value::Object(merged))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_title_is_the_beginning_of_the_message_on_one_line() {
        let check = |text: &str, title: &str| assert_eq!(title_of(text).as_deref(), Some(title), "{text}");
        check("Hello", "Hello");
        check("  Where is\n\tmy   order? ", "Where is my order?");
        let long =
            "Please write a long letter to the landlord about the heating, which has been cold for weeks";
        check(long, "Please write a long letter to the landlord about the…");
        check(&"x".repeat(60), &"x".repeat(60));
        check(&"x".repeat(61), &format!("{}…", "x".repeat(59)));
        check(&"語".repeat(100), &format!("{}…", "語".repeat(59)));
        check("a\u{202e}b\u{0}c", "ab c");
    }

    #[test]
    fn a_message_that_shows_nothing_gives_no_title() {
        for text in ["", " \n ", "\u{200b}\u{feff}", "\0"] {
            assert_eq!(title_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn null_removes_a_key_and_the_others_stay() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let mut metadata = object(json!({"a": 1, "b": {"c": null}, "d": 2}));
        merge_metadata(&mut metadata, &object(json!({"a": null, "e": [3], "d": 4, "f": null}))).unwrap();
        assert_eq!(Value::Object(metadata.clone()).to_string(), r#"{"b":{"c":null},"d":4,"e":[3]}"#);
        let refusal = merge_metadata(&mut metadata, &object(json!({"g": "x".repeat(20_000)}))).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("metadata"));
        assert!(!metadata.contains_key("g"));
    }

    proptest! {
        #[test]
        fn every_title_fits_and_has_one_line(text: String) {
            if let Some(title) = title_of(&text) {
                prop_assert!(title.chars().count() <= CUT + 1);
                prop_assert!(!title.contains(char::is_control) && title.trim() == title);
            }
        }
    }
}
