//! The registry, held against the schema as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::belongings::registry::BELONGINGS;
use crate::belongings::{Erase, Export, Found, Shown};
use crate::db::{Db, Value};
use crate::testing::{both, open};
use crate::{DbError, Dialect};

/// Tables that hold the id of a smith without a reference to it, so that whoever writes to them has to hold the smith.
const HELD: &[&str] = &["tokens", "model_keys", "erasures"];

/// What the database says of its tables: their columns, and to which tables they refer.
#[derive(Debug, Default)]
struct Schema {
    columns: BTreeMap<String, BTreeSet<String>>,
    references: BTreeMap<String, BTreeSet<String>>,
}

impl Schema {
    async fn of(db: &Db) -> Self {
        let (columns, references) = match db.dialect() {
            Dialect::Sqlite => (
                "select tables.name, columns.name from sqlite_master as tables, pragma_table_info(tables.name) as columns \
                 where tables.type = 'table' and tables.name not like 'sqlite_%'",
                "select tables.name, keys.\"table\" from sqlite_master as tables, pragma_foreign_key_list(tables.name) as keys \
                 where tables.type = 'table'",
            ),
            Dialect::Postgres => (
                "select table_name::text, column_name::text from information_schema.columns where table_schema = 'public'",
                "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint where contype = 'f'",
            ),
        };
        Self { columns: pairs(db, columns).await, references: pairs(db, references).await }
    }

    /// Lists the tables from which references lead to smiths, directly or through others.
    fn leading_to_smiths(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::from(["smiths"]);
        loop {
            let more: BTreeSet<&str> = self
                .references
                .iter()
                .filter(|(_, targets)| targets.iter().any(|target| found.contains(target.as_str())))
                .map(|(table, _)| table.as_str())
                .collect();
            if more.is_subset(&found) {
                return found;
            }
            found.extend(more);
        }
    }

    /// Lists the tables with a column that by its name holds the id of a smith or a run.
    fn naming_smiths(&self) -> BTreeSet<&str> {
        let names = |columns: &BTreeSet<String>| {
            columns.iter().any(|column| column.ends_with("smith_id") || column == "run_id")
        };
        self.columns.iter().filter(|(_, columns)| names(columns)).map(|(table, _)| table.as_str()).collect()
    }
}

async fn pairs(db: &Db, sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut pairs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in db.read(sql, vec![]).await.unwrap() {
        let (key, value): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        pairs.entry(key).or_default().insert(value);
    }
    pairs
}

#[tokio::test]
async fn every_table_that_holds_something_of_a_smith_is_registered() {
    both(async |location| {
        let store = open(location).await;
        let schema = Schema::of(store.db()).await;
        let registered: BTreeSet<&str> = BELONGINGS.iter().map(|belonging| belonging.table).collect();
        let mut of_smiths = schema.leading_to_smiths();
        of_smiths.extend(schema.naming_smiths());
        let missing: Vec<_> = of_smiths.difference(&registered).collect();
        assert!(
            missing.is_empty(),
            "{missing:?} hold something of a smith: add each to BELONGINGS in crates/store/src/belongings/registry.rs, which \
             says what an export shows of it and what an erasure does with it"
        );
        for table in registered {
            assert!(schema.columns.contains_key(table), "{table} is registered and not there: take it out of BELONGINGS");
        }
    })
    .await;
}

#[tokio::test]
async fn every_column_of_a_registered_table_is_shown_or_hidden_on_purpose() {
    both(async |location| {
        let store = open(location).await;
        let schema = Schema::of(store.db()).await;
        for belonging in BELONGINGS {
            let Export::Lines(lines) = &belonging.export else { continue };
            let table = belonging.table;
            let mut known: Vec<&str> = lines.columns.iter().map(|column| column.name).collect();
            known.extend(lines.hidden);
            known.extend(lines.attachment.as_ref().map(|attachment| attachment.column));
            let listed: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(listed.len(), known.len(), "{table}: a column is listed twice");
            assert_eq!(
                schema.columns[table], listed,
                "{table}: name each of its columns (left) in BELONGINGS, under `columns` to export it or under `hidden` not to"
            );
            for column in lines.columns {
                let Shown::Sealed(row) = column.shown else { continue };
                assert!(row.iter().all(|name| schema.columns[table].contains(*name)), "{table}.{}", column.name);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_key_of_a_registered_table_names_one_row() {
    both(async |location| {
        let store = open(location).await;
        for belonging in BELONGINGS {
            let columns: Vec<&str> =
                std::iter::once(belonging.found.column()).chain(belonging.key.iter().copied()).collect();
            let table = belonging.table;
            let unique = match store.db().dialect() {
                Dialect::Sqlite => {
                    format!("select group_concat(name) from pragma_table_info('{table}') where pk > 0")
                }
                Dialect::Postgres => format!(
                    "select string_agg(attname::text, ',') from pg_index join pg_attribute \
                     on attrelid = indrelid and attnum = any(indkey) where indisprimary and indrelid = '{table}'::regclass"
                ),
            };
            let row = store.db().read_one(&unique, vec![]).await.unwrap().unwrap();
            let primary: String = row.get(0).unwrap();
            assert!(primary.split(',').all(|name| columns.contains(&name)), "{table}: {primary}, not {columns:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_written_for_a_smith_refers_to_it_or_holds_it() {
    both(async |location| {
        let store = open(location).await;
        let schema = Schema::of(store.db()).await;
        let protected = schema.leading_to_smiths();
        for belonging in BELONGINGS {
            assert!(
                protected.contains(belonging.table) != HELD.contains(&belonging.table),
                "{}: give it a foreign key to `smiths` or `runs`; where that cannot be, have its writers use \
                 `Dialect::holding_smith` and name it here",
                belonging.table
            );
        }
    })
    .await;
}

#[test]
fn files_of_an_archive_have_names_of_their_own() {
    let files: Vec<_> = BELONGINGS
        .iter()
        .filter_map(|belonging| match &belonging.export {
            Export::Lines(lines) => Some(lines.file),
            Export::LeftOut(_) => None,
        })
        .collect();
    let unique: BTreeSet<_> = files.iter().collect();
    assert_eq!(unique.len(), files.len());
}

#[test]
fn only_what_the_others_refer_to_goes_last() {
    let last: Vec<_> = BELONGINGS
        .iter()
        .filter(|belonging| belonging.erase == Erase::DeleteLast)
        .map(|belonging| belonging.table)
        .collect();
    assert_eq!(last, ["smiths", "runs"]);
    let of_runs = BELONGINGS.iter().filter(|belonging| matches!(belonging.found, Found::ByRun(_)));
    assert!(of_runs.clone().count() > 0);
    for belonging in of_runs {
        assert_eq!(belonging.erase, Erase::Delete, "{}: it cannot outlive its run", belonging.table);
    }
}

/// Reads every row of every table as text, bytes as hexadecimal digits.
pub(super) async fn dump(db: &Db) -> BTreeMap<String, Vec<String>> {
    let mut dump = BTreeMap::new();
    for table in Schema::of(db).await.columns.keys() {
        let rows = db.read(&format!("select * from {table}"), vec![]).await.unwrap();
        let written = rows.iter().map(|row| (0..).map_while(|place| written(row.value(place))).collect());
        dump.insert(table.clone(), written.collect());
    }
    dump
}

fn written(value: Result<&Value, DbError>) -> Option<String> {
    let value = value.ok()?;
    Some(match value {
        Value::Text(text) => format!("{text} "),
        Value::Blob(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).chain([" ".to_owned()]).collect()
        }
        other => format!("{other:?} "),
    })
}
