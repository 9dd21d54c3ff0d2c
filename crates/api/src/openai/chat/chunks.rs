//! The answer of a chat in pieces: a run's frames, told as chunks.

use domain::frames::Frame;
use domain::ids::RunId;
use domain::{Code, Problem, one_line};
use serde::Serialize;
use serde_json::{Value, json};

use super::completion::Rest;
use crate::errors::envelope;

/// Turns the frames of a run into the chunks of a completion.
pub(super) struct Chunks {
    /// The run, as the id of the completion.
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    /// What was said by the model call under way, each piece with its seq.
    saying: Vec<(u64, String)>,
    /// What was told already of an answer that is being said again after a crash.
    to_skip: String,
}

/// A chunk on the wire. Each word of an answer is one, so they are written without detours.
#[derive(Serialize)]
struct Chunk<'a, C> {
    id: &'a str,
    object: &'static str,
    created: i64,
    model: &'a str,
    choices: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'a Value>,
}

#[derive(Serialize)]
struct Choice<'a, D> {
    index: u32,
    delta: D,
    /// Always null.
    logprobs: (),
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    content: &'a str,
}

/// The end of a stream.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

impl Chunks {
    pub(super) fn new(run: RunId, created: i64, model: String, include_usage: bool) -> Self {
        Self {
            id: run.to_string(),
            created,
            model,
            include_usage,
            saying: Vec::new(),
            to_skip: String::new(),
        }
    }

    /// Makes a chunk with a piece of the message.
    fn piece<'a, D>(&'a self, delta: D, finish_reason: Option<&'a str>) -> Chunk<'a, [Choice<'a, D>; 1]> {
        self.chunk([Choice { index: 0, delta, logprobs: (), finish_reason }], &Value::Null)
    }

    fn chunk<'a, C>(&'a self, choices: C, usage: &'a Value) -> Chunk<'a, C> {
        Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage: self.include_usage.then_some(usage),
        }
    }

    /// Opens the message.
    pub(super) fn opening(&self) -> Vec<u8> {
        event(None, &self.piece(json!({"role": "assistant", "content": ""}), None))
    }

    /// Tells what a frame says that does not end the stream. Tools that the server runs are invisible.
    pub(super) fn frame(&mut self, seq: u64, frame: &Frame) -> Result<Vec<u8>, Problem> {
        match frame {
            Frame::Delta { delta } => {
                self.saying.push((seq, delta.clone()));
                let new = self.unsaid(delta)?;
                if new.is_empty() {
                    return Ok(Vec::new());
                }
                Ok(event(Some(seq), &self.piece(Said { content: new }, None)))
            }
            // Chats show no thinking, and it can come again while what was said is repeated.
            Frame::Reasoning { .. } => Ok(Vec::new()),
            Frame::Resumed { discard_after, .. } => {
                let void = self.saying.iter().filter(|(seq, _)| seq > discard_after);
                let void: String = void.map(|(_, text)| text.as_str()).collect();
                // What was told: what this try said, and what it had not said again yet.
                self.to_skip.insert_str(0, &void);
                self.saying.retain(|(seq, _)| seq <= discard_after);
                Ok(Vec::new())
            }
            _ => {
                if !self.to_skip.is_empty() {
                    return Err(self.differs());
                }
                self.saying.clear();
                Ok(Vec::new())
            }
        }
    }

    /// Returns the part of a piece that was not told before the crash. What was told cannot be taken back, so an answer that
    /// differs from it cannot be told in this stream.
    fn unsaid<'a>(&mut self, delta: &'a str) -> Result<&'a str, Problem> {
        if let Some(rest) = self.to_skip.strip_prefix(delta) {
            self.to_skip = rest.to_owned();
            return Ok("");
        }
        match delta.strip_prefix(self.to_skip.as_str()) {
            Some(new) => {
                self.to_skip.clear();
                Ok(new)
            }
            None => Err(self.differs()),
        }
    }

    fn differs(&self) -> Problem {
        let message = format!(
            "The server went down in the middle of this answer, and the new one differs from what was sent. Read the whole answer \
             from the run {}.",
            self.id
        );
        Problem::new(Code::ResumeFailed, message).after_work()
    }

    /// Tells how the turn has come to rest. `seq` is that of the frame which says so.
    pub(super) fn rest(&self, seq: u64, rest: &Rest) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, call) in rest.calls.iter().enumerate() {
            let delta = json!({"tool_calls": [{
                "index": index,
                "id": call.id,
                "type": call.r#type,
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }]});
            bytes.extend(event(None, &self.piece(delta, None)));
        }
        let end = self.piece(json!({}), Some(rest.finish_reason));
        // The last chunk of a frame carries its seq.
        let with_usage = self.include_usage;
        bytes.extend(event(Some(seq).filter(|_| !with_usage), &end));
        if with_usage {
            let nothing = || json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
            let usage = rest.usage.clone().unwrap_or_else(nothing);
            bytes.extend(event(Some(seq), &self.chunk([(); 0], &usage)));
        }
        bytes.extend_from_slice(DONE);
        bytes
    }
}

/// Tells a failure once the stream has begun.
pub(super) fn failure(problem: &Problem) -> Vec<u8> {
    let mut bytes = event(None, &envelope(problem));
    bytes.extend_from_slice(DONE);
    bytes
}

fn event(seq: Option<u64>, payload: &impl Serialize) -> Vec<u8> {
    let mut bytes = seq.map_or_else(Vec::new, |seq| format!("id: {seq}\n").into_bytes());
    bytes.extend_from_slice(b"data: ");
    one_line::write(payload, &mut bytes);
    bytes.extend_from_slice(b"\n\n");
    bytes
}

#[cfg(test)]
mod tests {
    use domain::ids::Id as _;

    use super::super::completion::{CallOut, FunctionOut};
    use super::*;

    fn chunks(include_usage: bool) -> Chunks {
        Chunks::new(RunId::from_bytes([1; 16]), 7, "scripted/demo".into(), include_usage)
    }

    fn say(chunks: &mut Chunks, seq: u64, text: &str) -> Result<String, Problem> {
        let bytes = chunks.frame(seq, &Frame::Delta { delta: text.into() })?;
        let text = String::from_utf8(bytes).unwrap();
        let Some((_, data)) = text.split_once("data: ") else { return Ok(String::new()) };
        let chunk: Value = serde_json::from_str(data.trim()).unwrap();
        Ok(chunk["choices"][0]["delta"]["content"].as_str().unwrap().to_owned())
    }

    fn rest(calls: Vec<CallOut>) -> Rest {
        Rest { finish_reason: "stop", calls, usage: Some(json!({"total_tokens": 3})) }
    }

    #[test]
    fn every_chunk_names_the_run_and_the_last_of_a_frame_its_seq() {
        let mut chunks = chunks(false);
        let text = String::from_utf8(chunks.frame(4, &Frame::Delta { delta: "a".into() }).unwrap()).unwrap();
        let run = RunId::from_bytes([1; 16]);
        assert_eq!(
            text,
            format!(
                "id: 4\ndata: {{\"id\":\"{run}\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"scripted/demo\",\"choices\":[{{\"index\":0,\
                 \"delta\":{{\"content\":\"a\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
            )
        );
        let end = String::from_utf8(chunks.rest(5, &rest(vec![]))).unwrap();
        assert!(end.starts_with("id: 5\ndata: ") && end.ends_with("data: [DONE]\n\n"), "{end}");
        assert_eq!(end.matches("finish_reason\":\"stop\"").count(), 1);
    }

    #[test]
    fn usage_comes_last_where_it_was_asked_for() {
        let end = String::from_utf8(chunks(true).rest(5, &rest(vec![]))).unwrap();
        let events: Vec<_> = end.split("\n\n").collect();
        assert!(events[0].starts_with("data: ") && events[0].contains("\"usage\":null"), "{end}");
        assert!(
            events[1].starts_with("id: 5\n") && events[1].contains("\"choices\":[],\"usage\":{"),
            "{end}"
        );
        assert_eq!(events[2], "data: [DONE]");
    }

    #[test]
    fn calls_are_numbered_and_named_once() {
        let call = |id: &str| CallOut {
            id: id.into(),
            r#type: "function",
            function: FunctionOut { name: "f".into(), arguments: "{}".into() },
        };
        let end = String::from_utf8(chunks(false).rest(5, &rest(vec![call("a"), call("b")]))).unwrap();
        assert!(end.contains("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\""), "{end}");
        assert!(end.contains("{\"tool_calls\":[{\"index\":1,\"id\":\"b\""), "{end}");
    }

    #[test]
    fn an_answer_that_is_said_again_goes_on_where_it_was_cut() {
        let mut chunks = chunks(false);
        assert_eq!(say(&mut chunks, 1, "Hel").unwrap(), "Hel");
        assert_eq!(say(&mut chunks, 2, "lo").unwrap(), "lo");
        chunks.frame(3, &Frame::Resumed { attempt: 2, discard_after: 0 }).unwrap();
        assert_eq!(say(&mut chunks, 4, "Hell").unwrap(), "");
        assert_eq!(say(&mut chunks, 5, "o you").unwrap(), " you");
        assert_eq!(say(&mut chunks, 6, "!").unwrap(), "!");
    }

    #[test]
    fn an_answer_that_was_cut_twice_goes_on_where_it_was_cut_the_farthest() {
        let mut chunks = chunks(false);
        say(&mut chunks, 1, "Hello").unwrap();
        chunks.frame(2, &Frame::Resumed { attempt: 2, discard_after: 0 }).unwrap();
        assert_eq!(say(&mut chunks, 3, "Hel").unwrap(), "");
        chunks.frame(4, &Frame::Resumed { attempt: 3, discard_after: 2 }).unwrap();
        assert_eq!(say(&mut chunks, 5, "Hello you").unwrap(), " you");
    }

    #[test]
    fn a_new_answer_that_differs_is_not_mixed_with_the_old() {
        let mut chunks = chunks(false);
        say(&mut chunks, 1, "Hello").unwrap();
        chunks.frame(2, &Frame::Resumed { attempt: 2, discard_after: 0 }).unwrap();
        assert_eq!(say(&mut chunks, 3, "Good").unwrap_err().code, Code::ResumeFailed);
        let mut shorter = self::chunks(false);
        say(&mut shorter, 1, "Hello").unwrap();
        shorter.frame(2, &Frame::Resumed { attempt: 2, discard_after: 0 }).unwrap();
        say(&mut shorter, 3, "Hel").unwrap();
        let ended = Frame::Completed { stop_reason: "end_turn".into(), usage: None, warnings: vec![] };
        assert_eq!(shorter.frame(4, &ended).unwrap_err().code, Code::ResumeFailed);
    }

    #[test]
    fn a_failure_is_an_envelope_and_the_end() {
        let text = String::from_utf8(failure(&Problem::new(Code::RunFailed, "It failed."))).unwrap();
        assert_eq!(
            text,
            "data: {\"error\":{\"message\":\"It failed.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"run_failed\"}}\n\ndata: [DONE]\n\n"
        );
    }
}
