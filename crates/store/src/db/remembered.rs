//! What look-ups of the embedded database have found, kept in memory until one of their tables is written.
//!
//! Nearly every request asks for the same token, and for a smith, a key and tools that seldom change. SQLite reads them from its
//! log each time, because each commit makes its readers forget the pages that they know. Only this process changes such
//! rows: commands beside a running server add tokens, and change nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Batch, Row, Value};

/// The tables whose rows may be kept. A row read from any other is not.
const TABLES: [&str; 7] =
    ["tokens", "projects", "smiths", "agents", "model_keys", "mcp_servers", "project_tools"];
/// Of those, the ones that another process may add rows to: that a row is not there is never kept of them.
const GROWING: Tables = Tables(0b11);
/// How long something is kept at most, so that what was changed behind the server's back is seen, too.
const LONGEST: Duration = Duration::from_secs(10);
/// What one look-up may take of all the space, as its divisor.
const SHARE: usize = 16;
/// What the map and its allocations take for each look-up, and for each value.
const ENTRY_BYTES: usize = 128;
const VALUE_BYTES: usize = size_of::<Value>();

/// A set of those tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tables(u8);

impl Tables {
    const ALL: Self = Self(u8::MAX);

    fn named(name: &str) -> Option<Self> {
        TABLES.iter().position(|table| *table == name).map(|place| Self(1 << place))
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the tables that a query reads, unless it reads others too.
    fn read_by(sql: &str) -> Option<Self> {
        let mut words =
            sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        let mut tables = Self::default();
        while let Some(word) = words.next() {
            if matches!(word, "from" | "join") {
                match words.next() {
                    // What follows is a query itself.
                    Some("select") => {}
                    name => tables = tables.and(Self::named(name?)?),
                }
            }
        }
        Some(tables)
    }

    /// Returns those of the tables that a statement may write.
    fn written_by(sql: &str) -> Self {
        let rest = ["insert into ", "update ", "delete from "].iter().find_map(|verb| sql.strip_prefix(verb));
        match rest {
            Some(rest) => {
                let name = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
                name.and_then(Self::named).unwrap_or_default()
            }
            None if sql.starts_with("select ") => Self::default(),
            None => Self::ALL,
        }
    }
}

/// Tables that are about to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written(Tables);

impl Written {
    pub(super) const ALL: Self = Self(Tables::ALL);

    pub(super) fn by<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let statements = batches.into_iter().flat_map(|batch| &batch.statements);
        Self(statements.fold(Tables::default(), |all, one| all.and(Tables::written_by(&one.sql))))
    }
}

/// A look-up, as text and values.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Question(Box<[u8]>);

impl Question {
    pub(super) fn new(sql: &str, params: &[Value]) -> Self {
        let mut bytes = Vec::with_capacity(sql.len() + 32 * params.len());
        let mut part = |kind: u8, part: &[u8]| {
            bytes.push(kind);
            bytes.extend_from_slice(&part.len().to_le_bytes());
            bytes.extend_from_slice(part);
        };
        part(0, sql.as_bytes());
        for value in params {
            match value {
                Value::Null => part(1, &[]),
                Value::Int(value) => part(2, &value.to_le_bytes()),
                Value::Real(value) => part(3, &value.to_bits().to_le_bytes()),
                Value::Text(value) => part(4, value.as_bytes()),
                Value::Blob(value) => part(5, value),
            }
        }
        Self(bytes.into_boxed_slice())
    }
}

struct Found {
    rows: Vec<Row>,
    tables: Tables,
    bytes: usize,
    until: Instant,
}

#[derive(Default)]
struct Kept {
    found: HashMap<Question, Found>,
    bytes: usize,
    /// How often something was forgotten because it was written.
    writes: u64,
}

/// The state of the memory before a look-up. What is found is kept only if nothing was written since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before(u64);

/// What is known of look-ups.
pub(super) struct Remembered {
    kept: Mutex<Kept>,
    most_bytes: usize,
    longest: Duration,
}

impl Remembered {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { kept: Mutex::default(), most_bytes, longest: LONGEST }
    }

    /// Returns what the look-up has found before, or with what to tell what it finds now.
    pub(super) fn answer(&self, question: &Question) -> Result<Vec<Row>, Before> {
        let kept = self.lock();
        match kept.found.get(question) {
            Some(found) if Instant::now() < found.until => Ok(found.rows.clone()),
            _ => Err(Before(kept.writes)),
        }
    }

    /// Keeps what a look-up has found.
    pub(super) fn keep(&self, before: Before, sql: &str, question: Question, rows: &[Row]) {
        let tables = Tables::read_by(sql);
        debug_assert!(tables.is_some(), "not only of tables that may be kept: {sql}");
        let Some(tables) = tables else { return };
        if rows.is_empty() && tables.meets(GROWING) {
            return;
        }
        let bytes = ENTRY_BYTES + question.0.len() + rows.iter().map(size).sum::<usize>();
        if bytes > self.most_bytes / SHARE {
            return;
        }
        let until = Instant::now() + self.longest;
        let mut kept = self.lock();
        if kept.writes != before.0 {
            return;
        }
        // What is asked for often is soon there again.
        if kept.bytes + bytes > self.most_bytes {
            kept.found.clear();
            kept.bytes = 0;
        }
        kept.bytes += bytes;
        if let Some(older) = kept.found.insert(question, Found { rows: rows.to_vec(), tables, bytes, until })
        {
            kept.bytes -= older.bytes;
        }
    }

    /// Forgets what was read from tables that have just been written. To be called before anybody hears of the commit.
    pub(super) fn forget(&self, written: Written) {
        let Written(tables) = written;
        if tables == Tables::default() {
            return;
        }
        let mut kept = self.lock();
        kept.writes += 1;
        kept.found.retain(|_, found| !found.tables.meets(tables));
        kept.bytes = kept.found.values().map(|found| found.bytes).sum();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here panics half-way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(row: &Row) -> usize {
    let content = row.0.iter().map(|value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Int(_) | Value::Real(_) => 0,
    });
    VALUE_BYTES * row.0.len() + content.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "select hash from tokens where id = $1";

    fn named(names: &[&str]) -> Tables {
        names.iter().fold(Tables::default(), |all, name| all.and(Tables::named(name).unwrap()))
    }

    fn rows(text: &str) -> Vec<Row> {
        vec![Row(vec![Value::from(text)])]
    }

    fn about(id: i64) -> Question {
        Question::new(SQL, &[Value::Int(id)])
    }

    fn keep(remembered: &Remembered, id: i64, rows: &[Row]) {
        let before = remembered.answer(&about(id)).unwrap_err();
        remembered.keep(before, SQL, about(id), rows);
    }

    fn batch(sql: &'static str) -> Batch {
        let mut batch = Batch::new();
        batch.exec(sql, Vec::new());
        batch
    }

    #[test]
    fn the_tables_of_a_query_are_found_also_inside_of_it() {
        let joined = "select a from (select id from smiths where id = $1) as picked join agents on agents.id = picked.id";
        assert_eq!(Tables::read_by(joined), Some(named(&["smiths", "agents"])));
        let left = "select 1 from tokens left join projects on true left join smiths on true";
        assert_eq!(Tables::read_by(left), Some(named(&["tokens", "projects", "smiths"])));
        for other in
            ["select 1 from runs", "select 1 from tokens join agent_versions on true", "select 1 from"]
        {
            assert_eq!(Tables::read_by(other), None, "{other}");
        }
    }

    #[test]
    fn the_table_that_a_statement_writes_is_found() {
        assert_eq!(Tables::written_by("update tokens set a = 1"), named(&["tokens"]));
        assert_eq!(Tables::written_by("insert into smiths(id) select 1 from agents"), named(&["smiths"]));
        assert_eq!(Tables::written_by("delete from model_keys"), named(&["model_keys"]));
        for none in [
            "update agent_counts set a = 1",
            "insert into runs (id) select id from smiths",
            "select 1 from tokens",
        ] {
            assert_eq!(Tables::written_by(none), Tables::default(), "{none}");
        }
        for unclear in ["with recursive a as (select 1) insert into runs select 1", "drop table tokens"] {
            assert_eq!(Tables::written_by(unclear), Tables::ALL, "{unclear}");
        }
    }

    #[test]
    fn what_was_found_is_known_until_its_table_is_written() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &rows("a"));
        assert_eq!(remembered.answer(&about(1)).unwrap(), rows("a"));
        assert!(remembered.answer(&about(2)).is_err());
        remembered.forget(Written::by([&batch("insert into runs (id) select id from tokens")]));
        remembered.forget(Written::by([&batch("update agents set name = 'x'")]));
        assert!(remembered.answer(&about(1)).is_ok());
        remembered.forget(Written::by([&batch("select 1"), &batch("delete from tokens")]));
        assert!(remembered.answer(&about(1)).is_err());
        assert_eq!(remembered.lock().bytes, 0);
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let remembered = Remembered::new(1_000_000);
        let before = remembered.answer(&about(1)).unwrap_err();
        remembered.forget(Written::by([&batch("update tokens set a = 1")]));
        remembered.keep(before, SQL, about(1), &rows("old"));
        assert!(remembered.answer(&about(1)).is_err());
    }

    #[test]
    fn that_a_row_is_missing_is_kept_only_where_no_other_process_adds_any() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &[]);
        assert!(remembered.answer(&about(1)).is_err());
        let sql = "select id from mcp_servers where project_id = $1";
        let servers = || Question::new(sql, &[Value::Int(1)]);
        let before = remembered.answer(&servers()).unwrap_err();
        remembered.keep(before, sql, servers(), &[]);
        assert_eq!(remembered.answer(&servers()).unwrap(), []);
    }

    #[test]
    fn nothing_is_known_for_longer_than_it_may_be() {
        let remembered = Remembered { longest: Duration::ZERO, ..Remembered::new(1_000_000) };
        keep(&remembered, 1, &rows("a"));
        assert!(remembered.answer(&about(1)).is_err());
    }

    #[test]
    fn no_more_than_so_many_bytes_are_kept() {
        let remembered = Remembered::new(8_000);
        for id in 0..100 {
            keep(&remembered, id, &rows(&"x".repeat(100)));
            let kept = remembered.lock();
            assert!(kept.bytes <= 8_000 && !kept.found.is_empty());
        }
        keep(&remembered, 100, &rows(&"x".repeat(600)));
        assert!(remembered.answer(&about(100)).is_err(), "one is not to push out all others");
        let nothing = Remembered::new(0);
        keep(&nothing, 1, &rows("a"));
        assert!(nothing.answer(&about(1)).is_err());
    }

    #[test]
    fn questions_are_told_apart_by_every_value() {
        let asked = |params: &[Value]| Question::new(SQL, params);
        let texts = [Value::from("1"), Value::Int(1), Value::Real(1.0), Value::from(vec![1_u8]), Value::Null];
        for (place, one) in texts.iter().enumerate() {
            for (other_place, other) in texts.iter().enumerate() {
                let same = asked(std::slice::from_ref(one)) == asked(std::slice::from_ref(other));
                assert_eq!(same, place == other_place);
            }
        }
        assert_ne!(
            asked(&[Value::from("ab"), Value::from("c")]),
            asked(&[Value::from("a"), Value::from("bc")])
        );
    }
}
