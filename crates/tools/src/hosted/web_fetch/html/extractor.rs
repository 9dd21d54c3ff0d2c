//! Tokens in, text out.

use std::cell::RefCell;

use egress::Url;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{Tag, TagKind, Token, TokenSink, TokenSinkResult};

use super::Page;
use super::text::Text;

/// The longest address of a link that is kept; longer ones say more to trackers than to readers.
const MAX_LINK: usize = 500;
const MAX_TITLE: usize = 300;
const MAX_DESCRIPTION: usize = 1_000;

/// Collects the text of a page.
pub(super) struct Extractor(RefCell<State>);

struct State {
    text: Text,
    title: Title,
    description: String,
    base: Url,
    /// The element whose content is left out, and how many of the same name are open in it.
    skipped: Option<(String, usize)>,
    link: Option<String>,
    /// Whether a cell of the current row of a table has begun.
    in_row: bool,
}

enum Title {
    Awaited,
    Open(String),
    Known(String),
}

impl Extractor {
    pub(super) fn new(base: Url, max_characters: usize) -> Self {
        Self(RefCell::new(State {
            text: Text::new(max_characters),
            title: Title::Awaited,
            description: String::new(),
            base,
            skipped: None,
            link: None,
            in_row: false,
        }))
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().text.is_full()
    }

    /// Returns what was read. `is_cut` tells that there is more of the page.
    pub(super) fn page(&self, is_cut: bool) -> Page {
        let mut state = self.0.borrow_mut();
        state.close_link();
        let title = match std::mem::replace(&mut state.title, Title::Awaited) {
            Title::Awaited => String::new(),
            Title::Open(title) | Title::Known(title) => line(&title, MAX_TITLE),
        };
        let description = line(&state.description, MAX_DESCRIPTION);
        let is_cut = is_cut || state.text.is_full();
        Page { title, description, text: state.text.take(), is_cut }
    }
}

impl TokenSink for Extractor {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut state = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => {
                state.characters(&text);
                TokenSinkResult::Continue
            }
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                state.start(&tag);
                raw(&tag.name).map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
            }
            Token::TagToken(tag) => {
                state.end(&tag.name);
                TokenSinkResult::Continue
            }
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => TokenSinkResult::Continue,
        }
    }
}

/// Tells how the content of an element is tokenized that holds no markup.
fn raw(name: &str) -> Option<RawKind> {
    match name {
        "title" | "textarea" => Some(RawKind::Rcdata),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(RawKind::Rawtext),
        "script" => Some(RawKind::ScriptData),
        _ => None,
    }
}

/// Tells whether an element holds nothing that a reader came for.
fn is_skipped(name: &str) -> bool {
    matches!(
        name,
        "script"
            | "style"
            | "template"
            | "nav"
            | "svg"
            | "canvas"
            | "iframe"
            | "noembed"
            | "noframes"
            | "object"
            | "select"
            | "button"
            | "textarea"
            | "audio"
            | "video"
    )
}

/// Tells whether an element stands on lines of its own, and how many line breaks set it off.
fn breaks(name: &str) -> Option<usize> {
    match name {
        "p" | "blockquote" | "table" | "ul" | "ol" | "dl" | "pre" | "figure" | "hr" | "article"
        | "section" | "main" | "header" | "footer" | "aside" | "form" | "h1" | "h2" | "h3" | "h4" | "h5"
        | "h6" => Some(2),
        "div" | "li" | "tr" | "dt" | "dd" | "address" | "figcaption" | "summary" | "details" | "caption"
        | "legend" | "fieldset" | "option" | "body" => Some(1),
        _ => None,
    }
}

impl State {
    fn characters(&mut self, text: &str) {
        if self.skipped.is_some() {
            return;
        }
        if let Title::Open(title) = &mut self.title {
            if title.len() <= MAX_TITLE * 4 {
                title.push_str(text);
            }
            return;
        }
        self.text.push(text);
    }

    fn start(&mut self, tag: &Tag) {
        let name: &str = &tag.name;
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped.as_str() == name {
                *depth = depth.saturating_add(1);
            }
            // A navigation that was never closed must not swallow the page.
            if !matches!(name, "main" | "article" | "h1")
                || matches!(skipped.as_str(), "template" | "svg" | "object")
            {
                return;
            }
            self.skipped = None;
        }
        if is_skipped(name) {
            // Only drawings can be closed where they begin.
            if !(tag.self_closing && name == "svg") {
                self.skipped = Some((name.to_owned(), 0));
            }
            return;
        }
        if let Some(count) = breaks(name) {
            self.text.break_line(count);
        }
        match name {
            "title" if matches!(self.title, Title::Awaited) => self.title = Title::Open(String::new()),
            "meta" => self.meta(tag),
            "base" => {
                if let Some(base) = attribute(tag, "href").and_then(|href| self.base.join(href).ok()) {
                    self.base = base;
                }
            }
            "br" => self.text.end_line(),
            "pre" => self.text.begin_verbatim(),
            "h1" => self.text.mark("# "),
            "h2" => self.text.mark("## "),
            "h3" => self.text.mark("### "),
            "h4" | "h5" | "h6" => self.text.mark("#### "),
            "li" => self.text.mark("- "),
            "tr" => self.in_row = false,
            "td" | "th" if std::mem::replace(&mut self.in_row, true) => self.text.mark(" | "),
            "img" => {
                if let Some(words) = attribute(tag, "alt").map(str::trim).filter(|words| !words.is_empty()) {
                    self.text.push(&format!(" [image: {words}] "));
                }
            }
            "a" => {
                self.close_link();
                self.link = self.target(tag);
                if self.link.is_some() {
                    self.text.open_bracket();
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped.as_str() == name {
                match depth.checked_sub(1) {
                    Some(less) => *depth = less,
                    None => self.skipped = None,
                }
            }
            return;
        }
        match name {
            "title" => {
                if let Title::Open(title) = &mut self.title {
                    self.title = Title::Known(std::mem::take(title));
                }
            }
            "a" => self.close_link(),
            "pre" => self.text.end_verbatim(),
            _ => {}
        }
        if let Some(count) = breaks(name) {
            self.text.break_line(count);
        }
    }

    fn close_link(&mut self) {
        if let Some(target) = self.link.take() {
            self.text.close_bracket(&target);
        }
    }

    fn target(&self, tag: &Tag) -> Option<String> {
        let href = attribute(tag, "href").map(str::trim).filter(|href| !href.starts_with('#'))?;
        let target = self.base.join(href).ok()?;
        let is_link = matches!(target.scheme(), "http" | "https") && target.as_str().len() <= MAX_LINK;
        is_link.then(|| target.to_string())
    }

    fn meta(&mut self, tag: &Tag) {
        let is_description =
            attribute(tag, "name").is_some_and(|name| name.eq_ignore_ascii_case("description"));
        if let Some(content) = attribute(tag, "content").filter(|_| is_description) {
            self.description = content.to_owned();
        }
    }
}

fn attribute<'a>(tag: &'a Tag, name: &str) -> Option<&'a str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// Brings a text on one line of bounded length.
fn line(text: &str, max_characters: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(max_characters).collect()
}
