//! Values on their way to a PostgreSQL server and back.
//!
//! A parameter's type must be the one that the statement wants, as in Spin: an `int32` isn't taken for a `bigint`. A
//! null fits any. Dates, decimals, ranges, arrays and the like are not known here: as parameters they are refused, in
//! results they are `unsupported`, with the server's own bytes.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::bindings::spin::postgres::postgres::{Column, DbDataType, DbValue, ParameterValue};

type Parameter = Box<dyn ToSql + Send + Sync>;

/// Null, of whatever type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Bytes of whatever type, as the server sent them.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Parameters as the client takes them; the error says which one it can't.
pub(super) fn parameters(values: Vec<ParameterValue>) -> Result<Vec<Parameter>, String> {
    let parameter = |(index, value)| {
        Ok(match value {
            ParameterValue::Boolean(value) => Box::new(value) as Parameter,
            ParameterValue::Int8(value) => Box::new(value),
            ParameterValue::Int16(value) => Box::new(value),
            ParameterValue::Int32(value) => Box::new(value),
            ParameterValue::Int64(value) => Box::new(value),
            ParameterValue::Floating32(value) => Box::new(value),
            ParameterValue::Floating64(value) => Box::new(value),
            ParameterValue::Str(value) => Box::new(value),
            ParameterValue::Binary(value) => Box::new(value),
            ParameterValue::DbNull => Box::new(Null),
            _ => return Err(format!("parameter ${}: this host doesn't know values of that type", index + 1)),
        })
    };
    values.into_iter().enumerate().map(parameter).collect()
}

/// Names and types of a row's columns.
pub(super) fn columns(row: &Row) -> Vec<Column> {
    let column = |column: &tokio_postgres::Column| {
        let data_type = match *column.type_() {
            Type::BOOL => DbDataType::Boolean,
            Type::INT2 => DbDataType::Int16,
            Type::INT4 => DbDataType::Int32,
            Type::INT8 => DbDataType::Int64,
            Type::FLOAT4 => DbDataType::Floating32,
            Type::FLOAT8 => DbDataType::Floating64,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
            Type::BYTEA => DbDataType::Binary,
            ref other => DbDataType::Other(other.name().to_owned()),
        };
        Column { name: column.name().to_owned(), data_type }
    };
    row.columns().iter().map(column).collect()
}

/// A row's values.
pub(super) fn values(row: &Row) -> Result<Vec<DbValue>, tokio_postgres::Error> {
    let value = |(index, column): (usize, &tokio_postgres::Column)| match *column.type_() {
        Type::BOOL => value(row, index, DbValue::Boolean),
        Type::INT2 => value(row, index, DbValue::Int16),
        Type::INT4 => value(row, index, DbValue::Int32),
        Type::INT8 => value(row, index, DbValue::Int64),
        Type::FLOAT4 => value(row, index, DbValue::Floating32),
        Type::FLOAT8 => value(row, index, DbValue::Floating64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => value(row, index, DbValue::Str),
        Type::BYTEA => value(row, index, DbValue::Binary),
        _ => value(row, index, |Raw(bytes)| DbValue::Unsupported(bytes)),
    };
    row.columns().iter().enumerate().map(value).collect()
}

fn value<'a, T: FromSql<'a>>(
    row: &'a Row,
    index: usize,
    wrap: impl Fn(T) -> DbValue,
) -> Result<DbValue, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<T>>(index)?.map_or(DbValue::DbNull, wrap))
}

/// About how many bytes a row takes.
pub(super) fn size(row: &[DbValue]) -> usize {
    let beside = |value: &DbValue| match value {
        DbValue::Str(text) => text.len(),
        DbValue::Binary(bytes) | DbValue::Unsupported(bytes) => bytes.len(),
        _ => 0,
    };
    row.iter().map(|value| size_of::<DbValue>() + beside(value)).sum()
}
