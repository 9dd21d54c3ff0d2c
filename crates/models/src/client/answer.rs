//! An answer while it streams in.

use std::collections::VecDeque;
use std::sync::Arc;

use egress::reqwest::Response;
use egress::sse::{Parser, SseEvent};
use tokio::time::{Instant, timeout_at};

use super::{after, broken};
use crate::call::Event;
use crate::options::Options;
use crate::trouble::Trouble;
use crate::wire::Decode;

/// Reads an answer's events, within bounds of time and size.
pub(crate) struct Answer {
    response: Response,
    decoder: Box<dyn Decode>,
    options: Arc<Options>,
    parser: Parser,
    /// Until when the next sound of the other side has to come.
    quiet_until: Instant,
    deadline: Instant,
    bytes: u64,
    /// Decoded, not yet passed on.
    ready: VecDeque<Event>,
    /// How it ended, to be told once everything before was passed on.
    end: Option<Result<(), Trouble>>,
}

impl Answer {
    pub(crate) fn new(
        response: Response,
        decoder: Box<dyn Decode>,
        options: Arc<Options>,
        first_byte: Instant,
        deadline: Instant,
    ) -> Self {
        let parser = Parser::new(options.max_event_bytes);
        Self {
            response,
            decoder,
            options,
            parser,
            quiet_until: first_byte,
            deadline,
            bytes: 0,
            ready: VecDeque::new(),
            end: None,
        }
    }

    /// Returns the next event; none once the answer is complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Trouble> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if matches!(event, Event::Finished { .. }) {
                    // Nothing follows the end, whatever a server may still send.
                    self.ready.clear();
                    self.end = Some(Ok(()));
                }
                return Ok(Some(event));
            }
            match self.end.take() {
                Some(Ok(())) => return Ok(None),
                Some(Err(trouble)) => return Err(trouble),
                None => self.read().await,
            }
        }
    }

    async fn read(&mut self) {
        match timeout_at(self.quiet_until.min(self.deadline), self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                if let Err(trouble) = self.take(&bytes) {
                    self.end = Some(Err(trouble));
                }
            }
            Ok(Ok(None)) => self.over(Trouble::cut()),
            Ok(Err(error)) => self.over(broken(&error)),
            Err(_) => {
                let what = if Instant::now() >= self.deadline {
                    "took longer than a call may take"
                } else if self.bytes == 0 {
                    "did not begin to answer in time"
                } else {
                    "fell silent in the middle of the answer"
                };
                self.over(Trouble::unavailable(what));
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let too_large = || Trouble::unavailable("sent more than an answer may have");
        if self.bytes > self.options.max_answer_bytes {
            return Err(too_large());
        }
        // Single bytes now and then are no sign of life, complete lines are.
        let (was_silent, lines) =
            (self.bytes == u64::try_from(bytes.len()).unwrap_or(u64::MAX), self.parser.lines());
        for event in self.parser.push(bytes).map_err(|_| too_large())? {
            self.ready.extend(self.decoder.on_event(&event)?);
        }
        if was_silent || self.parser.lines() > lines {
            self.quiet_until = after(self.options.idle);
        }
        Ok(())
    }

    /// Nothing more comes: ends the answer well if it was complete already, else with the trouble.
    fn over(&mut self, trouble: Trouble) {
        let parser = std::mem::replace(&mut self.parser, Parser::new(0));
        let ended = match parser.finish().filter(is_whole).map(|event| self.decoder.on_event(&event)) {
            Some(Err(trouble)) => Err(trouble),
            Some(Ok(events)) => {
                self.ready.extend(events);
                self.decoder.finish().map_err(|_| trouble)
            }
            None => self.decoder.finish().map_err(|_| trouble),
        };
        self.end = Some(ended.map(|events| self.ready.extend(events)));
    }
}

/// Tells whether the last event was told to its end, although the blank line after it is missing.
fn is_whole(event: &SseEvent) -> bool {
    event.data == "[DONE]" || serde_json::from_str::<serde::de::IgnoredAny>(&event.data).is_ok()
}
