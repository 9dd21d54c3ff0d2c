//! A conversation as a request brings it along.

use domain::content::{Message, Role};
use domain::items::Item;

use super::answers::Answer;

/// One step of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Item(Item),
    /// An answer to a call that a run of this server has asked for.
    Answer(Answer),
}

/// What a request says, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conversation {
    /// What is added behind the smith's own instructions.
    pub(crate) instructions: Vec<String>,
    pub(crate) entries: Vec<Entry>,
}

impl Conversation {
    /// Parts what went before from the new turn: the user's messages at its end.
    pub(crate) fn part(mut items: Vec<Item>) -> (Vec<Item>, Vec<Message>) {
        let is_of_user = |item: &Item| matches!(item, Item::Message(Message { role: Role::User, .. }));
        let turn = items.iter().rposition(|item| !is_of_user(item)).map_or(0, |last| last + 1);
        let input = items.split_off(turn);
        let messages = input.into_iter().filter_map(|item| match item {
            Item::Message(message) => Some(message),
            Item::ToolCall(_) | Item::ToolResult(_) => None,
        });
        let input = messages.collect();
        (items, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_is_what_the_user_said_last() {
        let text = |messages: Vec<Message>| {
            messages.iter().map(|message| message.content.text()).collect::<Vec<_>>()
        };
        let items = vec![Item::user("a"), Item::assistant("b"), Item::user("c"), Item::user("d")];
        let (past, input) = Conversation::part(items);
        assert_eq!((past.len(), text(input)), (2, vec!["c".to_owned(), "d".to_owned()]));
        let (past, input) = Conversation::part(vec![Item::user("a"), Item::assistant("b")]);
        assert_eq!((past.len(), input.len()), (2, 0));
        let (past, input) = Conversation::part(vec![Item::user("a")]);
        assert_eq!((past.len(), input.len()), (0, 1));
    }
}
