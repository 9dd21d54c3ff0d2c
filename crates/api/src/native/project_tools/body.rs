//! What the body of a registration says.

use domain::tools::{Annotations, Execution, OnReject, check_name};
use domain::{Code, Problem};
use serde_json::Value;
use store::project_tools::NewProjectTool;
use utoipa::ToSchema;

use super::render::{ApprovalMode, ExecutionMode, RejectMode, ToolAnnotations};
use super::schema;
use crate::app::App;
use crate::extract::Fields;
use crate::native::addresses;

const LONGEST_DESCRIPTION: usize = 4_000;
const LONGEST_TIMEOUT: u64 = 600;
const USUAL_TIMEOUT: u32 = 30;

/// What the tool is, and who carries it out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, whose fields are read one by one")]
pub(super) struct ToolIn {
    /// What the model is told that the tool does.
    #[schema(min_length = 1, max_length = 4000)]
    description: String,
    /// A JSON Schema of an object, which is whole in itself.
    #[schema(value_type = Object)]
    input_schema: Value,
    #[schema(inline)]
    execution: ExecutionMode,
    /// Where a webhook tool is called. An external tool has none.
    url: Option<String>,
    /// Whether a human must agree to each call.
    #[schema(inline, required = false)]
    approval: ApprovalMode,
    /// What becomes of the run when the human does not.
    #[schema(inline, required = false)]
    on_reject: RejectMode,
    #[schema(inline, required = false)]
    annotations: ToolAnnotations,
    /// How long a call may take.
    #[schema(required = false, minimum = 1, maximum = 600, default = 30)]
    timeout_seconds: u32,
}

/// Reads a registration under `name`.
pub(super) fn read(app: &App, name: &str, fields: &Fields<'_>) -> Result<NewProjectTool, Problem> {
    check_name(name)?;
    let description = fields.text_of("description", 1..=LONGEST_DESCRIPTION)?;
    let expected = format!("given, as a text of 1 to {LONGEST_DESCRIPTION} characters");
    let description = description.ok_or_else(|| fields.refuse("description", &expected))?;
    let schema = fields.object("input_schema")?;
    let schema =
        schema.ok_or_else(|| fields.refuse("input_schema", "given, as the JSON Schema of an object"))?;
    let input_schema = Value::Object(schema.clone());
    schema::check(&input_schema, app.engine.options().max_schema_bytes, "input_schema")?;
    let execution = choice(fields, "execution", "`webhook` or `external`", Execution::parse)?;
    let execution =
        execution.ok_or_else(|| fields.refuse("execution", "given, as `webhook` or `external`"))?;
    let always_asks = choice(fields, "approval", "`never` or `always`", |text| match text {
        "never" => Some(false),
        "always" => Some(true),
        _ => None,
    })?;
    let timeout_seconds = fields.whole("timeout_seconds", 1..=LONGEST_TIMEOUT)?;
    Ok(NewProjectTool {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema,
        execution,
        url: url(app, fields, execution)?,
        always_asks: always_asks.unwrap_or_default(),
        on_reject: choice(fields, "on_reject", "`end` or `continue`", OnReject::parse)?.unwrap_or_default(),
        annotations: annotations(fields)?,
        timeout_seconds: timeout_seconds
            .and_then(|seconds| u32::try_from(seconds).ok())
            .unwrap_or(USUAL_TIMEOUT),
    })
}

fn choice<T>(
    fields: &Fields<'_>,
    name: &str,
    expected: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    parse(text).map(Some).ok_or_else(|| fields.refuse(name, expected))
}

fn url(app: &App, fields: &Fields<'_>, execution: Execution) -> Result<Option<String>, Problem> {
    match (execution, addresses::url(app, fields)?) {
        (Execution::Webhook, None) => {
            let message =
                "A webhook tool needs the `url` that is called, such as https://host.example/tools/order.";
            Err(Problem::new(Code::UrlRequired, message).at("url"))
        }
        (Execution::External, Some(_)) => {
            Err(fields.refuse("url", "left out: an external tool is carried out by whoever calls the run"))
        }
        (_, url) => Ok(url.map(str::to_owned)),
    }
}

fn annotations(fields: &Fields<'_>) -> Result<Annotations, Problem> {
    let Some(hints) = fields.object("annotations")? else { return Ok(Annotations::default()) };
    let hint = |name: &str| match hints.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(hint)) => Ok(*hint),
        Some(_) => Err(fields.refuse(&format!("annotations.{name}"), "`true` or `false`")),
    };
    Ok(Annotations {
        read_only: hint("read_only")?,
        idempotent: hint("idempotent")?,
        destructive: hint("destructive")?,
    })
}
