//! Rows of any table of the registry, as an export shows them.

use serde_json::{Map, Value as Json};

use super::{Attachment, Belonging, Column, Lines, Shown};
use crate::codec::read_json;
use crate::codec::{Place, SmithSeal};
use crate::db::{Row, Value};
use crate::{DbError, Error};

/// Under this name a line lists its columns that cannot be read.
pub(super) const UNREADABLE: &str = "unreadable";

const NO_KEY: DbError = DbError::Corrupt("the data key of a smith cannot be read");

/// The columns that are read of a table, each once.
pub(super) struct Columns {
    table: &'static str,
    names: Vec<&'static str>,
}

impl Columns {
    pub(super) fn of(belonging: &Belonging, lines: &Lines, attachment: Option<&Attachment>) -> Self {
        let mut columns = Self { table: belonging.table, names: Vec::new() };
        columns.add(&[belonging.found.column()]);
        columns.add(belonging.key);
        for column in lines.columns {
            columns.add(&[column.name]);
            if let Some(row) = column.shown.seal() {
                columns.add(row);
            }
        }
        if let Some(attachment) = attachment {
            columns.add(&[attachment.column]);
            columns.add(attachment.sealed);
        }
        columns
    }

    fn add(&mut self, names: &[&'static str]) {
        for name in names {
            if !self.names.contains(name) {
                self.names.push(name);
            }
        }
    }

    /// Writes the columns for a query.
    pub(super) fn list(&self) -> String {
        self.names.join(", ")
    }

    /// Returns the value of a column that was read.
    pub(super) fn value<'a>(&self, row: &'a Row, name: &str) -> Result<&'a Value, DbError> {
        let place = self.names.iter().position(|known| *known == name);
        place.map_or(Err(DbError::Corrupt("a column was not read")), |place| row.value(place))
    }

    /// Renders a row as the object of its line. What is damaged is null there, and listed as `unreadable`.
    pub(super) fn line(
        &self,
        row: &Row,
        lines: &Lines,
        seal: Option<&SmithSeal>,
    ) -> Result<Map<String, Json>, Error> {
        let mut line = Map::new();
        let mut unreadable: Vec<&str> = Vec::new();
        for column in lines.columns {
            let value = match self.shown(row, column, seal) {
                Err(error) if error.is_damage() => {
                    unreadable.push(column.name);
                    Json::Null
                }
                shown => shown?,
            };
            line.insert(column.name.to_owned(), value);
        }
        if let Some(attachment) = &lines.attachment {
            let path = (attachment.path)(&line);
            line.insert("path".to_owned(), Json::String(path));
        }
        if !unreadable.is_empty() {
            line.insert(UNREADABLE.to_owned(), unreadable.into());
        }
        Ok(line)
    }

    fn shown(&self, row: &Row, column: &Column, seal: Option<&SmithSeal>) -> Result<Json, Error> {
        Ok(match (column.shown, self.value(row, column.name)?) {
            (_, Value::Null) => Json::Null,
            (Shown::Sealed(named) | Shown::SealedPart(named, _), Value::Blob(sealed)) => {
                let place = Place::new(self.table, column.name);
                let mut opened = seal.ok_or(NO_KEY)?.open(place, &self.name_in_seal(row, named)?, sealed)?;
                if let Shown::SealedPart(_, take_out) = column.shown {
                    take_out(&mut opened);
                }
                opened
            }
            (Shown::Id(written), Value::Blob(bytes)) => {
                let bytes = bytes.as_slice().try_into();
                Json::String(written(bytes.map_err(|_| DbError::Corrupt("an id has 16 bytes"))?))
            }
            (Shown::Time, Value::Int(micros)) => {
                Json::String(domain::Timestamp::from_micros(*micros).to_string())
            }
            (Shown::Number, Value::Int(number)) => Json::from(*number),
            (Shown::Text, Value::Text(text)) => Json::String(text.clone()),
            (Shown::Json, Value::Text(text)) => read_json(text)?,
            _ => return Err(DbError::Corrupt("a column is shown as what it is not").into()),
        })
    }

    /// Opens the bytes of a row that come as a file of their own.
    pub(super) fn attached(
        &self,
        row: &Row,
        attachment: &Attachment,
        seal: Option<&SmithSeal>,
    ) -> Result<Vec<u8>, Error> {
        let Value::Blob(sealed) = self.value(row, attachment.column)? else {
            return Err(DbError::Corrupt("sealed bytes were wanted").into());
        };
        let place = Place::new(self.table, attachment.column);
        seal.ok_or(NO_KEY)?.open_bytes(place, &self.name_in_seal(row, attachment.sealed)?, sealed)
    }

    /// Writes the values that name a row in its seals: bytes as they are, numbers as eight bytes.
    fn name_in_seal(&self, row: &Row, columns: &[&str]) -> Result<Vec<u8>, DbError> {
        let mut name = Vec::with_capacity(24);
        for column in columns {
            match self.value(row, column)? {
                Value::Blob(bytes) => name.extend_from_slice(bytes),
                Value::Int(number) => name.extend_from_slice(&number.to_be_bytes()),
                _ => return Err(DbError::Corrupt("a row is named by bytes and numbers")),
            }
        }
        Ok(name)
    }
}
