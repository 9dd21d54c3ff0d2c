//! Guarded batches: statements plus what must hold, sent as one unit.

use std::borrow::Cow;

use super::{Row, Value};

/// One statement of a batch.
#[derive(Debug)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) params: Vec<Value>,
    pub(super) guard: Option<&'static str>,
    pub(super) returning: Option<&'static str>,
    pub(super) is_independent: bool,
}

impl Statement {
    /// Makes the whole batch fail with `DbError::Guard(label)` unless this statement changes exactly one row.
    ///
    /// A guarded statement returns no rows, but for what [`Self::returning`] asks for.
    pub fn must_change_one_row(&mut self, label: &'static str) -> &mut Self {
        self.guard = Some(label);
        self
    }

    /// Returns a column of the row that the statement changes, for a guarded statement.
    pub fn returning(&mut self, column: &'static str) {
        self.returning = Some(column);
    }

    /// Says that this statement need not see what the guarded one before it does, nor what others of which this is said do: a
    /// database may carry them out together. For statements that change rows and return none.
    pub fn independent(&mut self) {
        self.is_independent = true;
    }
}

/// Statements that are kept all together or not at all. Nothing of the application runs between them.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) statements: Vec<Statement>,
    pub(super) announcements: Vec<String>,
    pub(super) is_aside: bool,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn exec(&mut self, sql: impl Into<Cow<'static, str>>, params: Vec<Value>) -> &mut Statement {
        let index = self.statements.len();
        let sql = sql.into();
        self.statements.push(Statement { sql, params, guard: None, returning: None, is_independent: false });
        // The element was pushed on the line before.
        #[expect(clippy::indexing_slicing, reason = "the index was taken right before the push")]
        &mut self.statements[index]
    }

    /// Tells other processes something once the batch is kept. At most a few hundred bytes.
    pub fn announce(&mut self, text: String) {
        self.announcements.push(text);
    }

    /// Says that whoever commits the batch has something else to do meanwhile: it is not committed on their thread.
    pub fn aside(&mut self) {
        self.is_aside = true;
    }

    pub fn len(&self) -> usize {
        self.statements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }
}

/// What the statements of a kept batch returned, in their order.
#[derive(Debug, Default)]
pub struct Outcome {
    pub(super) results: Vec<Vec<Row>>,
}

impl Outcome {
    /// Returns the rows that the statement at this place returned (`RETURNING`).
    pub fn rows(&self, statement: usize) -> &[Row] {
        self.results.get(statement).map_or(&[], Vec::as_slice)
    }
}
