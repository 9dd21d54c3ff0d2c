//! The reader: frames from a response, one at a time, with the connection under the test's control.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;

use super::Frame;
use super::parser::{Event, Parser};
use crate::contract::StreamCheck;

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server has closed it, after a whole frame.
    Cleanly,
    /// The connection broke, or the last frame is not whole.
    Cut,
}

/// Reads a stream frame by frame. Dropping it closes the connection.
pub struct Reader {
    headers: HeaderMap,
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    parser: Parser,
    check: Option<StreamCheck>,
    ready: VecDeque<Frame>,
    comments: usize,
    received: usize,
    last_id: Option<u64>,
    ended: Option<Ended>,
}

impl Reader {
    /// Reads a response; nothing but the format of event streams is checked.
    pub fn new(response: reqwest::Response) -> Self {
        Self {
            headers: response.headers().clone(),
            bytes: response.bytes_stream().boxed(),
            parser: Parser::default(),
            check: None,
            ready: VecDeque::new(),
            comments: 0,
            received: 0,
            last_id: None,
            ended: None,
        }
    }

    /// Checks each frame against the contract too, from the first one on.
    pub fn checked_by(mut self, check: StreamCheck) -> Self {
        self.check = Some(check);
        self
    }

    /// Returns the next frame, or nothing once the stream has ended; [`Reader::ended`] then says how.
    ///
    /// # Panics
    /// When the stream breaks a rule of the format or of the contract.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.last_id = frame.id.or(self.last_id);
                return Some(frame);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Returns the next `count` frames.
    ///
    /// # Panics
    /// When the stream ends before, or breaks a rule.
    pub async fn take(&mut self, count: usize) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(count);
        while frames.len() < count {
            let Some(frame) = self.next().await else {
                panic!("the stream ended after {} of {count} frames: {frames:#?}", frames.len());
            };
            frames.push(frame);
        }
        frames
    }

    /// Returns the frames up to and with the first of that event.
    ///
    /// # Panics
    /// When the stream ends before, or breaks a rule.
    pub async fn take_until(&mut self, event: &str) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let Some(frame) = self.next().await else {
                panic!("the stream ended without {event}: {frames:#?}");
            };
            let found = frame.event == event;
            frames.push(frame);
            if found {
                return frames;
            }
        }
    }

    /// Returns all frames to the end of the stream.
    ///
    /// # Panics
    /// When the connection is cut, or the stream breaks a rule.
    pub async fn collect_until_end(mut self) -> Vec<Frame> {
        let frames = self.drain().await;
        assert_eq!(self.ended, Some(Ended::Cleanly), "the stream was cut after {frames:#?}");
        let violations = self.check.take().map(StreamCheck::end).unwrap_or_default();
        assert!(violations.is_empty(), "the stream breaks the contract:\n  {}", violations.join("\n  "));
        frames
    }

    /// Returns all frames that still come, however the stream ends.
    pub async fn drain(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }

    /// Reads until at least `bytes` have come in all, closes the connection, and returns the whole frames so far that
    /// were not handed out yet. Bytes after that count are thrown away, as a cut at that byte would.
    pub async fn cut_after_bytes(mut self, bytes: usize) -> Vec<Frame> {
        while self.received < bytes && self.read_up_to(bytes).await {}
        self.ready.into()
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns a header as text, or the empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the id of the newest frame handed out: what a client that resumes sends as `Last-Event-ID`.
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// Counts the comment lines read so far.
    pub fn comments(&self) -> usize {
        self.comments
    }

    /// Tells how the stream ended, once [`Reader::next`] has returned nothing.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    async fn read(&mut self) -> bool {
        self.read_up_to(usize::MAX).await
    }

    /// Reads one piece of the body, and takes no more of it than fits under `limit` bytes of the whole stream.
    async fn read_up_to(&mut self, limit: usize) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.bytes.next().await {
            Some(Ok(piece)) => {
                self.accept(piece.slice(..piece.len().min(limit.saturating_sub(self.received))))
            }
            Some(Err(_)) => self.ended = Some(Ended::Cut),
            None => self.end(),
        }
        true
    }

    fn accept(&mut self, piece: Bytes) {
        self.received += piece.len();
        let events =
            self.parser.push(&piece).unwrap_or_else(|problem| panic!("not an event stream: {problem}"));
        for event in events {
            if let Some(check) = self.check.as_mut() {
                check.event(&event);
                check.assert_clean();
            }
            match event {
                Event::Frame(frame) => self.ready.push_back(frame),
                Event::Comment(_) => self.comments += 1,
            }
        }
    }

    fn end(&mut self) {
        // A proxy or a killed server may close in the middle of a frame without an error of the transport.
        let whole = self.parser.finish().is_ok();
        self.ended = Some(if whole { Ended::Cleanly } else { Ended::Cut });
    }
}
