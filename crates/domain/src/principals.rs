//! Who calls, and what they may do.

use serde::{Deserialize, Serialize};

use crate::ids::{Id as _, OrganizationId, ProjectId, SmithId, TokenId};
use crate::problems::{Code, Problem};

macro_rules! permissions {
    ($($variant:ident = $name:literal;)*) => {
        /// What a smith token may do. The list is closed; its order is the order in which permissions are returned.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $($variant,)* }

        impl Permission {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

permissions! {
    RunsRead = "runs:read";
    RunsWrite = "runs:write";
    ConversationsRead = "conversations:read";
    ConversationsWrite = "conversations:write";
    MemoriesRead = "memories:read";
    MemoriesWrite = "memories:write";
    ConnectionsRead = "connections:read";
    ConnectionsWrite = "connections:write";
    DeploymentsRead = "deployments:read";
    DeploymentsWrite = "deployments:write";
    SchedulesRead = "schedules:read";
    SchedulesWrite = "schedules:write";
    ApprovalsRead = "approvals:read";
    ApprovalsWrite = "approvals:write";
    TracesRead = "traces:read";
    TracesWrite = "traces:write";
    UsageRead = "usage:read";
    UsageWrite = "usage:write";
    CustomersRead = "customers:read";
    CustomersWrite = "customers:write";
    FilesRead = "files:read";
    FilesWrite = "files:write";
    VectorStoresRead = "vector_stores:read";
    VectorStoresWrite = "vector_stores:write";
    ModelKeysRead = "model_keys:read";
    ModelKeysWrite = "model_keys:write";
    SkillsRead = "skills:read";
    SkillsWrite = "skills:write";
    EmbeddingsWrite = "embeddings:write";
}

/// What a token stands for, as verified on each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A tenant-admin token: every permission for every smith of one project.
    Tenant { project: ProjectId, token: TokenId },
    /// A smith token: the listed permissions for one smith.
    Smith { project: ProjectId, smith: SmithId, token: TokenId, permissions: Vec<Permission> },
    /// An organization key: administers projects, reads no smith.
    Organization { organization: OrganizationId, token: TokenId },
}

impl Principal {
    pub fn token(&self) -> TokenId {
        match self {
            Self::Tenant { token, .. } | Self::Smith { token, .. } | Self::Organization { token, .. } => {
                *token
            }
        }
    }

    /// Returns the 16 bytes that idempotency keys are scoped to: the token's subject.
    pub fn subject(&self) -> [u8; 16] {
        match self {
            Self::Tenant { project, .. } => project.as_bytes(),
            Self::Smith { smith, .. } => smith.as_bytes(),
            Self::Organization { organization, .. } => organization.as_bytes(),
        }
    }

    /// Returns the project of a project or smith token.
    pub fn project(&self) -> Result<ProjectId, Problem> {
        match self {
            Self::Tenant { project, .. } | Self::Smith { project, .. } => Ok(*project),
            Self::Organization { .. } => Err(Problem::new(
                Code::TenantTokenRequired,
                "An organization key cannot be used here. Use a project token: mint one with \
                 POST /v1/organization/projects/{pid}/tokens.",
            )),
        }
    }

    /// Returns the project if the caller administers it.
    pub fn admin(&self) -> Result<ProjectId, Problem> {
        match self {
            Self::Smith { .. } => Err(Problem::new(
                Code::AdminRequired,
                "A smith token cannot be used here. Use a tenant-admin token.",
            )),
            _ => self.project(),
        }
    }

    pub fn organization(&self) -> Result<OrganizationId, Problem> {
        match self {
            Self::Organization { organization, .. } => Ok(*organization),
            _ => Err(Problem::new(Code::OrganizationRequired, "Only an organization key can be used here.")),
        }
    }

    /// Checks that the caller has one permission; a tenant-admin token has all of them.
    pub fn allow(&self, permission: Permission) -> Result<ProjectId, Problem> {
        match self {
            Self::Smith { permissions, .. } if !permissions.contains(&permission) => Err(Problem::new(
                Code::InsufficientScope,
                format!("This token lacks the permission `{}`. Mint one that has it.", permission.as_str()),
            )),
            _ => self.project(),
        }
    }

    /// Checks that the caller may act on this smith, for requests that name one.
    pub fn allow_on(&self, smith: SmithId, permission: Permission) -> Result<ProjectId, Problem> {
        let project = self.allow(permission)?;
        match self {
            Self::Smith { smith: own, .. } if *own != smith => Err(Self::mismatch()),
            _ => Ok(project),
        }
    }

    /// The refusal for a smith token that names another smith, whether or not that one exists.
    pub fn mismatch() -> Problem {
        Problem::new(
            Code::SmithMismatch,
            "This token belongs to another smith. A smith token acts on its own smith only.",
        )
    }

    pub fn actor(&self) -> Actor {
        let (kind, id) = match self {
            Self::Tenant { project, .. } => (ActorKind::Tenant, project.to_string()),
            Self::Smith { smith, .. } => (ActorKind::Smith, smith.to_string()),
            // Organization keys start no runs; their acts are recorded under the organization's id.
            Self::Organization { organization, .. } => (ActorKind::Tenant, organization.to_string()),
        };
        Actor { kind, id, token_id: self.token().to_string(), email: String::new() }
    }
}

/// Who acted. Fixed when a run starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub kind: ActorKind,
    pub id: String,
    /// The `jti` of the token, empty when the server itself acted.
    pub token_id: String,
    pub email: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    Smith,
    Tenant,
    Operator,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smith_token(permissions: &[Permission]) -> Principal {
        Principal::Smith {
            project: ProjectId::from_bytes([1; 16]),
            smith: SmithId::from_bytes([2; 16]),
            token: TokenId::from_bytes([3; 16]),
            permissions: permissions.to_vec(),
        }
    }

    #[test]
    fn there_are_29_permissions_and_each_survives_its_text() {
        assert_eq!(Permission::ALL.len(), 29);
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.as_str()), Some(*permission));
        }
        assert_eq!(Permission::parse("tenant:*"), None);
    }

    #[test]
    fn a_smith_token_reaches_its_own_smith_with_its_own_permissions_only() {
        let token = smith_token(&[Permission::RunsRead]);
        let own = SmithId::from_bytes([2; 16]);
        let other = SmithId::from_bytes([9; 16]);
        assert!(token.allow_on(own, Permission::RunsRead).is_ok());
        assert_eq!(token.allow_on(other, Permission::RunsRead).unwrap_err().code, Code::SmithMismatch);
        let refusal = token.allow_on(own, Permission::RunsWrite).unwrap_err();
        assert_eq!(refusal.code, Code::InsufficientScope);
        assert!(refusal.message.contains("runs:write"));
        assert_eq!(token.admin().unwrap_err().code, Code::AdminRequired);
    }

    #[test]
    fn an_organization_key_reaches_no_project_route() {
        let key = Principal::Organization {
            organization: OrganizationId::from_bytes([1; 16]),
            token: TokenId::from_bytes([3; 16]),
        };
        assert_eq!(key.allow(Permission::RunsRead).unwrap_err().code, Code::TenantTokenRequired);
        assert_eq!(key.admin().unwrap_err().code, Code::TenantTokenRequired);
        assert!(key.organization().is_ok());
    }
}
