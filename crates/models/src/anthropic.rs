//! Anthropic, in the Messages wire: `POST {base}/messages`.

mod decode;
mod encode;
mod generation;
mod messages;
mod schema;

use domain::response_format::ResponseFormat;
use generation::Generation;

use crate::call::Request;

pub(crate) use decode::Decoder;
pub(crate) use encode::encode;

pub(crate) const BASE_URL: &str = "https://api.anthropic.com/v1";

/// Under which name this adapter leaves data with a call.
const OWN: &str = "anthropic";

/// The thoughts that the answer with this call began with.
const AT_FIRST: &str = "thinking";
/// The thoughts right before this call, behind text or another call.
const BEFORE_CALL: &str = "thinking_before_call";

/// The tool whose input is the answer, where the wire cannot hold the model to a form otherwise.
const ANSWER_TOOL: &str = "structured_answer";

/// How the model is held to the form that its answer is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It may answer as it likes.
    None,
    /// `output_config.format`, which takes closed schemas only, and only newer models know it. Closed is what `strict` promises.
    Format,
    /// A tool that has to be called.
    Tool,
    /// The instructions say it: the newest models refuse a call that forces a tool.
    Words,
}

fn hold(request: &Request) -> Hold {
    let generation = Generation::of(&request.model);
    match &request.response_format {
        None => Hold::None,
        Some(ResponseFormat::JsonSchema { strict: true, .. }) if generation.knows_output_format() => {
            Hold::Format
        }
        Some(_) if generation.takes_forced_calls() => Hold::Tool,
        Some(_) => Hold::Words,
    }
}
