//! Inline bytes of an input: taken out of the messages, to be kept as files that the messages name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Problem;
use domain::content::{Content, Message, Part, Source, behind_scheme};
use domain::ids::{FileId, SmithId};
use domain::models::Provider;
use models::parts::{self, refusal};
use store::files::StoredFile;
use store::{ProjectStore, SmithSeal};
use vault::Ids;

/// Moves inline bytes out of messages, and returns the files that they name instead.
pub(crate) fn take_inline<'a>(
    messages: impl Iterator<Item = &'a mut Message>,
    ids: &Ids,
) -> Result<Vec<StoredFile>, Problem> {
    let mut files = Vec::new();
    for (index, message) in messages.enumerate() {
        if let Content::Parts(parts) = &mut message.content {
            for (part_index, part) in parts.iter_mut().enumerate() {
                let at = format!("input[{index}].content[{part_index}]");
                let (source, is_image) = match part {
                    Part::Text { .. } => continue,
                    Part::Image(source) => (source, true),
                    Part::File(source) => (source, false),
                };
                let Some(data) = source.file_data.take() else { continue };
                let field = if is_image { "image_url" } else { "file_data" };
                let file = decode(&data, source, is_image, ids.mint())
                    .ok_or_else(|| Problem::invalid_input(format!("{at}.{field}"), INLINE))?;
                source.file_id = Some(file.id);
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Lists the files that messages name, with the place where each is named.
pub(crate) fn referenced(messages: &[&Message]) -> Vec<(FileId, String)> {
    let mut files = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let Content::Parts(parts) = &message.content else { continue };
        for (part_index, part) in parts.iter().enumerate() {
            if let Part::Image(Source { file_id: Some(id), .. })
            | Part::File(Source { file_id: Some(id), .. }) = part
            {
                files.push((*id, format!("input[{index}].content[{part_index}].file_id")));
            }
        }
    }
    files
}

/// Knows the media types of a smith's files, those that are about to be stored too.
pub(crate) struct Types<'a> {
    pub(crate) project: &'a ProjectStore,
    pub(crate) smith: SmithId,
    pub(crate) seal: &'a SmithSeal,
    pub(crate) new: &'a [StoredFile],
}

impl Types<'_> {
    /// Refuses a part that the provider does not take, while there is no run yet that would fail over it.
    pub(crate) async fn check(&self, provider: Provider, messages: &[&Message]) -> Result<(), Problem> {
        for (index, message) in messages.iter().enumerate() {
            let Content::Parts(parts) = &message.content else { continue };
            for (part_index, part) in parts.iter().enumerate() {
                if let Some(message) = self.refusal(provider, part).await? {
                    let at = format!("input[{index}].content[{part_index}]");
                    return Err(Problem::invalid_input(at, message));
                }
            }
        }
        Ok(())
    }

    async fn refusal(&self, provider: Provider, part: &Part) -> Result<Option<String>, store::Error> {
        let (source, is_image) = match part {
            Part::Text { .. } => return Ok(None),
            Part::Image(source) => (source, true),
            Part::File(source) => (source, false),
        };
        if let Some(id) = source.file_id {
            let media_type = self.of(id).await?.unwrap_or_default();
            let part =
                if is_image { parts::Part::Image(&media_type) } else { parts::Part::File(&media_type) };
            return Ok(refusal(provider, part));
        }
        let part = match &source.file_url {
            Some(url) => parts::Part::FileUrl(url),
            None => parts::Part::ImageUrl,
        };
        Ok(refusal(provider, part))
    }

    async fn of(&self, id: FileId) -> Result<Option<String>, store::Error> {
        match self.new.iter().find(|new| new.id == id) {
            Some(new) => Ok(Some(new.media_type.clone())),
            None => self.project.file_type(self.smith, id, self.seal).await,
        }
    }
}

const INLINE: &str =
    "Inline bytes must be a `data:` URL with base64 (`data:image/png;base64,…`) or, for a file, bare base64.";

fn decode(data: &str, source: &Source, is_image: bool, id: FileId) -> Option<StoredFile> {
    let (media_type, text) = match behind_scheme(data, "data:") {
        Some(rest) => {
            let (head, text) = rest.split_once(',')?;
            (Some(head.to_ascii_lowercase().strip_suffix(";base64")?.to_owned()), text)
        }
        None if is_image => return None,
        None => (None, data),
    };
    let bytes = STANDARD.decode(text).ok()?;
    let filename = source.filename.clone().unwrap_or_else(|| "image".to_owned());
    let media_type =
        media_type.filter(|given| !given.is_empty()).unwrap_or_else(|| by_name(&filename).to_owned());
    if is_image && !media_type.starts_with("image/") {
        return None;
    }
    Some(StoredFile { id, media_type, filename, bytes })
}

/// Tells a media type by the ending of a name.
fn by_name(filename: &str) -> &'static str {
    let ending = filename.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html" | "htm") => "text/html",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::content::Role;
    use vault::SystemClock;

    use super::*;

    fn take(part: Part) -> Result<(Vec<Message>, Vec<StoredFile>), Problem> {
        let mut messages = vec![Message { role: Role::User, content: Content::Parts(vec![part]) }];
        let files = take_inline(messages.iter_mut(), &Ids::new(Arc::new(SystemClock)))?;
        Ok((messages, files))
    }

    fn inline(data: &str, filename: Option<&str>) -> Source {
        Source { file_data: Some(data.into()), filename: filename.map(str::to_owned), ..Source::default() }
    }

    #[test]
    fn inline_bytes_become_a_file_that_the_message_names() {
        let (messages, files) = take(Part::Image(inline("data:image/png;base64,AQID", None))).unwrap();
        assert_eq!((files[0].media_type.as_str(), files[0].bytes.as_slice()), ("image/png", &[1, 2, 3][..]));
        assert_eq!(
            referenced(&messages.iter().collect::<Vec<_>>()),
            [(files[0].id, "input[0].content[0].file_id".to_owned())]
        );
        assert!(!serde_json::to_string(&messages).unwrap().contains("AQID"));
        let (_, files) = take(Part::Image(inline("DATA:Image/PNG;Base64,AQID", None))).unwrap();
        assert_eq!((files[0].media_type.as_str(), files[0].bytes.as_slice()), ("image/png", &[1, 2, 3][..]));
        let (_, files) = take(Part::File(inline("AQID", Some("report.PDF")))).unwrap();
        assert_eq!(files[0].media_type, "application/pdf");
    }

    #[test]
    fn what_is_no_base64_is_refused_at_its_place() {
        let refused = |part| take(part).unwrap_err().param.unwrap();
        assert_eq!(
            refused(Part::Image(inline("data:image/png;base64,???", None))),
            "input[0].content[0].image_url"
        );
        assert_eq!(
            refused(Part::Image(inline("data:text/html;base64,AQID", None))),
            "input[0].content[0].image_url"
        );
        assert_eq!(refused(Part::File(inline("???", Some("a.pdf")))), "input[0].content[0].file_data");
    }
}
