//! Cursors of native lists: where the page before has ended, opaque to the caller.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::Id;
use domain::{Code, Problem};

const VERSION: u8 = 1;

/// Writes a cursor that continues the list `kind` behind an entry.
pub(crate) fn encode<I: Id>(kind: &str, last: I) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(last.as_bytes());
    bytes.extend(kind.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor of the list `kind`; one of another list is as foreign as any other text.
pub(crate) fn decode<I: Id>(kind: &str, cursor: &str) -> Result<I, Problem> {
    read(kind, cursor).map(I::from_bytes).ok_or_else(foreign)
}

/// The refusal of a cursor that is not from the list.
pub(crate) fn foreign() -> Problem {
    let message =
        "The cursor is not from this list. Use the `next_cursor` of the page before, or leave `cursor` out.";
    Problem::new(Code::InvalidCursor, message).at("cursor")
}

fn read(kind: &str, cursor: &str) -> Option<[u8; 16]> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (id, of) = rest.split_at_checked(16)?;
    (*version == VERSION && of == kind.as_bytes()).then(|| id.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use domain::ids::SmithId;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = encode("smiths", SmithId::from_bytes([7; 16]));
        let refusal = decode::<SmithId>("runs", &cursor).unwrap_err();
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidCursor, Some("cursor")));
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(bytes: [u8; 16]) {
            let id = SmithId::from_bytes(bytes);
            prop_assert_eq!(decode::<SmithId>("smiths", &encode("smiths", id)), Ok(id));
        }

        #[test]
        fn no_other_text_is_a_cursor(text: String) {
            prop_assert!(decode::<SmithId>("smiths", &text).is_err());
        }
    }
}
