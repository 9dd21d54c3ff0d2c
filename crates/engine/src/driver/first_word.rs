//! The first word of an answer, which somebody waits for.

use domain::frames::Frame;

/// How far what a model says first has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FirstWord {
    #[default]
    Awaited,
    /// It is being put on disk.
    OnItsWay,
    Told,
}

impl FirstWord {
    /// Hears what a commit carries. Returns whether its driver has something else to do meanwhile: not if it waits for nothing but
    /// the first word.
    pub(super) fn sent(&mut self, frames: &[Frame]) -> bool {
        let says = |frame: &Frame| matches!(frame, Frame::Delta { .. } | Frame::Reasoning { .. });
        if *self != Self::Awaited {
            return true;
        }
        if frames.iter().any(says) {
            *self = Self::OnItsWay;
        }
        false
    }

    /// Hears that a commit is on disk.
    pub(super) fn kept(&mut self) {
        if *self == Self::OnItsWay {
            *self = Self::Told;
        }
    }

    pub(super) fn is_on_its_way(self) -> bool {
        self == Self::OnItsWay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookkeeping_before_it_is_no_first_word() {
        let mut word = FirstWord::default();
        assert!(!word.sent(&[]));
        word.kept();
        assert!(!word.sent(&[Frame::Reasoning { delta: "Hm".to_owned() }]));
        assert!(word.is_on_its_way());
    }

    #[test]
    fn behind_it_there_is_something_else_to_do() {
        let mut word = FirstWord::default();
        let says = [Frame::Delta { delta: "It".to_owned() }];
        assert!(!word.sent(&says));
        word.kept();
        assert!(!word.is_on_its_way());
        assert!(word.sent(&says));
        word.kept();
        assert!(word.sent(&[]) && !word.is_on_its_way());
    }
}
