//! Bytes of a page as text.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// How much of a page is looked through for the name of its encoding, as browsers do.
const PRESCAN: usize = 1_024;

/// Decodes a page: by its byte order mark, by what its head or the page itself says, or as what it seems to be.
pub(super) fn decode<'a>(bytes: &'a [u8], content_type: &str) -> Cow<'a, str> {
    let head = String::from_utf8_lossy(bytes.get(..PRESCAN).unwrap_or(bytes));
    let declared = label(content_type, "charset=")
        .or_else(|| label(&head, "charset="))
        .or_else(|| head.starts_with("<?xml").then(|| label(&head, "encoding=")).flatten());
    if let Some(encoding) = declared {
        return encoding.decode(bytes).0;
    }
    match UTF_8.decode(bytes) {
        (text, _, false) => text,
        // One broken character at the end is where the reading stopped.
        (text, _, true) if text.matches('\u{fffd}').count() <= 1 => text,
        _ => WINDOWS_1252.decode(bytes).0,
    }
}

fn label(text: &str, key: &str) -> Option<&'static Encoding> {
    let lower = text.to_ascii_lowercase();
    let (_, value) = lower.split_once(key)?;
    let value = value.trim_start_matches(['"', '\'', ' ']);
    let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ':' | '.'));
    Encoding::for_label(value.get(..end.unwrap_or(value.len()))?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], content_type: &str, expected: &str) {
        assert_eq!(decode(bytes, content_type), expected);
    }

    #[test]
    fn the_head_has_the_first_word_then_the_page() {
        check(b"caf\xe9", "text/html; charset=ISO-8859-1", "café");
        check("café".as_bytes(), "text/html; charset=\"utf-8\"", "café");
        check(b"<meta charset='windows-1251'>\xcf\xf0", "text/html", "<meta charset='windows-1251'>Пр");
        let meta = b"<meta http-equiv=content-type content=\"text/html; charset=shift_jis\">\x93\xfa";
        assert!(decode(meta, "text/html").ends_with('日'));
        check(
            b"<?xml version='1.0' encoding='latin1'?>\xe9",
            "application/xml",
            "<?xml version='1.0' encoding='latin1'?>é",
        );
        check(b"\xef\xbb\xbfcaf\xc3\xa9", "text/html; charset=latin1", "café");
    }

    #[test]
    fn what_says_nothing_is_unicode_or_what_browsers_take_it_for() {
        check("café 日本".as_bytes(), "text/html", "café 日本");
        check(b"caf\xe9 \x80 na\xefve", "text/html", "café € naïve");
        check(b"caf\xc3\xa9 \xe6\x97", "text/plain", "café \u{fffd}");
        check(b"caf\xe9", "text/html; charset=nonsense", "caf\u{fffd}");
    }
}
