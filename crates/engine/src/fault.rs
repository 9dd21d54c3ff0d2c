//! Named points at which a test lets the process die, or a task panic. Only in builds with debug assertions; a release build has none of it.
//!
//! `IC_FAULT=<point>` makes the process abort when it reaches the point; nothing is cleaned up, as with a power cut.

/// A place on the way of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    BeforeIntent,
    AfterIntent,
    /// In the task of a call, when the tool has answered: that task panics.
    InCall,
    /// In the driver, when calls are to be made: the driver panics.
    InDriver,
    AfterCall,
    BeforeResult,
    AfterResult,
}

#[cfg(debug_assertions)]
impl Point {
    const fn name(self) -> &'static str {
        match self {
            Self::BeforeIntent => "before_intent",
            Self::AfterIntent => "after_intent",
            Self::InCall => "in_call",
            Self::InDriver => "in_driver",
            Self::AfterCall => "after_call",
            Self::BeforeResult => "before_result",
            Self::AfterResult => "after_result",
        }
    }
}

#[cfg(debug_assertions)]
pub(crate) fn is_set(point: Point) -> bool {
    static SET: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let set = SET.get_or_init(|| std::env::var("IC_FAULT").ok());
    set.as_deref() == Some(point.name())
}

#[cfg(not(debug_assertions))]
pub(crate) const fn is_set(_: Point) -> bool {
    false
}

/// Dies here if a test wants it so.
pub(crate) fn reach(point: Point) {
    if is_set(point) {
        tracing::error!(point = ?point, "A fault was asked for here.");
        std::process::abort();
    }
}

/// Panics here if a test wants it so: as code does that has an error.
#[expect(clippy::panic, reason = "what a panic does is what the test wants to see")]
pub(crate) fn panic_at(point: Point) {
    if is_set(point) {
        panic!("A fault was asked for here.");
    }
}
