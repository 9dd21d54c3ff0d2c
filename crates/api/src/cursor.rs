//! Cursors of native lists: where the page before has ended, opaque to the caller.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::Id;
use domain::{Code, Problem};

const VERSION: u8 = 1;

/// What places an entry in its list.
pub(crate) trait Position: Copy {
    fn to_bytes(self) -> [u8; 16];

    /// Reads a position; None where the bytes are none of this kind.
    fn read(bytes: [u8; 16]) -> Option<Self>;
}

impl<I: Id> Position for I {
    fn to_bytes(self) -> [u8; 16] {
        self.as_bytes()
    }

    fn read(bytes: [u8; 16]) -> Option<Self> {
        Some(Self::from_bytes(bytes))
    }
}

/// The place in a list whose entries are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u32);

impl Position for Number {
    fn to_bytes(self) -> [u8; 16] {
        u128::from(self.0).to_be_bytes()
    }

    fn read(bytes: [u8; 16]) -> Option<Self> {
        u128::from_be_bytes(bytes).try_into().map(Self).ok()
    }
}

/// Writes a cursor that continues the list `kind` behind an entry.
pub(crate) fn encode<P: Position>(kind: &str, last: P) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(last.to_bytes());
    bytes.extend(kind.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor of the list `kind`; one of another list is as foreign as any other text.
pub(crate) fn decode<P: Position>(kind: &str, cursor: &str) -> Result<P, Problem> {
    read(kind, cursor).and_then(P::read).ok_or_else(|| {
        let message = "The cursor is not from this list. Use the `next_cursor` of the page before, or leave `cursor` out.";
        Problem::new(Code::InvalidCursor, message).at("cursor")
    })
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
        fn a_number_survives_its_cursor(number: u32, bytes: [u8; 16]) {
            prop_assert_eq!(decode::<Number>("revisions", &encode("revisions", Number(number))), Ok(Number(number)));
            let is_small = bytes.iter().take(12).all(|byte| *byte == 0);
            let cursor = encode("revisions", SmithId::from_bytes(bytes));
            prop_assert_eq!(decode::<Number>("revisions", &cursor).is_ok(), is_small);
        }

        #[test]
        fn no_other_text_is_a_cursor(text: String) {
            prop_assert!(decode::<SmithId>("smiths", &text).is_err());
        }
    }
}
