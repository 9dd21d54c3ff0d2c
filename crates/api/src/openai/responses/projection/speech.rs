//! What a model says and lets be seen of its thinking: items that grow.

use serde::Serialize;
use serde_json::{Value, json};

use super::teller::Teller;
use super::{Item, Told};
use crate::openai::item_ids::{Kind, Place, item_id};
use crate::openai::responses::items::{self, COMPLETED, IN_PROGRESS, INCOMPLETE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Message,
    Reasoning,
}

/// A message, or what was thought before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Speech {
    kind: Spoken,
    id: String,
    text: String,
    /// Where in the text each delta ends, by its seq.
    deltas: Vec<(u64, usize)>,
    status: &'static str,
}

impl Speech {
    pub(super) fn item(&self) -> Value {
        // One that has begun has no parts yet: they are added.
        let text = (!self.deltas.is_empty()).then_some(self.text.as_str());
        match self.kind {
            Spoken::Message => items::message(&self.id, self.status, text),
            Spoken::Reasoning => items::reasoning(&self.id, text),
        }
    }

    /// Takes back what was said behind a frame. False where nothing is left.
    fn cut_behind(&mut self, seq: u64) -> bool {
        if self.deltas.last().is_none_or(|(last, _)| *last <= seq) {
            return true;
        }
        self.deltas.retain(|(delta, _)| *delta <= seq);
        let end = self.deltas.last().map_or(0, |(_, end)| *end);
        self.text.truncate(end);
        self.status = COMPLETED;
        !self.deltas.is_empty()
    }
}

impl Teller<'_> {
    /// Tells a delta of a message or of the thinking.
    pub(super) fn say(&mut self, kind: Spoken, delta: &str) {
        if delta.is_empty() {
            return;
        }
        match self.present().map(|(_, speech)| speech.kind) {
            Some(present) if present == kind => {}
            // One item at a time, and a message is one item.
            Some(Spoken::Message) => {
                self.projection.asides.push((self.seq, delta.to_owned()));
                return;
            }
            Some(Spoken::Reasoning) => {
                self.end_speech(COMPLETED);
                self.begin_speech(kind);
            }
            None => self.begin_speech(kind),
        }
        let seq = self.seq;
        let Some((index, speech)) = self.present() else { return };
        speech.text.push_str(delta);
        speech.deltas.push((seq, speech.text.len()));
        let id = speech.id.clone();
        match kind {
            Spoken::Message => self.tell("response.output_text.delta", |_| Delta {
                item_id: &id,
                output_index: index,
                content_index: 0,
                delta,
                logprobs: [],
            }),
            Spoken::Reasoning => self.tell(
                "response.reasoning_summary_text.delta",
                |_| json!({"item_id": id, "output_index": index, "summary_index": 0, "delta": delta}),
            ),
        }
    }

    fn present(&mut self) -> Option<(usize, &mut Speech)> {
        let index = self.projection.saying?;
        match self.projection.told.get_mut(index) {
            Some(Told { item: Item::Speech(speech), .. }) => Some((index, speech)),
            _ => None,
        }
    }

    fn begin_speech(&mut self, kind: Spoken) {
        let run = self.projection.run;
        let count = match kind {
            Spoken::Message => &mut self.projection.messages,
            Spoken::Reasoning => &mut self.projection.thoughts,
        };
        let number = *count;
        *count = number.saturating_add(1);
        let id = match kind {
            Spoken::Message => item_id(Kind::Message, run, Place::Said(number)),
            Spoken::Reasoning => item_id(Kind::Reasoning, run, Place::Thought(number)),
        };
        let speech =
            Speech { kind, id: id.clone(), text: String::new(), deltas: Vec::new(), status: IN_PROGRESS };
        let index = self.add(Item::Speech(speech));
        self.projection.saying = Some(index);
        self.tell_part(kind, Bracket::Added, &id, index, "");
    }

    /// Ends what is being said, and tells what was thought meanwhile.
    pub(super) fn end_speech(&mut self, status: &'static str) {
        let Some((index, speech)) = self.present() else { return };
        speech.status = status;
        let Speech { kind, id, text, .. } = speech.clone();
        self.projection.saying = None;
        match kind {
            Spoken::Message => self.tell(
                "response.output_text.done",
                |_| json!({"item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": []}),
            ),
            Spoken::Reasoning => self.tell(
                "response.reasoning_summary_text.done",
                |_| json!({"item_id": id, "output_index": index, "summary_index": 0, "text": text}),
            ),
        }
        self.tell_part(kind, Bracket::Done, &id, index, &text);
        self.done(index);
        let aside: String = self.projection.asides.drain(..).map(|(_, text)| text).collect();
        if !aside.is_empty() {
            self.say(Spoken::Reasoning, &aside);
            self.end_speech(COMPLETED);
        }
    }

    fn tell_part(&mut self, kind: Spoken, bracket: Bracket, id: &str, index: usize, text: &str) {
        match kind {
            Spoken::Message => {
                let event = match bracket {
                    Bracket::Added => "response.content_part.added",
                    Bracket::Done => "response.content_part.done",
                };
                let part = items::text_part(text);
                self.tell(
                    event,
                    |_| json!({"item_id": id, "output_index": index, "content_index": 0, "part": part}),
                );
            }
            Spoken::Reasoning => {
                let event = match bracket {
                    Bracket::Added => "response.reasoning_summary_part.added",
                    Bracket::Done => "response.reasoning_summary_part.done",
                };
                let part = items::summary_part(text);
                self.tell(
                    event,
                    |_| json!({"item_id": id, "output_index": index, "summary_index": 0, "part": part}),
                );
            }
        }
    }

    /// Ends what a crash has cut. What was said before the cut call stays in the output.
    pub(super) fn void_speech(&mut self, discard_after: u64) {
        self.projection.asides.retain(|(seq, _)| *seq <= discard_after);
        self.end_speech(INCOMPLETE);
        // What was told last is what the cut call has said.
        for told in self.projection.told.iter_mut().rev() {
            let Item::Speech(speech) = &mut told.item else { break };
            if !speech.cut_behind(discard_after) {
                told.is_void = true;
            }
        }
    }
}

/// A piece of a message on the wire.
#[derive(Serialize)]
struct Delta<'a> {
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    delta: &'a str,
    /// Always empty.
    logprobs: [(); 0],
}

/// The ends of a part.
#[derive(Clone, Copy)]
enum Bracket {
    Added,
    Done,
}
