//! Text that grows: white space collapsed, lines broken where the page breaks them.

/// The text of a page, up to a number of characters.
pub(super) struct Text {
    text: String,
    characters: usize,
    max_characters: usize,
    /// Line breaks that are due before the next word.
    breaks: usize,
    /// Whether a space is due before the next word.
    space: bool,
    /// How many elements are open in which white space counts.
    verbatim: usize,
    /// The bracket of a link that is due before its first word.
    bracket: Bracket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    None,
    Due,
    Open,
}

impl Text {
    pub(super) fn new(max_characters: usize) -> Self {
        Self {
            text: String::new(),
            characters: 0,
            max_characters,
            breaks: 0,
            space: false,
            verbatim: 0,
            bracket: Bracket::None,
        }
    }

    /// Tells whether there was more than there is room for.
    pub(super) fn is_full(&self) -> bool {
        self.characters > self.max_characters
    }

    pub(super) fn push(&mut self, text: &str) {
        for character in text.chars() {
            if self.is_full() {
                return;
            }
            if self.verbatim > 0 {
                self.verbatim_character(character);
            } else if character.is_whitespace() {
                self.space = true;
            } else if !is_invisible(character) {
                self.put_off();
                self.put(character);
            }
        }
    }

    fn verbatim_character(&mut self, character: char) {
        match character {
            '\n' => self.breaks = self.breaks.saturating_add(1).min(2),
            '\r' => {}
            _ if is_invisible(character) => {}
            _ => {
                self.put_off();
                self.put(character);
            }
        }
    }

    /// Puts a mark, such as that of a heading, before what comes next.
    pub(super) fn mark(&mut self, mark: &str) {
        self.break_now();
        for character in mark.chars() {
            self.put(character);
        }
        self.space = false;
    }

    /// Begins a new line, after so many line breaks, before what comes next.
    pub(super) fn break_line(&mut self, count: usize) {
        self.breaks = self.breaks.max(count);
    }

    /// Ends the line; twice leaves a blank one.
    pub(super) fn end_line(&mut self) {
        self.breaks = self.breaks.saturating_add(1).min(2);
    }

    pub(super) fn begin_verbatim(&mut self) {
        self.verbatim = self.verbatim.saturating_add(1);
    }

    pub(super) fn end_verbatim(&mut self) {
        self.verbatim = self.verbatim.saturating_sub(1);
    }

    /// Opens a link at the next word.
    pub(super) fn open_bracket(&mut self) {
        self.bracket = Bracket::Due;
    }

    /// Ends a link, unless it had no words.
    pub(super) fn close_bracket(&mut self, target: &str) {
        if std::mem::replace(&mut self.bracket, Bracket::None) == Bracket::Open {
            for character in "](".chars().chain(target.chars()).chain([')']) {
                self.put(character);
            }
        }
    }

    /// Takes the text out, no longer than wanted.
    pub(super) fn take(&mut self) -> String {
        let mut text = std::mem::take(&mut self.text);
        if let Some((end, _)) = text.char_indices().nth(self.max_characters) {
            text.truncate(end);
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn break_now(&mut self) {
        for _ in 0..std::mem::take(&mut self.breaks) {
            if !self.text.is_empty() {
                self.put('\n');
            }
        }
    }

    fn put_off(&mut self) {
        let is_due = std::mem::take(&mut self.space);
        if self.breaks > 0 {
            self.break_now();
        } else if is_due && !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
            self.put(' ');
        }
        if self.bracket == Bracket::Due {
            self.bracket = Bracket::Open;
            self.put('[');
        }
    }

    fn put(&mut self, character: char) {
        self.text.push(character);
        self.characters = self.characters.saturating_add(1);
    }
}

/// Characters that readers do not see and that only serve to hide words from them or from filters.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    ) || (character.is_control() && !character.is_whitespace())
}
