//! The rows of the table, each with what it needs around it.

mod database;
mod followers;
mod footprint;
mod runs;
mod start;

use crate::client::Client;
use crate::mock::Mock;
use crate::options::Options;
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

impl Bench {
    /// Measures what is wanted. `progress` hears what is under way.
    pub(crate) async fn measure(&self, progress: impl Fn(&str)) -> anyhow::Result<Vec<Row>> {
        let wants = |row: &str| {
            let wanted = self.options.wants(row);
            if wanted {
                progress(row);
            }
            wanted
        };
        let mut rows = Vec::new();
        if wants("B11") {
            rows.extend(start::measure(self)?);
        }
        if wants("B15") {
            rows.push(database::measure(self).await?);
        }
        // Before B1, whose rate depends on it.
        let mut ceiling = None;
        if wants("B3") {
            let (row, per_second) = runs::ceiling(self).await?;
            rows.push(row);
            ceiling = Some(per_second);
        }
        if wants("B1") || wants("B12") {
            rows.extend(footprint::measure(self, ceiling).await?);
        }
        if wants("B2") {
            rows.push(runs::first_token(self).await?);
        }
        if wants("B7") {
            rows.push(followers::measure(self).await?);
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
