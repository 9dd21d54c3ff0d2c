//! Several statements of a batch in one: a guarded one, and those behind it that see nothing of each other.
//!
//! What is in a `with` is carried out by one message instead of one each, and one message needs neither `begin` nor `commit`.

use std::borrow::Cow;

use crate::db::batch::Statement;
use crate::db::{Row, Value};

/// How many statements ride with a guarded one at most. Each number of them makes another statement, which every connection and
/// its server keep prepared.
const RIDERS: usize = 5;

/// One statement as the server gets it.
pub(super) struct Folded<'a> {
    pub(super) sql: Cow<'a, str>,
    pub(super) params: Vec<&'a Value>,
    /// How many statements of the batch it carries out. The first of them returns the rows.
    pub(super) carries: usize,
}

/// Folds the statements of a batch, those with a guard inside of its check.
pub(super) fn fold(statements: &[Statement]) -> Vec<Folded<'_>> {
    let mut folded = Vec::with_capacity(statements.len());
    let mut rest = statements;
    while let Some((first, others)) = rest.split_first() {
        let Some(label) = first.guard else {
            folded.push(Folded {
                sql: (&*first.sql).into(),
                params: first.params.iter().collect(),
                carries: 1,
            });
            rest = others;
            continue;
        };
        let count = others.iter().take(RIDERS).take_while(|statement| statement.is_independent).count();
        let (beside, behind) = others.split_at_checked(count).unwrap_or((others, &[]));
        folded.push(guarded(first, label, beside));
        rest = behind;
    }
    folded
}

fn guarded<'a>(first: &'a Statement, label: &str, beside: &'a [Statement]) -> Folded<'a> {
    let column = first.returning.unwrap_or("1");
    let mut sql = format!("with guarded as ({} returning {column} as answer)", first.sql);
    let mut columns = format!(
        "(select answer from guarded limit 1), ingram_guard((select count(*) from guarded), '{label}')"
    );
    let mut params: Vec<&Value> = first.params.iter().collect();
    for (number, statement) in beside.iter().enumerate() {
        let text = shifted(&statement.sql, params.len());
        // A `with` that nothing reads is carried out if it changes rows. A function that is called for what it does, as the
        // announcement of a batch, has to be among the columns.
        match text.strip_prefix("select ") {
            Some(value) => columns.push_str(&format!(", {value}")),
            None => sql.push_str(&format!(", beside_{number} as ({text})")),
        }
        params.extend(&statement.params);
    }
    sql.push_str(&format!(" select {columns}"));
    Folded { sql: sql.into(), params, carries: beside.len().saturating_add(1) }
}

/// Moves the numbers of placeholders up.
fn shifted(sql: &str, by: usize) -> String {
    let mut pieces = sql.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at_checked(end).unwrap_or((piece, ""));
        let number = number.parse::<usize>().unwrap_or(0).saturating_add(by);
        text.push_str(&format!("${number}{rest}"));
    }
    text
}

/// Gives each statement of the batch its rows. Those that rode with another have none.
pub(super) fn each_with_rows(results: Vec<Vec<Row>>, statements: &[Folded<'_>]) -> Vec<Vec<Row>> {
    let mut all = Vec::new();
    for (rows, statement) in results.into_iter().zip(statements) {
        let next = all.len().saturating_add(statement.carries);
        all.push(rows);
        all.resize_with(next, Vec::new);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{RIDERS, fold, shifted};
    use crate::Batch;
    use crate::db::params;

    #[test]
    fn placeholders_are_moved_up() {
        assert_eq!(shifted("values ($1, $2), ($10)", 9), "values ($10, $11), ($19)");
        assert_eq!(shifted("select 1", 3), "select 1");
    }

    #[test]
    fn what_is_independent_rides_with_the_guarded_statement_before_it() {
        let mut batch = Batch::new();
        batch.exec("delete from a where x = $1", params![1_i64]);
        batch.exec("update b set x = $1 where y = $2", params![1_i64, 2_i64]).must_change_one_row("fence");
        batch.exec("insert into c values ($1)", params![3_i64]).independent();
        batch.exec("select f($1)", params![4_i64]).independent();
        batch.exec("insert into d values ($1)", params![5_i64]);
        batch.exec("insert into e values ($1)", params![6_i64]).independent();
        let folded = fold(&batch.statements);
        let seen: Vec<_> = folded.iter().map(|one| (&*one.sql, one.params.len(), one.carries)).collect();
        assert_eq!(
            seen,
            [
                ("delete from a where x = $1", 1, 1),
                (
                    "with guarded as (update b set x = $1 where y = $2 returning 1 as answer), \
                     beside_0 as (insert into c values ($3)) select (select answer from guarded limit 1), \
                     ingram_guard((select count(*) from guarded), 'fence'), f($4)",
                    4,
                    3
                ),
                ("insert into d values ($1)", 1, 1),
                // There is nothing guarded right before it.
                ("insert into e values ($1)", 1, 1),
            ]
        );
    }
    #[test]
    fn those_that_are_too_many_to_ride_are_sent_on_their_own() {
        let mut batch = Batch::new();
        batch.exec("update a set x = 1", params![]).must_change_one_row("fence");
        for _ in 0..RIDERS + 2 {
            batch.exec("insert into b values ($1)", params![1_i64]).independent();
        }
        let carries: Vec<_> = fold(&batch.statements).iter().map(|one| one.carries).collect();
        assert_eq!(carries, [RIDERS + 1, 1, 1]);
    }
}
