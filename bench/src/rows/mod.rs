//! The rows of the table, each with what it needs around it.

mod agents;
mod database;
mod followers;
mod footprint;
mod runs;
mod start;

use crate::client::Client;
use crate::mock::Mock;
use crate::options::Options;
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
}

/// A server, and a project on it.
struct Stage {
    project: Project,
    server: Server,
    _data: Data,
}

/// Rows that are measured together. In this order: the rate of B1 depends on B3.
#[derive(Clone, Copy, Debug)]
enum Group {
    Start,
    Database,
    Ceiling,
    AddedAndFootprint,
    FirstToken,
    Followers,
    Agents,
}

impl Group {
    const ALL: [Self; 7] = [
        Self::Start,
        Self::Database,
        Self::Ceiling,
        Self::AddedAndFootprint,
        Self::FirstToken,
        Self::Followers,
        Self::Agents,
    ];

    fn rows(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["B11"],
            Self::Database => &["B15"],
            Self::Ceiling => &["B3"],
            Self::AddedAndFootprint => &["B1", "B12"],
            Self::FirstToken => &["B2"],
            Self::Followers => &["B7"],
            Self::Agents => &["B16"],
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
                Group::Database => vec![database::measure(self).await?],
                Group::Ceiling => {
                    let (row, per_second) = runs::ceiling(self).await?;
                    ceiling = Some(per_second);
                    vec![row]
                }
                Group::AddedAndFootprint => footprint::measure(self, ceiling).await?,
                Group::FirstToken => vec![runs::first_token(self).await?],
                Group::Followers => vec![followers::measure(self).await?],
                Group::Agents => vec![agents::measure(self).await?],
            };
            let others = others.cores()?;
            rows.extend(measured.into_iter().map(|row| Row { others, ..row }));
        }
        rows.sort_by_key(|row| row.id.trim_start_matches('B').parse::<u32>().unwrap_or_default());
        Ok(rows)
    }

    /// Starts a server on empty data, and a project whose models are the mock's.
    async fn stage(&self) -> anyhow::Result<Stage> {
        let data = self.program.data()?;
        let server = self.program.start(&data)?;
        let project = Project::new(&self.program, &data, &server, &self.mock).await?;
        Ok(Stage { project, server, _data: data })
    }
}
