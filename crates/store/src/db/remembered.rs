//! What look-ups of the embedded database have found, kept in memory until one of their tables is written.
//!
//! Nearly every request asks for the same token, and for a smith, a key and tools that seldom change. SQLite reads them from its
//! log each time, because each commit makes its readers forget the pages that they know. Only this process changes such
//! rows: commands beside a running server add tokens, and change none of these tables otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Batch, Row, Value};

/// The tables whose rows may be kept. A row read from any other is not.
pub(super) const TABLES: [&str; 7] =
    ["tokens", "projects", "smiths", "agents", "model_keys", "mcp_servers", "project_tools"];
/// Of those, the ones of which it is never kept that a row is missing: another process may add it, or it is a name that nobody
/// bears and that is better not kept.
const GROWING: [&str; 3] = ["tokens", "projects", "smiths"];
/// How long a look-up is answered from memory at most, so that what was changed behind the server's back is seen, too. What is
/// older, or no longer true, is dropped once so often.
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

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn places(self) -> impl Iterator<Item = usize> {
        (0..TABLES.len()).filter(move |place| self.0 & (1 << place) != 0)
    }

    fn has_any_of(self, names: &[&str]) -> bool {
        self.places().any(|place| TABLES.get(place).is_some_and(|name| names.contains(name)))
    }

    /// Returns the tables that a query reads. None where it reads others too, or where that is not clear.
    fn read_by(sql: &str) -> Option<Self> {
        let sql = sql.to_ascii_lowercase();
        let mut tables = Self::default();
        let mut before = "";
        let mut rest = sql.as_str();
        while let Some(start) = rest.find(is_of_word) {
            let (word, behind) = word(rest.get(start..)?);
            if matches!(before, "from" | "join") && word != "select" {
                if matches!(behind.trim_start().chars().next(), Some(',' | '.')) {
                    return None;
                }
                tables = tables.and(Self::named(word)?);
            }
            (before, rest) = (word, behind);
        }
        let is_clear = tables != Self::default() && !matches!(before, "from" | "join") && !sql.contains('"');
        is_clear.then_some(tables)
    }

    /// Returns those of the tables that a statement may write: all of them where that is not clear.
    fn written_by(sql: &str) -> Self {
        if sql.starts_with("select ") {
            return Self::default();
        }
        let rest = ["insert into ", "update ", "delete from "].iter().find_map(|verb| sql.strip_prefix(verb));
        let Some(rest) = rest else { return Self::ALL };
        let (name, behind) = word(rest);
        let is_clear =
            !name.is_empty() && name != "or" && matches!(behind.chars().next(), None | Some(' ' | '('));
        if is_clear { Self::named(name).unwrap_or_default() } else { Self::ALL }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Splits off the word that a text begins with.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_of_word(c)).unwrap_or(text.len()))
}

/// Tables that batches write.
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
    rows: Arc<[Row]>,
    tables: Tables,
    bytes: usize,
    /// How often something had been written before it was read.
    before: u64,
    until: Instant,
}

#[derive(Default)]
struct Kept {
    found: HashMap<Question, Found>,
    bytes: usize,
    /// How often something was written.
    writes: u64,
    /// What that counted up to when each of the tables was written last.
    written: [u64; TABLES.len()],
    /// When what is not true any more is dropped next.
    sweep: Option<Instant>,
}

impl Kept {
    fn is_true(&self, tables: Tables, before: u64) -> bool {
        tables.places().all(|place| self.written.get(place).is_some_and(|written| *written <= before))
    }

    fn sweep(&mut self, now: Instant) {
        let mut found = std::mem::take(&mut self.found);
        found.retain(|_, found| now < found.until && self.is_true(found.tables, found.before));
        self.bytes = found.values().map(|found| found.bytes).sum();
        self.found = found;
    }
}

/// The state of the memory before a look-up. What is found is kept only if its tables were not written since.
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
    pub(super) fn answer(&self, question: &Question) -> Result<Arc<[Row]>, Before> {
        let kept = self.lock();
        match kept.found.get(question) {
            Some(found) if Instant::now() < found.until && kept.is_true(found.tables, found.before) => {
                Ok(Arc::clone(&found.rows))
            }
            _ => Err(Before(kept.writes)),
        }
    }

    /// Keeps what a look-up has found.
    pub(super) fn keep(&self, before: Before, sql: &str, question: Question, rows: &Arc<[Row]>) {
        let tables = Tables::read_by(sql);
        debug_assert!(tables.is_some(), "not only of tables that may be kept: {sql}");
        let Some(tables) = tables else { return };
        if rows.is_empty() && tables.has_any_of(&GROWING) {
            return;
        }
        let bytes = ENTRY_BYTES + question.0.len() + rows.iter().map(size).sum::<usize>();
        if bytes > self.most_bytes / SHARE {
            return;
        }
        let now = Instant::now();
        let mut kept = self.lock();
        if !kept.is_true(tables, before.0) {
            return;
        }
        if kept.sweep.is_none_or(|sweep| sweep <= now) {
            kept.sweep(now);
            kept.sweep = Some(now + self.longest);
        }
        // What is asked for often is soon there again.
        if kept.bytes + bytes > self.most_bytes {
            kept.found.clear();
            kept.bytes = 0;
        }
        kept.bytes += bytes;
        let rows = Arc::clone(rows);
        let found = Found { rows, tables, bytes, before: before.0, until: now + self.longest };
        if let Some(older) = kept.found.insert(question, found) {
            kept.bytes -= older.bytes;
        }
    }

    /// Forgets what was read from these tables once the returned value is dropped: after they were written, however that went,
    /// and before anybody hears of it.
    pub(super) fn forget_after(&self, written: Written) -> Forgets<'_> {
        Forgets { remembered: self, written }
    }

    fn forget(&self, Written(tables): Written) {
        if tables == Tables::default() {
            return;
        }
        let mut kept = self.lock();
        kept.writes += 1;
        let writes = kept.writes;
        for place in tables.places() {
            if let Some(written) = kept.written.get_mut(place) {
                *written = writes;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here panics half-way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets when it goes.
pub(super) struct Forgets<'a> {
    remembered: &'a Remembered,
    written: Written,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.remembered.forget(self.written);
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

    fn rows(text: &str) -> Arc<[Row]> {
        Arc::new([Row(vec![Value::from(text)])])
    }

    fn rows_of<const N: usize>(rows: [Row; N]) -> Arc<[Row]> {
        Arc::new(rows)
    }

    fn about(id: i64) -> Question {
        Question::new(SQL, &[Value::Int(id)])
    }

    fn keep(remembered: &Remembered, id: i64, rows: &Arc<[Row]>) {
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
        let others = [
            "select 1 from runs",
            "select 1 from tokens join agent_versions on true",
            "select 1 from tokens, runs",
            "select 1 from main.tokens",
            r#"select 1 from tokens join "runs" on true"#,
            "SELECT 1 FROM runs",
            "select 1 from",
            "select 1",
        ];
        for other in others {
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
        let unclear = [
            "with recursive a as (select 1) insert into runs select 1",
            "drop table tokens",
            "UPDATE tokens set a = 1",
            " update tokens set a = 1",
            "update  tokens set a = 1",
            "update or replace tokens set a = 1",
            r#"insert into "tokens" (id) values (1)"#,
            "insert into main.tokens (id) values (1)",
        ];
        for unclear in unclear {
            assert_eq!(Tables::written_by(unclear), Tables::ALL, "{unclear}");
        }
    }

    #[test]
    fn what_was_found_is_known_until_its_table_is_written() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &rows("a"));
        assert_eq!(remembered.answer(&about(1)).unwrap(), rows("a"));
        assert!(remembered.answer(&about(2)).is_err());
        drop(remembered.forget_after(Written::by([&batch("insert into runs (id) select id from tokens")])));
        drop(remembered.forget_after(Written::by([&batch("update agents set name = 'x'")])));
        assert!(remembered.answer(&about(1)).is_ok());
        drop(remembered.forget_after(Written::by([&batch("select 1"), &batch("delete from tokens")])));
        assert!(remembered.answer(&about(1)).is_err());
    }

    #[test]
    fn what_a_write_that_panics_has_touched_is_forgotten_too() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &rows("a"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _forgets = remembered.forget_after(Written::ALL);
            panic!("in the middle of a commit");
        }));
        assert!(panicked.is_err() && remembered.answer(&about(1)).is_err());
    }

    #[test]
    fn what_is_not_true_any_more_is_dropped_in_time() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &rows("a"));
        drop(remembered.forget_after(Written::ALL));
        remembered.lock().sweep = None;
        keep(&remembered, 2, &rows("b"));
        let kept = remembered.lock();
        assert_eq!(kept.found.len(), 1);
        assert_eq!(kept.bytes, kept.found.values().map(|found| found.bytes).sum::<usize>());
    }

    #[test]
    fn what_was_read_before_a_write_is_not_kept_after_it() {
        let remembered = Remembered::new(1_000_000);
        let before = remembered.answer(&about(1)).unwrap_err();
        drop(remembered.forget_after(Written::by([&batch("update tokens set a = 1")])));
        remembered.keep(before, SQL, about(1), &rows("old"));
        assert!(remembered.answer(&about(1)).is_err());
    }

    #[test]
    fn that_a_row_is_missing_is_kept_only_where_no_other_process_adds_any() {
        let remembered = Remembered::new(1_000_000);
        keep(&remembered, 1, &rows_of([]));
        assert!(remembered.answer(&about(1)).is_err());
        let sql = "select id from mcp_servers where project_id = $1";
        let servers = || Question::new(sql, &[Value::Int(1)]);
        let before = remembered.answer(&servers()).unwrap_err();
        remembered.keep(before, sql, servers(), &rows_of([]));
        assert!(remembered.answer(&servers()).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_known_for_longer_than_it_may_be() {
        let remembered = Remembered { longest: Duration::ZERO, ..Remembered::new(1_000_000) };
        keep(&remembered, 1, &rows("a"));
        assert!(remembered.answer(&about(1)).is_err());
        keep(&remembered, 2, &rows("b"));
        assert_eq!(remembered.lock().found.len(), 1, "what is too old is dropped");
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
