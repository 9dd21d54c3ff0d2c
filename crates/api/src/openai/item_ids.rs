//! Ids of items: derived from the run that an item belongs to and its place there, so that nobody has to keep them.
//!
//! The body of an item's id is its run's body with the last five bytes exchanged for a hash of the place. What is left of the
//! run's id leads back to the run.

use domain::ids::{Id as _, RunId};
use sha2::{Digest as _, Sha256};

/// How many bytes of a run's id make room for the place. Those before hold the time and 34 random bits.
const ROOM: usize = 5;

/// What kind of item an id is of, for its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    /// A call that the caller carries out, and its result.
    FunctionCall,
    /// A call that this server carries out.
    McpCall,
    Reasoning,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Message, Self::FunctionCall, Self::McpCall, Self::Reasoning];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::FunctionCall => "fc",
            Self::McpCall => "mcp",
            Self::Reasoning => "rs",
        }
    }
}

/// Where an item stands in its run. Each place is there once, whatever else the run has said and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The item at this place of what the run was asked, from 0.
    Asked(usize),
    /// The message at this place of what the run has said, from 0; calls and results are not counted.
    Said(usize),
    /// The thinking at this place of what the run let be seen of it, from 0.
    Thought(usize),
    /// The run's own call of this id.
    Call(&'a str),
    /// The result of that call.
    Result(&'a str),
}

/// Writes the id of an item.
pub(super) fn item_id(kind: Kind, run: RunId, place: Place<'_>) -> String {
    let mut bytes = run.as_bytes();
    let mut hash = Sha256::new();
    hash.update(bytes);
    match place {
        Place::Asked(number) => add(&mut hash, b'a', &(number as u64).to_be_bytes()),
        Place::Said(number) => add(&mut hash, b's', &(number as u64).to_be_bytes()),
        Place::Thought(number) => add(&mut hash, b't', &(number as u64).to_be_bytes()),
        Place::Call(id) => add(&mut hash, b'c', id.as_bytes()),
        Place::Result(id) => add(&mut hash, b'r', id.as_bytes()),
    }
    let hash = hash.finalize();
    for (byte, of_hash) in bytes.iter_mut().rev().take(ROOM).zip(hash) {
        *byte = of_hash;
    }
    format!("{}_{}", kind.prefix(), RunId::from_bytes(bytes).body())
}

fn add(hash: &mut Sha256, kind: u8, place: &[u8]) {
    hash.update([kind]);
    hash.update(place);
}

/// Returns the range of ids among which the run of an item is. None: the text is no id of an item.
pub(super) fn runs_of(item: &str) -> Option<(RunId, RunId)> {
    let (prefix, body) = item.split_once('_')?;
    Kind::ALL.iter().find(|kind| kind.prefix() == prefix)?;
    let run: RunId = body.parse().ok()?;
    let with = |filler: u8| {
        let mut bytes = run.as_bytes();
        bytes.iter_mut().rev().take(ROOM).for_each(|byte| *byte = filler);
        RunId::from_bytes(bytes)
    };
    Some((with(0), with(u8::MAX)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_place_of_a_run_has_an_id_of_its_own() {
        let run = RunId::at(Timestamp::from_seconds(1), [7; 10]);
        let numbers =
            (0..500).flat_map(|number| [Place::Asked(number), Place::Said(number), Place::Thought(number)]);
        let calls = ["", "a", "b", "s"].map(|id| [Place::Call(id), Place::Result(id)]);
        let places: Vec<_> = numbers.chain(calls.into_iter().flatten()).collect();
        let ids: HashSet<_> = places.iter().map(|place| item_id(Kind::Message, run, *place)).collect();
        assert_eq!(ids.len(), places.len());
        let id = item_id(Kind::McpCall, run, Place::Call("a"));
        assert!(id.starts_with("mcp_") && id.len() == 26, "{id}");
        assert_eq!(id, item_id(Kind::McpCall, run, Place::Call("a")), "and always the same");
    }

    #[test]
    fn text_that_is_no_id_of_an_item_leads_nowhere() {
        let run = RunId::from_bytes([7; 16]);
        for text in ["", "msg", "msg_", "msg_1", &run.to_string(), &run.body(), "cnv_1111111111111111111111"]
        {
            assert_eq!(runs_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_item_leads_back_to_its_run(bytes: [u8; 16], number: usize) {
            let run = RunId::from_bytes(bytes);
            let (least, most) = runs_of(&item_id(Kind::FunctionCall, run, Place::Said(number))).unwrap();
            prop_assert!(least <= run && run <= most);
        }

        #[test]
        fn reading_never_panics(text: String) {
            let _ = runs_of(&text);
        }
    }
}
