//! Values and rows, the same for both engines.

use domain::Timestamp;
use domain::ids::{
    AgentId, ApprovalId, ConversationId, FileId, Id as _, McpServerId, OrganizationId, ProjectId,
    ProjectToolId, RunId, SmithId, TokenId,
};

use super::DbError;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// Builds the parameters of a statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use params;

macro_rules! from {
    ($($type:ty => |$value:ident| $make:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $make
            }
        }
    )*};
}

from! {
    i64 => |value| Self::Int(value);
    u32 => |value| Self::Int(i64::from(value));
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    usize => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    bool => |value| Self::Int(i64::from(value));
    f64 => |value| Self::Real(value);
    &str => |value| Self::Text(value.to_owned());
    String => |value| Self::Text(value);
    &String => |value| Self::Text(value.clone());
    Vec<u8> => |value| Self::Blob(value);
    &[u8] => |value| Self::Blob(value.to_vec());
    [u8; 16] => |value| Self::Blob(value.to_vec());
    [u8; 32] => |value| Self::Blob(value.to_vec());
    Timestamp => |value| Self::Int(value.as_micros());
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What can be read out of a column.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Result<Self, DbError>;
}

macro_rules! read {
    ($($type:ty => $pattern:pat => $make:expr, $wanted:literal;)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Result<Self, DbError> {
                match value {
                    $pattern => $make,
                    _ => Err(DbError::Corrupt($wanted)),
                }
            }
        }
    )*};
}

read! {
    i64 => Value::Int(value) => Ok(*value), "a number was wanted";
    u64 => Value::Int(value) => u64::try_from(*value).map_err(|_| DbError::Corrupt("a number is negative")), "a number was wanted";
    u32 => Value::Int(value) => u32::try_from(*value).map_err(|_| DbError::Corrupt("a number is out of range")), "a number was wanted";
    bool => Value::Int(value) => Ok(*value != 0), "a truth value was wanted";
    f64 => Value::Real(value) => Ok(*value), "a fraction was wanted";
    String => Value::Text(value) => Ok(value.clone()), "a text was wanted";
    Vec<u8> => Value::Blob(value) => Ok(value.clone()), "bytes were wanted";
    Timestamp => Value::Int(value) => Ok(Self::from_micros(*value)), "a time was wanted";
}

/// The value itself, whatever it is.
#[cfg(test)]
impl FromValue for Value {
    fn from_value(value: &Value) -> Result<Self, DbError> {
        Ok(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Result<Self, DbError> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl From<$id> for Value {
            fn from(id: $id) -> Self {
                Self::Blob(id.as_bytes().to_vec())
            }
        }

        impl FromValue for $id {
            fn from_value(value: &Value) -> Result<Self, DbError> {
                let Value::Blob(bytes) = value else { return Err(DbError::Corrupt("an id was wanted")) };
                let bytes = bytes.as_slice().try_into().map_err(|_| DbError::Corrupt("an id has 16 bytes"))?;
                Ok(Self::from_bytes(bytes))
            }
        }
    )*};
}

ids!(
    ApprovalId,
    ConversationId,
    OrganizationId,
    ProjectId,
    AgentId,
    SmithId,
    RunId,
    TokenId,
    FileId,
    McpServerId,
    ProjectToolId
);

/// A row that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// Returns the column at this place, counted from 0.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, DbError> {
        self.0.get(column).map_or(Err(DbError::Corrupt("a column is missing")), T::from_value)
    }

    /// Returns the column at this place as it is.
    pub(crate) fn value(&self, column: usize) -> Result<&Value, DbError> {
        self.0.get(column).ok_or(DbError::Corrupt("a column is missing"))
    }
}
