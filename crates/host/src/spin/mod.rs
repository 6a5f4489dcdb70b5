//! Spin's own interfaces: variables and SQL databases.

mod postgres;
mod sqlite;
pub(crate) mod state;
mod variables;

use wasmtime::component::Linker;

use crate::guest::Guest;

/// Gives `linker` these interfaces.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    variables::add_to_linker(linker)?;
    sqlite::add_to_linker(linker)?;
    postgres::add_to_linker(linker)
}
