//! Bindings to Spin's own interfaces, made of `wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "z-image:host/imports",
    imports: {
        "spin:sqlite/sqlite": async | trappable,
        "spin:postgres/postgres": async | trappable,
        default: trappable,
    },
    with: {
        "spin:sqlite/sqlite.connection": crate::sqlite::connection::SqliteConnection,
        "spin:postgres/postgres.connection": crate::postgres::connection::PostgresConnection,
        "spin:postgres/postgres.connection-builder": crate::postgres::connection::PostgresBuilder,
    },
});
