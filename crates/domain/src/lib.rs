//! Nouns and rules of the product, without I/O.
//!
//! Nothing in here awaits, reads a clock, draws a random number, logs, or knows HTTP, SQL or a provider.
//! What needs time or randomness takes it as an argument.

pub mod agents;
pub mod catalog;
pub mod clock;
pub mod content;
pub mod conversations;
pub mod frames;
pub mod ids;
pub mod items;
pub mod models;
pub mod one_line;
pub mod overlay;
pub mod principals;
pub mod problems;
pub mod response_format;
pub mod run;
pub mod schemas;
pub mod smiths;
pub mod tools;
pub mod ui_templates;
pub mod usage;
pub mod variables;

pub use clock::{Clock, Timestamp};
pub use problems::{Code, Problem};
