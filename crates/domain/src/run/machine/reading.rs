//! What can be read of a run.

use super::Run;
use crate::frames::{PendingCall, Warning};
use crate::items::Item;
use crate::run::calls::Step;
use crate::run::phase::{Ending, Phase};
use crate::run::status::Status;
use crate::usage::{Tokens, Usage};

impl Run {
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    /// Returns where the run stands, as its record shows it.
    pub fn status(&self) -> Status {
        match &self.phase {
            Phase::Queued => Status::Queued,
            Phase::Thinking | Phase::Calling(_) => Status::Running,
            Phase::Paused(step) if step.is_open() => Status::PausedForApproval,
            Phase::Paused(_) => Status::PausedForTool,
            Phase::Ended(ending) => ending.status(),
        }
    }

    /// Returns the calls that the run is about, if it is about any.
    pub fn step(&self) -> Option<&Step> {
        match &self.phase {
            Phase::Calling(step) | Phase::Paused(step) => Some(step),
            _ => None,
        }
    }

    /// Returns what a paused run waits for, oldest first.
    pub fn pending(&self) -> Vec<PendingCall> {
        match &self.phase {
            Phase::Paused(step) => step.pending(),
            _ => Vec::new(),
        }
    }

    pub fn suggested_replies(&self) -> &[String] {
        &self.suggested_replies
    }

    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The seq of the first frame that the present model call made or will make.
    pub fn call_first_seq(&self) -> u64 {
        self.call_first_seq
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn model_calls(&self) -> u32 {
        self.model_calls
    }

    pub fn transcript(&self) -> &[Item] {
        &self.transcript
    }

    pub fn repair(&self) -> Option<&str> {
        self.repair.as_deref()
    }

    /// The provider's name for the call under way, if it gave one.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    pub fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    pub fn usage(&self) -> Option<Usage> {
        self.tokens.map(Usage::from)
    }

    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
