//! Where log lines go: readable on a terminal, one JSON object a line otherwise.

use std::io::IsTerminal as _;
use std::panic;

use tracing_subscriber::EnvFilter;

/// Starts logging on standard error; standard output belongs to what commands print. A second start changes nothing.
pub(crate) fn start(directives: &str) {
    let filter = EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let _ = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
    panic::set_hook(Box::new(|panic| {
        // What a panic says can quote what callers sent; where it happened cannot.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "The program panicked. This is a bug: please report it with this line.");
    }));
}
