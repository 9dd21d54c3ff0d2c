//! The rows of the table, each with what it needs around it.

mod against;
mod agents;
mod database;
mod dialect;
mod followers;
mod footprint;
mod resumed;
mod runs;
mod start;
mod steps;

use std::sync::Arc;

use crate::client::Client;
use crate::mock::Mock;
use crate::options::Options;
use crate::postgres::{Cluster, Database, Installed};
use crate::process::Others;
use crate::report::Row;
use crate::server::{Data, Program, Project, Server};

/// What all rows have in common.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) program: Program,
    pub(crate) mock: Mock,
    /// A client of the mock, with nothing between.
    pub(crate) direct: Client,
    /// Where there is none, what is measured on it is left out.
    pub(crate) postgres: Option<Installed>,
}

/// A server, and a project on it.
struct Stage {
    project: Project,
    server: Server,
    data: Data,
}

/// A server beside another, on the same database.
struct Replica {
    client: Client,
    server: Server,
    _data: Data,
}

/// A database that a row is measured on.
enum Engine {
    Sqlite,
    Postgres(Cluster),
}

impl Engine {
    fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// Rows that are measured together. In this order: the rate of B1 depends on B3.
#[derive(Clone, Copy, Debug)]
enum Group {
    Start,
    Database,
    Ceiling,
    AddedAndFootprint,
    FirstToken,
    Dialect,
    Steps,
    Resumed,
    Followers,
    Agents,
    Against,
}

impl Group {
    const ALL: [Self; 11] = [
        Self::Start,
        Self::Database,
        Self::Ceiling,
        Self::AddedAndFootprint,
        Self::FirstToken,
        Self::Dialect,
        Self::Steps,
        Self::Resumed,
        Self::Followers,
        Self::Agents,
        Self::Against,
    ];

    fn rows(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["B11"],
            Self::Database => &["B15"],
            Self::Ceiling => &["B3"],
            Self::AddedAndFootprint => &["B1", "B12"],
            Self::FirstToken => &["B2"],
            Self::Dialect => &["dialect"],
            Self::Steps => &["B4"],
            Self::Resumed => &["B5"],
            Self::Followers => &["B7"],
            Self::Agents => &["B16"],
            Self::Against => &["against"],
        }
    }
}

impl Bench {
    /// Measures what is wanted. `progress` hears what is under way.
    pub(crate) async fn measure(&self, progress: impl Fn(&str)) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut ceiling = None;
        for group in Group::ALL {
            if !group.rows().iter().any(|row| self.options.wants(row)) {
                continue;
            }
            progress(&group.rows().join(" and "));
            let others = Others::start()?;
            let measured = match group {
                Group::Start => vec![start::measure(self)?],
                Group::Database => database::measure(self).await?,
                Group::Ceiling => {
                    let (row, per_second) = runs::ceiling(self).await?;
                    ceiling = Some(per_second);
                    vec![row]
                }
                Group::AddedAndFootprint => footprint::measure(self, ceiling).await?,
                Group::FirstToken => vec![runs::first_token(self).await?],
                Group::Dialect => dialect::measure(self).await?,
                Group::Steps => steps::measure(self).await?,
                Group::Resumed => resumed::measure(self).await?,
                Group::Followers => vec![followers::measure(self).await?],
                Group::Agents => vec![agents::measure(self).await?],
                Group::Against => against::measure(self).await?,
            };
            let others = others.cores()?;
            rows.extend(measured.into_iter().map(|row| Row { others, ..row }));
        }
        rows.sort_by_key(|row| row.id.trim_start_matches('B').parse::<u32>().unwrap_or_default());
        Ok(rows)
    }

    /// Lists the databases to measure on. A server of PostgreSQL runs only while a row uses it.
    fn engines(&self) -> anyhow::Result<Vec<Engine>> {
        let mut engines = vec![Engine::Sqlite];
        if let Some(postgres) = &self.postgres {
            engines.push(Engine::Postgres(postgres.start(self.program.folder())?));
        }
        Ok(engines)
    }

    /// Starts a server on empty data, and a project whose models are the mock's.
    async fn stage(&self) -> anyhow::Result<Stage> {
        self.stage_on(&Engine::Sqlite).await
    }

    async fn stage_on(&self, engine: &Engine) -> anyhow::Result<Stage> {
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres(cluster) => Some(cluster.database()?),
        };
        self.stage_with(&self.program, database).await
    }

    /// Starts another program on empty data of its own.
    async fn stage_of(&self, program: &Program) -> anyhow::Result<Stage> {
        self.stage_with(program, None).await
    }

    async fn stage_with(&self, program: &Program, database: Option<Arc<Database>>) -> anyhow::Result<Stage> {
        let data = program.data_on(database)?;
        let server = program.start(&data)?;
        let project = Project::new(program, &data, &server, &self.mock).await?;
        Ok(Stage { project, server, data })
    }

    /// Starts another server on the database of a stage.
    fn replica(&self, stage: &Stage) -> anyhow::Result<Replica> {
        let data = self.program.data_beside(&stage.data)?;
        let server = self.program.start(&data)?;
        let client = stage.project.through(&server)?;
        Ok(Replica { client, server, _data: data })
    }
}
