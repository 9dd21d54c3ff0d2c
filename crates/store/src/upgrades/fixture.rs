//! A database's rows as text, and back.

use std::fmt::Write as _;

use crate::db::{Row, Value, params};
use crate::{Db, DbOptions, Dialect};

/// Writes all rows as inserts. Bytes are `unhex('…')`, which SQLite has and PostgreSQL is given.
pub(super) async fn dump(db: &Db, version: i64) -> String {
    let mut text = format!(
        "-- All rows of a database as the program made it at schema version {version}. The master key is 32 bytes of 7.\n"
    );
    let tables = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' \
                  and name <> 'schema_migrations' order by rowid";
    for table in db.read(tables, params![]).await.unwrap() {
        let table: String = table.get(0).unwrap();
        let columns =
            db.read("select name from pragma_table_info($1)", params![table.as_str()]).await.unwrap();
        let columns: Vec<String> = columns.iter().map(|row| row.get(0).unwrap()).collect();
        let columns = columns.join(", ");
        for row in db.read(&format!("select {columns} from {table} order by 1"), params![]).await.unwrap() {
            writeln!(text, "insert into {table} ({columns}) values ({});", literals(&row)).unwrap();
        }
    }
    text
}

fn literals(row: &Row) -> String {
    let values = (0..).map_while(|column| row.get::<Value>(column).ok());
    let literals = values.map(|value| match value {
        Value::Null => "null".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("unhex('{hex}')")
        }
    });
    literals.collect::<Vec<_>>().join(", ")
}

/// Makes a database of an older version out of its rows.
pub(super) async fn load(options: &DbOptions, version: i64, rows: &str) {
    let db = Db::open_at_version(options, version).await.unwrap();
    if db.dialect() == Dialect::Postgres {
        let unhex = "create function unhex(text) returns bytea language sql immutable as $$ select decode($1, 'hex') $$";
        db.script(unhex).await.unwrap();
    }
    db.script(&format!("begin; {rows} commit;")).await.unwrap();
    db.close().await;
}
