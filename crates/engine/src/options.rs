//! What bounds the engine. Every limit can be set in the configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits and waits of the engine (`[engine]` in the configuration file).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Runs that may be under way on this node at once; more are refused with 503.
    pub max_running: usize,
    /// Runs of one project that may be running at once in the whole deployment; more wait until one of them ends or pauses.
    /// 0: any number.
    pub max_running_per_project: usize,
    /// Runs of this node whose models may be called while they are being stored. Each may be a call that is paid for nothing when
    /// the database fails; where it works there are a few. 0: each run is stored first.
    pub max_unstored: usize,
    /// Runs that may wait on one thread; the next is refused with 429.
    pub max_waiting_per_thread: usize,
    /// Model calls of one run; one more ends it with `tool_loop_failed`.
    pub max_model_calls: u32,
    /// Tools of a configuration that a model is offered; the run has a warning for the rest.
    pub max_tools: usize,
    /// Bytes of the names, descriptions and schemas of those tools.
    pub max_tools_bytes: usize,
    /// Calls of tools that one answer may ask for; the model is told of the rest. An answer with eight times as many ends its run.
    pub max_calls_per_answer: usize,
    /// Calls of tools that one run has under way at once.
    pub max_parallel_calls: usize,
    /// How often one run may call a tool with the same arguments; then the model is told to do something else.
    pub max_same_calls: usize,
    /// Bytes of the text of a tool's result that a model is given; the rest is cut.
    pub max_tool_result_bytes: usize,
    /// Estimated tokens of a thread's past that a model is given.
    pub context_tokens: u64,
    /// Turns of a thread's past that a model is given.
    pub context_turns: usize,
    /// Bytes of images and files that one run may be given, each counted as often as it is named; more is refused with 422.
    /// Older ones of the thread are left out beyond it.
    pub max_attachment_bytes: usize,
    /// Bytes of the JSON Schema of a structured answer, which is compiled for each answer; more is refused with 422.
    pub max_schema_bytes: usize,
    /// Bytes of one answer of a model, its thinking and the calls that it asks for included; more ends its run.
    pub max_answer_bytes: usize,
    /// Bytes of a stream that wait for their commit before the provider has to wait.
    pub max_pending_bytes: usize,
    /// Frames of a run under way that are kept in memory for its followers.
    pub window_frames: usize,
    /// Bytes of those frames.
    pub window_bytes: usize,
    /// Followers of all runs on this node; one more is refused with 503.
    pub max_followers: usize,
    /// Milliseconds without a beat after which a replica is taken for dead.
    pub lease_ms: u64,
    /// Milliseconds that runs under way get to finish when the server shuts down.
    pub drain_ms: u64,
    /// Crashes in a row that a run may have part in before it is given up.
    pub max_crashes: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_running: 10_000,
            max_running_per_project: 0,
            max_unstored: 16,
            max_waiting_per_thread: 16,
            max_model_calls: 50,
            max_tools: 128,
            max_tools_bytes: 1024 * 1024,
            max_calls_per_answer: 32,
            max_parallel_calls: 16,
            max_same_calls: 5,
            max_tool_result_bytes: 128 * 1024,
            context_tokens: 60_000,
            context_turns: 200,
            max_attachment_bytes: 50 * 1024 * 1024,
            max_schema_bytes: 64 * 1024,
            max_answer_bytes: 4 * 1024 * 1024,
            max_pending_bytes: 256 * 1024,
            window_frames: 4_096,
            window_bytes: 1024 * 1024,
            max_followers: 50_000,
            lease_ms: 10_000,
            drain_ms: 10_000,
            max_crashes: 3,
        }
    }
}

impl Options {
    /// Returns how many runs of a project may be running at once, where that is bounded.
    pub(crate) fn at_once(&self) -> Option<usize> {
        (self.max_running_per_project > 0).then_some(self.max_running_per_project)
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms.max(100))
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}
