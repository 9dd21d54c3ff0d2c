//! Which images and files a provider takes: one truth for what is refused before a run and what is left out of a call.

use domain::models::Provider;

use crate::call::{Attachment, Request, Turn};
use crate::wire::{is_text, media_type_of};

/// An image or a file, as far as it decides who takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'part> {
    /// An image that the provider fetches.
    ImageUrl,
    /// An image of a media type.
    Image(&'part str),
    /// A file that the provider fetches from this address.
    FileUrl(&'part str),
    /// A file of a media type.
    File(&'part str),
}

/// What OpenAI and Anthropic list in the documentation of their APIs.
const IMAGES: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/gif"];
/// What Gemini lists.
const IMAGES_OF_GEMINI: &[&str] = &["image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"];

impl<'part> Part<'part> {
    fn of(attachment: &'part Attachment) -> Self {
        match attachment {
            Attachment::ImageUrl(_) => Self::ImageUrl,
            Attachment::Image { media_type, .. } => Self::Image(media_type),
            Attachment::FileUrl { url, .. } => Self::FileUrl(url),
            Attachment::File { media_type, .. } => Self::File(media_type),
        }
    }
}

/// Says why a provider does not take a part, and what to send instead. None: it takes it, or judges by itself.
///
/// Only what a provider's documentation rules out is refused here; an endpoint that anybody may have built is asked.
pub fn refusal(provider: Provider, part: Part<'_>) -> Option<String> {
    let (taken, instead) = match (provider, part) {
        (Provider::Scripted, _) | (_, Part::ImageUrl) => return None,
        (Provider::OpenaiCompatible, Part::FileUrl(_)) => (false, "Send the file's bytes instead."),
        (Provider::OpenaiCompatible, _) | (Provider::Openai, Part::FileUrl(_) | Part::File(_)) => {
            return None;
        }
        (Provider::Openai | Provider::Anthropic, Part::Image(media_type)) => {
            (is_one_of(IMAGES, media_type), "Send a PNG, JPEG, WebP or GIF.")
        }
        (Provider::Anthropic, Part::FileUrl(url)) => (
            media_type_of(url).is_none_or(|media_type| media_type == "application/pdf"),
            "Send the address of a PDF, or the file's bytes.",
        ),
        (Provider::Anthropic, Part::File(media_type)) => (
            is_pdf(media_type) || is_text(media_type) || is_one_of(IMAGES, media_type),
            "Send a PDF, a text or an image.",
        ),
        (Provider::Gemini, Part::Image(media_type)) => {
            (is_one_of(IMAGES_OF_GEMINI, media_type), "Send a PNG, JPEG, WebP, HEIC or HEIF.")
        }
        (Provider::Gemini, Part::FileUrl(_)) => return None,
        (Provider::Gemini, Part::File(media_type)) => (
            is_pdf(media_type)
                || is_text(media_type)
                || is_one_of(IMAGES_OF_GEMINI, media_type)
                || ["audio/", "video/"].iter().any(|kind| media_type.starts_with(kind)),
            "Send a PDF, a text, an image, sound or video.",
        ),
    };
    (!taken).then(|| format!("{} {instead}", does_not_take(provider, part)))
}

/// What OpenAI lists of files beside PDFs, texts and images: documents, sheets and slides.
const DOCUMENTS: &[&str] = &[
    "application/msword",
    "application/rtf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
];

/// Says in words what a thread holds and a provider may not take. None: its documentation lists it.
///
/// What a caller sends is sent on where the endpoint may judge. What a tool has returned, or an earlier turn has left, is not:
/// refused once, it would be refused in every later turn.
pub fn left_out(provider: Provider, attachment: &Attachment) -> Option<String> {
    let part = Part::of(attachment);
    if refusal(provider, part).is_some() {
        return Some(note(provider, attachment));
    }
    let (Provider::Openai | Provider::OpenaiCompatible) = provider else { return None };
    let (media_type, is_listed) = match part {
        Part::ImageUrl | Part::FileUrl(_) => return None,
        Part::Image(media_type) => (media_type, is_one_of(IMAGES, media_type)),
        Part::File(media_type) => (
            media_type,
            is_pdf(media_type)
                || is_text(media_type)
                || is_one_of(IMAGES, media_type)
                || is_one_of(DOCUMENTS, media_type),
        ),
    };
    (!is_listed).then(|| {
        let (what, media_type) = (named(attachment), shown(media_type));
        format!("[{what} is not shown here: {} may not take the type {media_type}.]", provider.label())
    })
}

/// Replaces what the provider does not take by words: a thread goes on although another model saw more of it.
pub(crate) fn fitted(mut request: Request, provider: Provider) -> Request {
    for turn in &mut request.turns {
        let Turn::User { text, attachments } = turn else { continue };
        attachments.retain(|attachment| {
            let is_taken = refusal(provider, Part::of(attachment)).is_none();
            if !is_taken {
                if !text.is_empty() {
                    text.push_str("\n\n");
                }
                text.push_str(&note(provider, attachment));
            }
            is_taken
        });
    }
    request
}

/// Tells the model what it does not see.
fn note(provider: Provider, attachment: &Attachment) -> String {
    let what = named(attachment);
    format!("[{what} is not shown here: {}]", does_not_take(provider, Part::of(attachment)))
}

fn named(attachment: &Attachment) -> String {
    match attachment {
        Attachment::File { filename, .. } | Attachment::FileUrl { filename: Some(filename), .. } => {
            format!("The file {filename:?}")
        }
        Attachment::FileUrl { filename: None, .. } => "A file".to_owned(),
        Attachment::Image { .. } | Attachment::ImageUrl(_) => "An image".to_owned(),
    }
}

fn does_not_take(provider: Provider, part: Part<'_>) -> String {
    let what = match part {
        Part::ImageUrl => "an image that is given by address".to_owned(),
        Part::Image(media_type) => format!("an image of the type {}", shown(media_type)),
        Part::FileUrl(address) => match media_type_of(address) {
            Some(media_type) if provider == Provider::Anthropic => {
                format!("a file of the type {media_type} that is given by address")
            }
            _ => "a file that is given by address".to_owned(),
        },
        Part::File(media_type) => format!("a file of the type {}", shown(media_type)),
    };
    format!("{} does not take {what}.", provider.label())
}

/// A caller may have named any type, at any length.
fn shown(media_type: &str) -> String {
    const LONGEST: usize = 100;
    essence(media_type).chars().filter(|character| !character.is_control()).take(LONGEST).collect()
}

/// Tells whether a file is a PDF.
pub(crate) fn is_pdf(media_type: &str) -> bool {
    essence(media_type).eq_ignore_ascii_case("application/pdf")
}

fn is_one_of(known: &[&str], media_type: &str) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(essence(media_type)))
}

/// Returns a media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::samples;

    fn takes(provider: Provider, part: Part<'_>) -> bool {
        refusal(provider, part).is_none()
    }

    #[test]
    fn each_provider_takes_what_its_documentation_says() {
        let table = [
            (Part::ImageUrl, [true, true, true, true]),
            (Part::Image("image/png"), [true, true, true, true]),
            (Part::Image("IMAGE/PNG; a=b"), [true, true, true, true]),
            (Part::Image("image/gif"), [true, true, false, true]),
            (Part::Image("image/heic"), [false, false, true, true]),
            (Part::Image("image/svg+xml"), [false, false, false, true]),
            (Part::FileUrl("https://a.example/x"), [true, true, true, false]),
            (Part::FileUrl("https://a.example/x.pdf?y=z"), [true, true, true, false]),
            (Part::FileUrl("https://a.example/x.csv"), [false, true, true, false]),
            (Part::FileUrl("https://a.example/x.json"), [false, true, true, false]),
            (Part::File("application/pdf"), [true, true, true, true]),
            (Part::File("text/csv"), [true, true, true, true]),
            (Part::File("image/webp"), [true, true, true, true]),
            (Part::File("audio/wav"), [false, true, true, true]),
            (Part::File("application/zip"), [false, true, false, true]),
            (Part::File(""), [false, true, false, true]),
        ];
        let providers = [Provider::Anthropic, Provider::Openai, Provider::Gemini, Provider::OpenaiCompatible];
        for (part, taken) in table {
            assert_eq!(providers.map(|provider| takes(provider, part)), taken, "{part:?}");
            assert!(takes(Provider::Scripted, part));
        }
    }

    #[test]
    fn a_refusal_says_what_to_send_instead() {
        let refusal = |provider, part| refusal(provider, part).unwrap();
        insta::assert_snapshot!(refusal(Provider::Anthropic, Part::File("application/zip")), @"Anthropic does not take a file of the type application/zip. Send a PDF, a text or an image.");
        insta::assert_snapshot!(refusal(Provider::OpenaiCompatible, Part::FileUrl("https://a.example/x.pdf")), @"OpenAI-compatible does not take a file that is given by address. Send the file's bytes instead.");
        let long = format!("image/{}\n; secret", "x".repeat(1_000));
        let told = refusal(Provider::Openai, Part::Image(&long));
        assert!(told.len() < 200 && !told.contains(['\n', ';']), "{told}");
    }

    #[test]
    fn what_a_thread_holds_is_shown_only_where_the_documentation_lists_it() {
        let file = |media_type: &str| Attachment::File {
            media_type: media_type.into(),
            filename: "a.bin".into(),
            bytes: Bytes::from_static(b"x"),
        };
        let image = |media_type: &str| Attachment::Image {
            media_type: media_type.into(),
            bytes: Bytes::from_static(b"x"),
        };
        for provider in [Provider::Openai, Provider::OpenaiCompatible] {
            for shown in [
                file("application/pdf"),
                file("text/csv; charset=utf-8"),
                file("image/png"),
                image("image/gif"),
            ] {
                assert_eq!(left_out(provider, &shown), None, "{shown:?}");
            }
            for unknown in
                [file("audio/wav"), file("application/octet-stream"), file(""), image("image/tiff")]
            {
                assert!(left_out(provider, &unknown).is_some(), "{unknown:?}");
            }
        }
        assert_eq!(left_out(Provider::Gemini, &file("audio/wav")), None);
        assert_eq!(left_out(Provider::Scripted, &file("audio/wav")), None);
        let told = |provider| left_out(provider, &file("audio/wav")).unwrap();
        insta::assert_snapshot!(told(Provider::Openai), @r#"[The file "a.bin" is not shown here: OpenAI may not take the type audio/wav.]"#);
        insta::assert_snapshot!(told(Provider::Anthropic), @r#"[The file "a.bin" is not shown here: Anthropic does not take a file of the type audio/wav.]"#);
    }

    #[test]
    fn what_is_not_taken_is_told_in_words_and_the_rest_stays() {
        let file = |media_type: &str, filename: &str| Attachment::File {
            media_type: media_type.into(),
            filename: filename.into(),
            bytes: Bytes::from_static(b"x"),
        };
        let pdf = file("application/pdf", "terms.pdf");
        let turn = Turn::User {
            text: "Look.".into(),
            attachments: vec![file("application/zip", "all \"mine\".zip"), pdf.clone()],
        };
        let request = Request { turns: vec![turn], ..samples::plain_request("claude-sonnet-4-5") };
        let [Turn::User { text, attachments }] = &fitted(request.clone(), Provider::Anthropic).turns[..]
        else {
            panic!("one turn")
        };
        insta::assert_snapshot!(text, @r#"
        Look.

        [The file "all \"mine\".zip" is not shown here: Anthropic does not take a file of the type application/zip.]
        "#);
        assert_eq!(attachments, &[pdf]);
        assert_eq!(fitted(request.clone(), Provider::Openai).turns, request.turns);
    }
}
