//! Pages as readable text: headings, paragraphs, lists and links, without scripts, styles and navigation.
//!
//! It reads the tokens of a page and builds no tree. A tree adds little to what a model needs, and its depth, which a
//! page decides, would cost time in the square of it.

mod extractor;
#[cfg(test)]
mod tests;
mod text;

use std::time::Instant;

use egress::Url;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, Tokenizer, TokenizerOpts};

use extractor::Extractor;

/// How much is tokenized before it is asked again whether there is time for more.
const PIECE: usize = 16 * 1024;

/// What a page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) text: String,
    /// Whether there was more text than was wanted, or than there was time for.
    pub(crate) is_cut: bool,
}

/// Reads a page until it has so many characters of its text, or until it is too late.
///
/// A tag with very many attributes takes the tokenizer time in the square of them, which is what the moment is for.
pub(crate) fn read(html: &str, base: &Url, max_characters: usize, until: Instant) -> Page {
    let tokenizer = Tokenizer::new(Extractor::new(base.clone(), max_characters), TokenizerOpts::default());
    let queue = BufferQueue::default();
    let mut rest = html;
    while !rest.is_empty() {
        if tokenizer.sink.is_full() || Instant::now() > until {
            return tokenizer.sink.page(true);
        }
        let (piece, others) = rest.split_at(rest.floor_char_boundary(PIECE).max(1));
        queue.push_back(StrTendril::from_slice(piece));
        // Anything but the end of the piece is a question that the extractor has no interest in.
        while !queue.is_empty() {
            let _ = tokenizer.feed(&queue);
        }
        rest = others;
    }
    tokenizer.end();
    tokenizer.sink.page(false)
}

/// Reads a snippet of HTML as one line of text.
pub(crate) fn plain(html: &str, base: &Url, max_characters: usize, until: Instant) -> String {
    let page = read(html, base, max_characters, until);
    page.text.split_whitespace().collect::<Vec<_>>().join(" ")
}
