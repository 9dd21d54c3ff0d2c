//! What the numbers of the settings may be.
//!
//! A nought that would refuse every request, or a number that no machine can hold, is a slip of the pen. It is told at the
//! start, where the slip is, and not by a server that hangs or breaks later.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Settings;
use super::load::Fault;

/// More of a thing than a server ever has, and few enough to be counted and multiplied.
const MANY: u64 = 1_000_000_000;
/// A tebibyte.
const LARGE: u64 = 1 << 40;
/// A day, in milliseconds: what takes longer is no wait.
const DAY: u64 = 86_400_000;
/// Connections to a database; a place is kept in memory for each.
const CONNECTIONS: u64 = 10_000;
/// A lease that is shorter ends while the database is being asked.
const SHORTEST_LEASE: u64 = 100;

/// Finds the numbers that the server could not work with.
pub(super) fn faults(settings: &Settings) -> Vec<Fault> {
    let numbers = numbers(settings).into_iter().filter(|(_, value, range)| !range.contains(value));
    let out_of_bounds = numbers.map(|(name, _, range)| {
        Fault::of(name, format!("expected a number from {} to {}", range.start(), range.end()))
    });
    let noughts = times(settings).into_iter().filter(|(_, time)| time.is_zero());
    let in_no_time = noughts.map(|(name, _)| Fault::of(name, "expected a number of seconds above 0"));
    out_of_bounds.chain(in_no_time).collect()
}

type Number = (&'static str, u64, RangeInclusive<u64>);

fn numbers(settings: &Settings) -> Vec<Number> {
    let Settings { http, server, database, engine, models, tools, .. } = settings;
    let (many, large) = (1..=MANY, 1..=LARGE);
    let (or_none, or_nothing) = (0..=MANY, 0..=LARGE);
    let counted = |name, value: usize, range: &RangeInclusive<u64>| {
        (name, u64::try_from(value).unwrap_or(u64::MAX), range.clone())
    };
    vec![
        counted("http.max_body_bytes", http.max_body_bytes, &large),
        ("http.body_silence_ms", http.body_silence_ms, 1..=DAY),
        counted("http.max_input_messages", http.max_input_messages, &many),
        counted("http.max_input_parts", http.max_input_parts, &many),
        counted("http.max_input_text_bytes", http.max_input_text_bytes, &large),
        counted("http.max_embedding_bytes", http.max_embedding_bytes, &or_nothing),
        counted("http.max_ui_template_bytes", http.max_ui_template_bytes, &or_nothing),
        counted("http.max_requests", http.max_requests, &many),
        counted("http.max_exports", http.max_exports, &many),
        ("http.requests_per_minute", http.requests_per_minute.into(), or_none.clone()),
        ("http.signature_cache_seconds", http.signature_cache_seconds, 0..=86_400),
        counted("server.max_connections", server.max_connections, &many),
        ("server.header_timeout_ms", server.header_timeout_ms, 1..=DAY),
        ("server.close_ms", server.close_ms, 0..=DAY),
        counted("database.connections", database.connections, &(1..=CONNECTIONS)),
        ("database.wait_ms", database.wait_ms, 1..=DAY),
        counted("database.queue", database.queue, &many),
        counted("database.cache_bytes", database.cache_bytes, &or_nothing),
        ("database.statement_timeout_ms", database.statement_timeout_ms, 0..=DAY),
        counted("engine.max_running", engine.max_running, &many),
        counted("engine.max_running_per_project", engine.max_running_per_project, &or_none),
        counted("engine.max_unstored", engine.max_unstored, &or_none),
        counted("engine.max_waiting_per_thread", engine.max_waiting_per_thread, &or_none),
        ("engine.max_model_calls", engine.max_model_calls.into(), many.clone()),
        counted("engine.max_tools", engine.max_tools, &or_none),
        counted("engine.max_tools_bytes", engine.max_tools_bytes, &or_nothing),
        counted("engine.max_calls_per_answer", engine.max_calls_per_answer, &many),
        counted("engine.max_parallel_calls", engine.max_parallel_calls, &many),
        counted("engine.max_same_calls", engine.max_same_calls, &many),
        counted("engine.max_tool_result_bytes", engine.max_tool_result_bytes, &large),
        ("engine.context_tokens", engine.context_tokens, or_none.clone()),
        counted("engine.context_turns", engine.context_turns, &or_none),
        counted("engine.max_attachment_bytes", engine.max_attachment_bytes, &or_nothing),
        counted("engine.max_schema_bytes", engine.max_schema_bytes, &or_nothing),
        counted("engine.max_answer_bytes", engine.max_answer_bytes, &large),
        counted("engine.max_pending_bytes", engine.max_pending_bytes, &large),
        counted("engine.window_frames", engine.window_frames, &many),
        counted("engine.window_bytes", engine.window_bytes, &large),
        counted("engine.max_followers", engine.max_followers, &many),
        ("engine.lease_ms", engine.lease_ms, SHORTEST_LEASE..=DAY),
        ("engine.drain_ms", engine.drain_ms, 0..=DAY),
        ("engine.max_crashes", engine.max_crashes.into(), many.clone()),
        ("models.attempts", models.attempts.into(), many.clone()),
        ("models.anthropic_max_tokens", models.anthropic_max_tokens, many.clone()),
        counted("models.max_event_bytes", models.max_event_bytes, &large),
        ("models.max_answer_bytes", models.max_answer_bytes, large.clone()),
        counted("tools.fetch_max_bytes", tools.fetch_max_bytes, &large),
        counted("tools.fetch_max_characters", tools.fetch_max_characters, &many),
        counted("tools.fetch_default_characters", tools.fetch_default_characters, &many),
        counted("tools.webhook_max_bytes", tools.webhook_max_bytes, &large),
        ("tools.webhook_attempts", tools.webhook_attempts.into(), many.clone()),
    ]
}

/// The times that something gets to be done in. Their upper bounds are kept where they are read, as are those of `[mcp]`.
fn times(settings: &Settings) -> [(&'static str, Duration); 12] {
    let Settings { models, tools, mcp, .. } = settings;
    [
        ("models.connect", models.connect),
        ("models.first_byte", models.first_byte),
        ("models.idle", models.idle),
        ("models.total", models.total),
        ("models.reattach_interval", models.reattach_interval),
        ("tools.connect", tools.connect),
        ("tools.fetch_timeout", tools.fetch_timeout),
        ("tools.search.timeout", tools.search.timeout),
        ("mcp.connect", mcp.connect),
        ("mcp.discovery", mcp.discovery),
        ("mcp.call", mcp.call),
        ("mcp.call_total", mcp.call_total),
    ]
}
