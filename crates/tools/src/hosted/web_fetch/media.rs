//! What can be read of the web.

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Html,
    Text,
    /// The answer does not say.
    Unknown,
}

impl Kind {
    /// Reads the media type of an answer, in lower case. One that is no text is refused with words for the model.
    pub(super) fn of(content_type: &str) -> Result<Self, String> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence {
            "text/html" | "application/xhtml+xml" => Ok(Self::Html),
            "application/json"
            | "application/xml"
            | "application/yaml"
            | "application/javascript"
            | "application/x-ndjson" => Ok(Self::Text),
            "" | "application/octet-stream" => Ok(Self::Unknown),
            _ if essence.starts_with("text/") || essence.ends_with("+json") || essence.ends_with("+xml") => {
                Ok(Self::Text)
            }
            _ => {
                let essence: String = essence.chars().take(100).collect();
                Err(format!(
                    "The address holds `{essence}`, which cannot be read as text. HTML, plain text, JSON and XML can."
                ))
            }
        }
    }

    /// Decides by the content where the answer did not say.
    pub(super) fn settled(self, bytes: &[u8]) -> Result<Self, String> {
        if self != Self::Unknown {
            return Ok(self);
        }
        let start = bytes.get(..512).unwrap_or(bytes);
        if start.contains(&0) {
            return Err(
                "The address holds no text but bytes of an unknown kind, which cannot be read.".to_owned()
            );
        }
        let start = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
        let is_html = start.starts_with("<!doctype html") || start.starts_with("<html");
        Ok(if is_html { Self::Html } else { Self::Text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_others_are_named() {
        for html in ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"] {
            assert_eq!(Kind::of(html), Ok(Kind::Html), "{html}");
        }
        for text in
            ["text/plain", "text/markdown", "application/json", "application/ld+json", "image/svg+xml"]
        {
            assert_eq!(Kind::of(text), Ok(Kind::Text), "{text}");
        }
        for other in ["application/pdf", "image/png", "video/mp4"] {
            assert!(Kind::of(other).unwrap_err().contains(other), "{other}");
        }
    }

    #[test]
    fn what_does_not_say_is_looked_at() {
        let settled = |bytes: &[u8]| Kind::of("").unwrap().settled(bytes);
        assert_eq!(settled(b"  <!DOCTYPE html><p>x"), Ok(Kind::Html));
        assert_eq!(settled(b"plain"), Ok(Kind::Text));
        assert!(settled(b"\x7fELF\0\0").is_err());
        assert_eq!(Kind::Html.settled(b"\0"), Ok(Kind::Html));
    }
}
