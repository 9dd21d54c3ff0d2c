//! What a caller is told when something is refused: a stable code, the field, and what to do next.

use std::fmt;

macro_rules! codes {
    ($($variant:ident = $name:literal, $status:literal;)*) => {
        /// An error code of the contract. Clients match on it; it never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($variant,)* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the text of the code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns the HTTP status that the code has unless a problem says otherwise.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", 400;
    UnsupportedApiVersion = "unsupported_api_version", 400;
    InvalidCursor = "invalid_cursor", 400;
    InvalidLimit = "invalid_limit", 400;
    InvalidResponseFormat = "invalid_response_format", 400;
    AuthRequired = "auth_required", 401;
    Unauthenticated = "unauthenticated", 401;
    InsufficientScope = "insufficient_scope", 403;
    SmithMismatch = "smith_mismatch", 403;
    AdminRequired = "admin_required", 403;
    TenantTokenRequired = "tenant_token_required", 403;
    OrganizationRequired = "organization_required", 403;
    NotFound = "not_found", 404;
    PayloadTooLarge = "payload_too_large", 413;
    AgentExists = "agent_exists", 409;
    SmithExists = "smith_exists", 409;
    AgentInUse = "agent_in_use", 409;
    DefaultAgent = "default_agent", 409;
    AgentUnpublished = "agent_unpublished", 409;
    RunNotPaused = "run_not_paused", 409;
    ConversationLocked = "conversation_locked", 409;
    IdempotencyInProgress = "idempotency_in_progress", 409;
    IdempotencyKeyReused = "idempotency_key_reused", 409;
    InvalidInput = "invalid_input", 422;
    ModelKeyMissing = "model_key_missing", 422;
    UnknownProvider = "unknown_provider", 422;
    ModelRequestFailed = "model_request_failed", 422;
    RunFailed = "run_failed", 422;
    ToolLoopFailed = "tool_loop_failed", 422;
    StructuredOutputFailed = "structured_output_failed", 422;
    ResumeFailed = "resume_failed", 422;
    RunCancelled = "run_cancelled", 422;
    SmithRequired = "smith_required", 422;
    SmithUnresolved = "smith_unresolved", 422;
    PermissionsRequired = "permissions_required", 422;
    InvalidScope = "invalid_scope", 422;
    InvalidTokenScope = "invalid_token_scope", 422;
    InvalidKind = "invalid_kind", 422;
    InvalidDecision = "invalid_decision", 422;
    InvalidToolChoice = "invalid_tool_choice", 422;
    UnsupportedTools = "unsupported_tools", 422;
    ReplayUnsupported = "replay_unsupported", 422;
    InvalidReasoningEffort = "invalid_reasoning_effort", 422;
    SchemaError = "schema_error", 422;
    EmptyPatch = "empty_patch", 422;
    EmptyKey = "empty_key", 422;
    UrlRequired = "url_required", 422;
    InvalidUrl = "invalid_url", 422;
    NameRequired = "name_required", 422;
    InvalidName = "invalid_name", 422;
    InvalidAuthKind = "invalid_auth_kind", 422;
    InvalidClientMode = "invalid_client_mode", 422;
    SecretRequired = "secret_required", 422;
    UnknownCatalogEntry = "unknown_catalog_entry", 422;
    InvalidApprovalPolicy = "invalid_approval_policy", 422;
    UnsupportedPolicyRule = "unsupported_policy_rule", 422;
    WorkspaceIdUnsupported = "workspace_id_unsupported", 422;
    InvalidTimezone = "invalid_timezone", 422;
    InvalidSlug = "invalid_slug", 422;
    InvalidPercent = "invalid_percent", 422;
    InvalidVariables = "invalid_variables", 422;
    RateLimitExceeded = "rate_limit_exceeded", 429;
    ConcurrencyLimitExceeded = "concurrency_limit_exceeded", 429;
    DiscoveryFailed = "discovery_failed", 502;
    ServiceOverloaded = "service_overloaded", 503;
    StorageUnavailable = "storage_unavailable", 503;
    InternalError = "internal_error", 500;
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize<'de>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("unknown error code"))
    }
}

/// A refusal that a caller sees. The message says what to do next and never holds a secret or personal text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    pub code: Code,
    pub status: u16,
    pub message: String,
    /// The field at fault, as a path (`input[0].content`).
    pub param: Option<String>,
    /// Seconds after which the same request may be sent again.
    pub retry_after: Option<u32>,
    /// Set when the error was answered after a run was created.
    pub after_work: bool,
}

impl Problem {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after = match code.status() {
            429 | 503 => Some(1),
            _ if code == Code::IdempotencyInProgress => Some(1),
            _ => None,
        };
        Self {
            code,
            status: code.status(),
            message: message.into(),
            param: None,
            retry_after,
            after_work: false,
        }
    }

    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds.min(60));
        self
    }

    /// Marks a refusal that comes after something was done. 429 and 503 say that nothing was, so they cannot stay.
    #[must_use]
    pub fn after_work(mut self) -> Self {
        if matches!(self.status, 429 | 503) {
            self = Self::internal();
        }
        self.retry_after = None;
        self.after_work = true;
        self
    }

    /// The field named by `param` has a wrong type or value.
    pub fn invalid_input(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidInput, message).at(param)
    }

    /// Nothing of that kind and id is visible to the caller.
    pub fn not_found(noun: &str) -> Self {
        Self::new(
            Code::NotFound,
            format!("No such {noun}. Check the id and that the token belongs to the same project."),
        )
    }

    /// A bug of ours. The message tells no internals; the cause belongs into the log.
    pub fn internal() -> Self {
        Self::new(
            Code::InternalError,
            "Something went wrong on our side. Retry, and report the X-Request-Id if it happens again.",
        )
    }

    /// The `type` of the error envelope.
    pub fn kind(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            402 | 403 => "permission_error",
            429 => "rate_limit_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_its_text() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn only_refusals_that_may_be_repeated_say_when() {
        assert_eq!(Problem::new(Code::RateLimitExceeded, "").retry_after, Some(1));
        assert_eq!(Problem::new(Code::IdempotencyInProgress, "").retry_after, Some(1));
        assert_eq!(Problem::new(Code::RunNotPaused, "").retry_after, None);
        assert_eq!(Problem::internal().retry_after, None);
        let late = Problem::new(Code::ServiceOverloaded, "").after_work();
        assert_eq!((late.status, late.retry_after), (500, None));
    }
}
