//! Tokens: minting, listing, revoking, and what is known of a presented one.

use domain::Timestamp;
use domain::ids::{Id as _, OrganizationId, ProjectId, SmithId, TokenId};
use domain::principals::Permission;
use vault::{Claims, ISSUER, Subject, TokenKind, token_hash};

use crate::codec::{Place, SmithSeal};
use crate::db::{Row, Value, params};
use crate::filter::Filter;
use crate::idempotency::Remembering;
use crate::{Batch, DbError, Error, OrganizationStore, ProjectStore, ServerStore, Store};

const OWNER: &str = "token_owner";
const TOKEN: &str = "token";

const COLUMNS: &str = "tokens.id, tokens.kind, tokens.organization_id, tokens.project_id, tokens.smith_id, tokens.name, \
     tokens.scopes, tokens.created_at, tokens.expires_at, tokens.revoked_at, tokens.sealed_name, smiths.data_key";

/// What a smith's token is called says something of the smith. Names of other tokens are in the clear.
const NAME: Place = Place::new("tokens", "sealed_name");

/// A token as lists show it. Its text is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: TokenId,
    pub subject: Subject,
    pub name: Option<String>,
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

/// What a new token is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewToken {
    pub name: Option<String>,
    /// None: it does not expire.
    pub ttl_seconds: Option<u32>,
}

/// A token with its text, which exists here and with its owner only.
#[derive(Clone)]
pub struct Minted {
    pub text: String,
    pub record: TokenRecord,
}

/// What the store knows of a token that somebody presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    pub hash: [u8; 32],
    pub subject: Subject,
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Whether its project or its smith is gone.
    pub orphaned: bool,
}

impl ProjectStore {
    /// Mints a tenant-admin token. Returns None when the project is gone.
    pub async fn mint_admin_token(
        &self,
        new: &NewToken,
        remember: Remembering<'_, Minted>,
    ) -> Result<Option<Minted>, Error> {
        let subject = Subject::Project(self.project);
        let minted = self.store.sign(subject, vec!["tenant:*".to_owned()], new).await?;
        self.store.keep(minted, remember).await
    }

    /// Mints a token of one smith. Returns None when the project has no such smith.
    pub async fn mint_smith_token(
        &self,
        smith: SmithId,
        permissions: &[Permission],
        new: &NewToken,
        remember: Remembering<'_, Minted>,
    ) -> Result<Option<Minted>, Error> {
        let scopes = Permission::ALL.iter().filter(|permission| permissions.contains(permission));
        let scopes = scopes.map(|permission| permission.as_str().to_owned()).collect();
        let minted = self.store.sign(Subject::Smith(self.project, smith), scopes, new).await?;
        self.store.keep(minted, remember).await
    }

    /// Lists the project's tokens, newest first, expired and revoked ones too. Returns up to `limit` of them.
    pub async fn tokens(&self, before: Option<TokenId>, limit: usize) -> Result<Vec<TokenRecord>, Error> {
        self.store.list_tokens(Filter::new("tokens.project_id = ?", self.project), before, limit).await
    }

    /// Revokes a token of the project; again is no error. Returns false when there is no such token.
    pub async fn revoke_token(&self, token: TokenId) -> Result<bool, Error> {
        let sql = "update tokens set revoked_at = coalesce(revoked_at, $1) where id = $2 and project_id = $3";
        self.store.revoke(sql, params![self.store.ids().now(), token, self.project]).await
    }
}

impl OrganizationStore {
    /// Mints an organization key. Returns None when the organization is gone.
    pub async fn mint_key(
        &self,
        new: &NewToken,
        remember: Remembering<'_, Minted>,
    ) -> Result<Option<Minted>, Error> {
        let subject = Subject::Organization(self.organization);
        let minted = self.store.sign(subject, vec!["organization:*".to_owned()], new).await?;
        self.store.keep(minted, remember).await
    }

    /// Lists the organization's keys, newest first, expired and revoked ones too. Returns up to `limit` of them.
    pub async fn keys(&self, before: Option<TokenId>, limit: usize) -> Result<Vec<TokenRecord>, Error> {
        let mut filter = Filter::new("tokens.organization_id = ?", self.organization);
        filter.add_value("tokens.kind = ?", TokenKind::Organization.as_str());
        self.store.list_tokens(filter, before, limit).await
    }

    /// Revokes an organization key; again is no error. Returns false when there is no such key.
    pub async fn revoke_key(&self, key: TokenId) -> Result<bool, Error> {
        let sql = "update tokens set revoked_at = coalesce(revoked_at, $1) \
                   where id = $2 and organization_id = $3 and kind = 'organization'";
        self.store.revoke(sql, params![self.store.ids().now(), key, self.organization]).await
    }
}

impl ServerStore {
    /// Finds what is known of a presented token by its `jti`.
    pub async fn presented_token(&self, token: TokenId) -> Result<Option<PresentedToken>, Error> {
        let rows = self
            .store
            .db()
            .recall(
                "select tokens.hash, tokens.kind, tokens.organization_id, tokens.project_id, tokens.smith_id, tokens.scopes, \
                 tokens.expires_at, tokens.revoked_at, projects.archived_at, smiths.archived_at from tokens \
                 left join projects on projects.id = tokens.project_id left join smiths on smiths.id = tokens.smith_id \
                 where tokens.id = $1",
                params![token],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let hash: Vec<u8> = row.get(0)?;
        let archived: [Option<Timestamp>; 2] = [row.get(8)?, row.get(9)?];
        Ok(Some(PresentedToken {
            hash: hash.as_slice().try_into().map_err(|_| DbError::Corrupt("a hash has 32 bytes"))?,
            subject: subject(row, 1)?,
            scopes: scopes(row, 5)?,
            expires_at: row.get(6)?,
            revoked_at: row.get(7)?,
            orphaned: archived.iter().any(Option::is_some),
        }))
    }
}

impl Store {
    async fn sign(&self, subject: Subject, scopes: Vec<String>, new: &NewToken) -> Result<Minted, Error> {
        let now = self.ids().now();
        // The claims count whole seconds; what is stored says the same.
        let expires_at =
            new.ttl_seconds.map(|ttl| Timestamp::from_seconds(now.as_seconds()).plus_seconds(ttl.into()));
        let id: TokenId = self.ids().mint();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: subject.to_string(),
            jti: id,
            iat: now.as_seconds(),
            exp: expires_at.map(Timestamp::as_seconds),
            scope: scopes.join(" "),
        };
        let text = self.server().signing_key().await?.sign(subject.kind(), &claims)?;
        let name = new.name.clone();
        Ok(Minted {
            text,
            record: TokenRecord { id, subject, name, scopes, created_at: now, expires_at, revoked_at: None },
        })
    }

    /// Returns the seal of a smith that was not archived.
    async fn live_seal(&self, project: ProjectId, smith: SmithId) -> Result<Option<SmithSeal>, Error> {
        let sql = "select data_key from smiths where id = $1 and project_id = $2 and archived_at is null";
        let Some(row) = self.db().read_one(sql, params![smith, project]).await? else { return Ok(None) };
        let wrapped: Vec<u8> = row.get(0)?;
        self.seal_of(smith, &wrapped).map(Some)
    }

    /// Stores a token, provided that whom it stands for is there.
    async fn keep(&self, minted: Minted, remember: Remembering<'_, Minted>) -> Result<Option<Minted>, Error> {
        let record = &minted.record;
        let (name, sealed_name) = match (record.subject, &record.name) {
            (Subject::Smith(project, smith), Some(name)) => {
                let Some(seal) = self.live_seal(project, smith).await? else { return Ok(None) };
                (None, Some(seal.seal(NAME, &record.id.as_bytes(), name)?))
            }
            (_, name) => (name.as_deref(), None),
        };
        let mut values = params![
            record.id,
            record.subject.kind().as_str(),
            name,
            sealed_name,
            record.scopes.join(" "),
            token_hash(&minted.text),
            record.created_at,
            record.expires_at,
        ];
        let mut holding = "";
        let owner = match record.subject {
            Subject::Organization(organization) => {
                values.push(organization.into());
                "organizations.id, null, null from organizations where organizations.id = $9"
            }
            Subject::Project(project) => {
                values.push(project.into());
                "projects.organization_id, projects.id, null from projects where projects.id = $9 and projects.archived_at is null"
            }
            Subject::Smith(project, smith) => {
                values.extend([Value::from(project), Value::from(smith)]);
                holding = self.db().dialect().holding_smith();
                "projects.organization_id, projects.id, smiths.id from projects join smiths on smiths.project_id = projects.id \
                 where projects.id = $9 and smiths.id = $10 and projects.archived_at is null and smiths.archived_at is null"
            }
        };
        let mut batch = Batch::new();
        batch
            .exec(
                format!(
                    "insert into tokens (id, kind, name, sealed_name, scopes, hash, created_at, expires_at, organization_id, \
                     project_id, smith_id) select $1, $2, $3, $4, $5, $6, $7, $8, {owner}{holding}"
                ),
                values,
            )
            .must_change_one_row(OWNER);
        if let Some(remember) = remember {
            remember(&minted)?.add_to(&mut batch, self);
        }
        match self.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(Some(minted)),
            Err(error) if error.is_guard(OWNER) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list_tokens(
        &self,
        mut filter: Filter,
        before: Option<TokenId>,
        limit: usize,
    ) -> Result<Vec<TokenRecord>, Error> {
        if let Some(before) = before {
            filter.add_value("tokens.id < ?", before);
        }
        let Some((conditions, limit, values)) = filter.finish(limit) else { return Ok(Vec::new()) };
        let sql = format!(
            "select {COLUMNS} from tokens left join smiths on smiths.id = tokens.smith_id where {conditions} \
             order by tokens.id desc limit {limit}"
        );
        self.db().read(&sql, values).await?.iter().map(|row| self.token(row)).collect()
    }

    fn token(&self, row: &Row) -> Result<TokenRecord, Error> {
        let (id, subject) = (row.get(0)?, subject(row, 1)?);
        Ok(TokenRecord {
            id,
            subject,
            // One that cannot be read is as good as none: no list breaks off for it.
            name: self.token_name(id, subject, row).or_else(without_damage)?,
            scopes: scopes(row, 6)?,
            created_at: row.get(7)?,
            expires_at: row.get(8)?,
            revoked_at: row.get(9)?,
        })
    }

    fn token_name(&self, id: TokenId, subject: Subject, row: &Row) -> Result<Option<String>, Error> {
        let sealed: Option<Vec<u8>> = row.get(10)?;
        let (Subject::Smith(_, smith), Some(sealed)) = (subject, sealed) else { return Ok(row.get(5)?) };
        let wrapped: Option<Vec<u8>> = row.get(11)?;
        // An erasure destroys the key some time before it deletes the tokens.
        let Some(wrapped) = wrapped.filter(|wrapped| !wrapped.is_empty()) else { return Ok(None) };
        self.seal_of(smith, &wrapped)?.open(NAME, &id.as_bytes(), &sealed).map(Some)
    }

    async fn revoke(&self, sql: &'static str, values: Vec<Value>) -> Result<bool, Error> {
        let mut batch = Batch::new();
        batch.exec(sql, values).must_change_one_row(TOKEN);
        match self.db().commit(batch).await.map_err(Error::from) {
            Ok(_) => Ok(true),
            Err(error) if error.is_guard(TOKEN) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn without_damage(error: Error) -> Result<Option<String>, Error> {
    if error.is_damage() { Ok(None) } else { Err(error) }
}

/// Reads whom a token stands for from four columns: kind, organization, project, smith.
fn subject(row: &Row, at: usize) -> Result<Subject, DbError> {
    let kind: String = row.get(at)?;
    let organization: OrganizationId = row.get(at.saturating_add(1))?;
    let project: Option<ProjectId> = row.get(at.saturating_add(2))?;
    let smith: Option<SmithId> = row.get(at.saturating_add(3))?;
    match (TokenKind::parse(&kind), project, smith) {
        (Some(TokenKind::Organization), None, None) => Ok(Subject::Organization(organization)),
        (Some(TokenKind::Tenant), Some(project), None) => Ok(Subject::Project(project)),
        (Some(TokenKind::Smith), Some(project), Some(smith)) => Ok(Subject::Smith(project, smith)),
        _ => Err(DbError::Corrupt("a token stands for nobody")),
    }
}

fn scopes(row: &Row, at: usize) -> Result<Vec<String>, DbError> {
    let text: String = row.get(at)?;
    Ok(text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
