//! Anthropic, in the Messages wire: `POST {base}/messages`.

mod decode;
mod encode;
mod generation;
mod messages;

use domain::response_format::ResponseFormat;
use generation::Generation;

use crate::call::Request;

pub(crate) use decode::Decoder;
pub(crate) use encode::encode;

pub(crate) const BASE_URL: &str = "https://api.anthropic.com/v1";

/// Under which name this adapter leaves data with a call.
const OWN: &str = "anthropic";

/// The tool whose input is the answer, where the wire cannot hold the model to a form otherwise.
const ANSWER_TOOL: &str = "structured_answer";

/// Tells whether the answer's form is asked for by way of a tool.
///
/// `output_config.format` takes closed schemas only, which is what `strict` promises, and only newer models know it.
fn answers_by_tool(request: &Request) -> bool {
    match &request.response_format {
        None => false,
        Some(ResponseFormat::JsonSchema { strict: true, .. }) => {
            !Generation::of(&request.model).knows_output_format()
        }
        Some(_) => true,
    }
}
