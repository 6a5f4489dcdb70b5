//! Statements with named parameters, in SQL that both engines accept.
//!
//! ```text
//! SELECT id FROM task WHERE owner = :owner AND id IN (:ids)
//! ```
//!
//! becomes `… WHERE owner = $1 AND id IN ($2, $3)`. Numbers follow the order of first appearance, the only order on
//! which Spin's SQLite (binds by position) and PostgreSQL (binds by number) agree. A list becomes `$1, $2`; rows become
//! `($1, $2), ($3, $4)`; `<<models| UNION ALL SELECT … WHERE model = :models>>` repeats for each element of a list.
//! `/*postgres: … */` is for PostgreSQL alone, and a comment for SQLite.
//!
//! PostgreSQL infers the type of a parameter from its context, so a parameter without one is cast: `CAST(:now AS
//! BIGINT)`.

use std::fmt::Write as _;
use std::rc::Rc;

use crate::platform::{Database, Value};

/// An SQL statement with named parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement(pub &'static str);

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// One value.
    One(Value),
    /// List of values.
    List(Vec<Value>),
    /// Rows of values.
    Rows(Vec<Vec<Value>>),
}

/// Name and value of a parameter.
pub type Parameter = (&'static str, Argument);

/// A statement in the form for an engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// SQL with numbered parameters.
    pub sql: Rc<str>,
    /// Values of the parameters, by number.
    pub parameters: Vec<Value>,
}

/// SQL dialect of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite and libSQL.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// Dialect of `database`.
    pub fn of(database: &Database) -> Self {
        match database {
            Database::Sqlite => Self::Sqlite,
            Database::Postgres(_) => Self::Postgres,
        }
    }
}

impl<T: Into<Value>> From<T> for Argument {
    fn from(value: T) -> Self {
        Self::One(value.into())
    }
}

impl Argument {
    /// List of values.
    pub fn list<T: Into<Value>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl Statement {
    /// Binds parameters for a dialect.
    ///
    /// # Errors
    /// Message about a missing parameter or an empty list.
    pub fn bind(self, dialect: Dialect, parameters: Vec<Parameter>) -> Result<Bound, String> {
        let mut binder = Binder { dialect, parameters, numbers: Vec::new(), values: Vec::new(), sql: String::new() };
        binder.text(self.0, None)?;
        Ok(Bound { sql: Rc::from(binder.sql), parameters: binder.values })
    }
}

struct Binder {
    dialect: Dialect,
    parameters: Vec<Parameter>,
    /// Names of single values, and their numbers.
    numbers: Vec<(String, usize)>,
    values: Vec<Value>,
    sql: String,
}

impl Binder {
    /// Appends `text`, in which the name of `element` stands for its value.
    fn text(&mut self, text: &str, element: Option<(&str, &Value)>) -> Result<(), String> {
        let mut rest = text;
        while let Some(at) = rest.find([':', '<', '/']) {
            let (before, after) = rest.split_at(at);
            self.sql.push_str(before);
            rest = if let Some(block) = after.strip_prefix("<<") {
                let (block, rest) = block.split_once(">>").ok_or("a block has no end")?;
                self.block(block)?;
                rest
            } else if let Some(words) = after.strip_prefix("/*postgres:") {
                let (words, rest) = words.split_once("*/").ok_or("a comment has no end")?;
                if self.dialect == Dialect::Postgres {
                    self.text(words, element)?;
                }
                rest
            } else if let Some(name) = after.strip_prefix(':').map(name).filter(|name| !name.is_empty()) {
                self.parameter(name, element)?;
                after.get(1 + name.len()..).unwrap_or_default()
            } else {
                let mut characters = after.chars();
                self.sql.extend(characters.next());
                characters.as_str()
            };
        }
        self.sql.push_str(rest);
        Ok(())
    }

    fn block(&mut self, block: &str) -> Result<(), String> {
        let (name, text) = block.split_once('|').ok_or("a block has no list")?;
        let Argument::List(elements) = self.argument(name)? else { return Err(format!("{name} is no list")) };
        for element in &elements {
            self.text(text, Some((name, element)))?;
        }
        Ok(())
    }

    fn parameter(&mut self, name: &str, element: Option<(&str, &Value)>) -> Result<(), String> {
        if let Some((_, value)) = element.filter(|(own, _)| *own == name) {
            self.push(value.clone());
            return Ok(());
        }
        if let Some((_, number)) = self.numbers.iter().find(|(known, _)| known == name) {
            let _ = write!(self.sql, "${number}");
            return Ok(());
        }
        match self.argument(name)? {
            Argument::One(value) => {
                self.push(value);
                self.numbers.push((name.to_owned(), self.values.len()));
            }
            Argument::List(values) if !values.is_empty() => self.list(values),
            Argument::Rows(rows) if !rows.is_empty() => {
                for (number, row) in rows.into_iter().enumerate() {
                    self.sql.push_str(if number == 0 { "(" } else { ", (" });
                    self.list(row);
                    self.sql.push(')');
                }
            }
            Argument::List(_) | Argument::Rows(_) => return Err(format!("{name} is empty")),
        }
        Ok(())
    }

    fn list(&mut self, values: Vec<Value>) {
        for (number, value) in values.into_iter().enumerate() {
            if number > 0 {
                self.sql.push_str(", ");
            }
            self.push(value);
        }
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        let _ = write!(self.sql, "${}", self.values.len());
    }

    fn argument(&self, name: &str) -> Result<Argument, String> {
        let found = self.parameters.iter().find(|(known, _)| *known == name);
        found.map(|(_, argument)| argument.clone()).ok_or_else(|| format!("no value for :{name}"))
    }
}

/// Name at the beginning of `text`.
fn name(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &'static str, dialect: Dialect, parameters: Vec<Parameter>) -> (String, Vec<Value>) {
        let Bound { sql, parameters } = Statement(text).bind(dialect, parameters).unwrap();
        (sql.to_string(), parameters)
    }

    #[test]
    fn parameters_are_numbered_by_their_first_appearance() {
        let parameters = vec![("now", 7_i64.into()), ("owner", "me".into()), ("ids", Argument::list(["a", "b"]))];
        let (sql, values) = bound(
            "SELECT 1 FROM t WHERE owner = :owner AND id IN (:ids) AND at < CAST(:now AS BIGINT) OR :owner = ''",
            Dialect::Sqlite,
            parameters,
        );
        assert_eq!(sql, "SELECT 1 FROM t WHERE owner = $1 AND id IN ($2, $3) AND at < CAST($4 AS BIGINT) OR $1 = ''");
        assert_eq!(values, ["me".into(), "a".into(), "b".into(), Value::Integer(7)]);
    }

    #[test]
    fn rows_and_blocks_are_repeated_and_comments_are_for_one_engine() {
        let rows = vec![vec!["a".into(), Value::Integer(1)], vec!["b".into(), Value::Null]];
        let text = "INSERT INTO t VALUES :rows ON CONFLICT DO NOTHING/*postgres: RETURNING 1*/";
        let (sql, _) = bound(text, Dialect::Sqlite, vec![("rows", Argument::Rows(rows.clone()))]);
        assert_eq!(sql, "INSERT INTO t VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
        let (sql, _) = bound(text, Dialect::Postgres, vec![("rows", Argument::Rows(rows))]);
        assert_eq!(sql, "INSERT INTO t VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING RETURNING 1");
        let text = "SELECT 0<<models| UNION ALL SELECT a < 1 FROM t WHERE model = :models AND b = :b>>";
        let (sql, values) =
            bound(text, Dialect::Sqlite, vec![("models", Argument::list(["x", "y"])), ("b", 2_i64.into())]);
        assert_eq!(
            sql,
            "SELECT 0 UNION ALL SELECT a < 1 FROM t WHERE model = $1 AND b = $2 \
             UNION ALL SELECT a < 1 FROM t WHERE model = $3 AND b = $2"
        );
        assert_eq!(values, ["x".into(), Value::Integer(2), "y".into()]);
    }

    #[test]
    fn a_missing_parameter_is_an_error() {
        assert_eq!(Statement(":a").bind(Dialect::Sqlite, vec![]), Err("no value for :a".to_owned()));
        assert_eq!(
            Statement(":a").bind(Dialect::Sqlite, vec![("a", Argument::List(vec![]))]),
            Err("a is empty".to_owned())
        );
    }
}
