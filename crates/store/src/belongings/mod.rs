//! What belongs to a smith: where it is, what an export shows of it, and what an erasure does with it.
//!
//! `registry::BELONGINGS` lists every table that holds something of a smith. Exports and erasures walk that list and know
//! by name only smiths and runs, so a table that is in it comes along in both. A test reads the schema and fails for one that is not.

mod erase;
mod export;
mod registry;
mod row;
#[cfg(test)]
mod tests;

pub use erase::{ERASED, Progress, Receipt};
pub use export::{Archive, Piece};

/// A table with rows of smiths.
pub(crate) struct Belonging {
    pub(crate) table: &'static str,
    pub(crate) found: Found,
    /// The columns that, beside the one in `found`, name a row. Rows are read and deleted in their order.
    pub(crate) key: &'static [&'static str],
    pub(crate) export: Export,
    pub(crate) erase: Erase,
}

/// How the rows of a smith are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// By the column that holds the id of the smith.
    BySmith(&'static str),
    /// By the column that holds the id of one of its runs.
    ByRun(&'static str),
}

impl Found {
    pub(crate) const fn column(self) -> &'static str {
        match self {
            Self::BySmith(column) | Self::ByRun(column) => column,
        }
    }
}

/// What an export shows of a table.
pub(crate) enum Export {
    /// A file of JSON lines, one a row.
    Lines(Lines),
    /// Nothing, for this reason. The archive's manifest gives it.
    LeftOut(&'static str),
}

pub(crate) struct Lines {
    pub(crate) file: &'static str,
    pub(crate) columns: &'static [Column],
    /// Columns that are not shown: inner workings, secrets, or what the file says anyway. The manifest lists them.
    pub(crate) hidden: &'static [&'static str],
    /// Bytes that come as a file of their own for each row.
    pub(crate) attachment: Option<Attachment>,
}

/// A column as a line shows it, under its own name.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) shown: Shown,
}

/// How a value is shown. NULL is shown as null.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    /// An id, with its prefix.
    Id(fn([u8; 16]) -> String),
    Time,
    Text,
    Number,
    /// JSON that is stored as text.
    Json,
    /// JSON that is sealed. The columns are those whose values name the row in the seal, in their order.
    Sealed(&'static [&'static str]),
    /// The same, of which not all is the person's: the function takes the rest out.
    SealedPart(&'static [&'static str], fn(&mut serde_json::Value)),
}

impl Shown {
    /// Returns the columns that name the row in the seal of a sealed value.
    pub(crate) const fn seal(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Sealed(row) | Self::SealedPart(row, _) => Some(row),
            _ => None,
        }
    }
}

/// Sealed bytes of a row, such as the content of a file.
pub(crate) struct Attachment {
    pub(crate) column: &'static str,
    /// The columns whose values name the row in the seal.
    pub(crate) sealed: &'static [&'static str],
    /// Names the file in the archive by the row's line, which gets the name as `path`.
    pub(crate) path: fn(&serde_json::Map<String, serde_json::Value>) -> String,
}

/// What an erasure does with the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    Delete,
    /// They go last: other rows refer to them.
    DeleteLast,
    /// They stay, because they say nothing of the person. The receipt names them so.
    Keep(&'static str),
}
