//! Bodies of several parts (`multipart/form-data`), as forms and uploads send them.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::Request;
use domain::{Code, Problem};
use http::header::CONTENT_TYPE;
use multer::{Multipart, parse_boundary};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::extract::body::{add_length, add_text, read_whole};

/// How many parts a form may have.
const MOST_PARTS: usize = 16;
/// Bytes that boundaries and the heads of parts may have together.
const FRAME: usize = 16 * 1024;

/// One part. Its media type means nothing: clients leave it out, or guess.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    file_name: Option<String>,
    content: Bytes,
}

/// The parts of a body, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form(Vec<Part>);

impl Form {
    /// Reads the body of a request whose parts may have `limit` bytes together. An absent body has no parts.
    pub(crate) async fn read(request: Request, app: &App, limit: usize) -> Result<Self, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = content_type.and_then(|content_type| parse_boundary(content_type).ok());
        let bytes = read_whole(request, limit.saturating_add(FRAME), app).await?;
        if bytes.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let boundary = boundary.ok_or_else(|| {
            let message =
                "The body must be `multipart/form-data`, with the boundary named in `Content-Type`.";
            Problem::new(Code::InvalidRequest, message).at("Content-Type")
        })?;
        Self::parse(bytes, boundary).await
    }

    async fn parse(bytes: Bytes, boundary: String) -> Result<Self, Problem> {
        // The parser's own words may quote the body.
        let malformed = |_| {
            let message =
                "The body is no `multipart/form-data`, or ends before its last boundary. Send it again.";
            Problem::new(Code::InvalidRequest, message)
        };
        let whole = futures::stream::iter([Ok::<_, Infallible>(bytes)]);
        let mut multipart = Multipart::new(whole, boundary);
        let mut parts = Vec::new();
        while let Some(field) = multipart.next_field().await.map_err(malformed)? {
            if parts.len() >= MOST_PARTS {
                let message = format!("The body may have at most {MOST_PARTS} parts.");
                return Err(Problem::new(Code::InvalidRequest, message));
            }
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let content = field.bytes().await.map_err(malformed)?;
            parts.push(Part { name, file_name, content });
        }
        Ok(Self(parts))
    }

    /// Returns the content of the one part of this name.
    pub(crate) fn one(&self, name: &str) -> Result<&Bytes, Problem> {
        let mut parts = self.0.iter().filter(|part| part.name == name);
        match (parts.next(), parts.next()) {
            (Some(part), None) => Ok(&part.content),
            _ => Err(Problem::invalid_input(name, format!("The body must have one part named `{name}`."))),
        }
    }

    /// Names what was sent: equal for the same parts, whatever the boundary and the media types were.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        add_length(&mut hash, b'm', self.0.len());
        for part in &self.0 {
            add_text(&mut hash, &part.name);
            match &part.file_name {
                Some(file_name) => add_text(&mut hash, file_name),
                None => hash.update(b"n"),
            }
            hash.update(Sha256::digest(&part.content));
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn form(body: &[u8]) -> Result<Form, Problem> {
        Form::parse(Bytes::copy_from_slice(body), "b".to_owned()).await
    }

    const PLAIN: &[u8] = b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a/b.html\"\r\n\r\n<p>\r\n--</p>\r\n--b\r\n\
        Content-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n--b--\r\n";

    #[tokio::test]
    async fn parts_are_found_by_name_with_and_without_media_type() {
        let plain = form(PLAIN).await.unwrap();
        assert_eq!(plain.one("file").unwrap(), "<p>\r\n--</p>");
        assert_eq!(plain.one("metadata").unwrap(), "{}");
        assert_eq!(plain.0[0].file_name.as_deref(), Some("a/b.html"));
        let refusal = plain.one("other").unwrap_err();
        assert_eq!((refusal.code, refusal.param.as_deref()), (Code::InvalidInput, Some("other")));
        let text = String::from_utf8(PLAIN.to_vec()).unwrap();
        let typed = text.replace("\r\n\r\n<p>", "\r\nContent-Type: text/html\r\n\r\n<p>");
        assert_eq!(form(typed.as_bytes()).await.unwrap(), plain);
        let twice = text.replace("metadata", "file");
        assert!(form(twice.as_bytes()).await.unwrap().one("file").is_err());
    }

    #[tokio::test]
    async fn a_form_has_another_fingerprint_when_anything_in_it_differs() {
        let plain = form(PLAIN).await.unwrap().fingerprint();
        assert_eq!(form(PLAIN).await.unwrap().fingerprint(), plain);
        for (from, to) in
            [("<p>", "<b>"), ("a/b.html", "b.html"), ("{}", "{} "), ("; filename=\"a/b.html\"", "")]
        {
            let other = String::from_utf8(PLAIN.to_vec()).unwrap().replace(from, to);
            assert_ne!(form(other.as_bytes()).await.unwrap().fingerprint(), plain, "{from}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused_without_quoting_it() {
        let half = PLAIN.get(..PLAIN.len() - 12).unwrap();
        for body in [half, b"hunter2", b"--b\r\nhunter2", b"--c\r\n\r\nhunter2\r\n--c--\r\n", b"\0\xff"] {
            let problem = form(body).await.unwrap_err();
            assert_eq!(problem.code, Code::InvalidRequest);
            assert!(!problem.message.contains("hunter2"));
        }
    }

    #[tokio::test]
    async fn the_number_of_parts_is_bounded() {
        let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        assert!(form(format!("{}--b--\r\n", part.repeat(MOST_PARTS)).as_bytes()).await.is_ok());
        let refusal = form(format!("{}--b--\r\n", part.repeat(MOST_PARTS + 1)).as_bytes()).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidRequest);
    }
}
