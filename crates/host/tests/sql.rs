//! SQL databases, as a component sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and keeps its own time"
)]

mod harness;

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::Host;
use harness::postgres::{PASSWORD, Postgres};

impl Host {
    /// Has the component run a script, and returns a line for each of its lines.
    fn script(&self, path: &str, lines: &[&str]) -> Vec<String> {
        let lines: Vec<_> = self.post(path, &lines.join("\n")).lines().map(str::to_owned).collect();
        lines
    }

    fn sqlite(&self, lines: &[&str]) -> Vec<String> {
        let answers = self.script("/guest/sqlite", &[&["open\tdefault"], lines].concat());
        assert_eq!(answers[0], "opened");
        answers[1..].to_vec()
    }

    fn postgres(&self, server: &Postgres, lines: &[&str]) -> Vec<String> {
        let answers = self.script("/guest/postgres", &[&[format!("open\t{}", server.url()).as_str()], lines].concat());
        assert_eq!(answers[0], "opened", "{answers:?}");
        answers[1..].to_vec()
    }
}

const FIVE_HUNDRED: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i FROM n";

#[test]
fn sqlite_values_of_each_type_go_in_and_come_back() {
    let host = Host::start("", &[]);
    let answers = host.sqlite(&[
        "run\tCREATE TABLE t (k TEXT PRIMARY KEY, i INTEGER, r REAL, b BLOB, n TEXT)",
        "run\tINSERT INTO t VALUES ($1, $2, $3, $4, $5)\ttext:a\tinteger:-9007199254740993\treal:1.5\tblob:xyz\tnull:",
        "rowid",
        "run\tSELECT * FROM t",
        // Parameters stand in the order in which they first appear, whatever their numbers.
        "run\tSELECT $2 AS x, $1 AS y, $2 AS z\ttext:first\ttext:second",
        "run\tINSERT INTO t (k, i) VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET i = t.i + 1 RETURNING k, i\ttext:a",
        "run\tUPDATE t SET r = 2.5 WHERE k = $1 AND i < 0 RETURNING r\ttext:a",
        "changes",
        "run\tSELECT missing",
        "run\tINSERT INTO t (k) VALUES ($1)\ttext:a",
        "run\tSELECT $1",
        "sync\tSELECT k, b FROM t WHERE k = $1\ttext:a",
        "sync\tINSERT INTO t (k) VALUES ($1)\ttext:b",
    ]);
    let expected = [
        " []",
        " []",
        "1",
        "k,i,r,b,n [[Value::Text(\"a\"), Value::Integer(-9007199254740993), Value::Real(1.5), \
         Value::Blob([120, 121, 122]), Value::Null]]",
        r#"x,y,z [[Value::Text("first"), Value::Text("second"), Value::Text("first")]]"#,
        r#"k,i [[Value::Text("a"), Value::Integer(-9007199254740992)]]"#,
        "r [[Value::Real(2.5)]]",
        "1",
        r#"Error::Io("no such column: missing in SELECT missing at offset 7")"#,
        r#"Error::Io("UNIQUE constraint failed: t.k")"#,
        r#"Error::Io("Wrong number of parameters passed to query. Got 0, needed 1")"#,
        r#"Ok((["k", "b"], [[Value::Text("a"), Value::Blob([120, 121, 122])]])) 0 0"#,
        "Ok(([], [])) 1 2",
    ];
    assert_eq!(answers, expected);
    assert!(host.folder.join(".spin/sqlite_db.db").exists());
}

#[test]
fn a_half_read_sqlite_result_holds_its_connection() {
    let host = Host::start("", &[]);
    let half = format!("half\t{FIVE_HUNDRED}");
    let answers = host.sqlite(&[
        &half,
        "wait\t300\tSELECT 1",
        "more",
        "wait\t5000\tSELECT 2 AS two",
        &half,
        "wait\t300\tSELECT 3",
        "drop",
        "wait\t5000\tSELECT 4 AS four",
        // So few rows fit into the channel, and hold nothing up.
        "half\tVALUES (1), (2), (3)",
        "wait\t5000\tSELECT 5 AS five",
    ]);
    assert_eq!(answers[1], "waits");
    assert!(answers[2].contains("Integer(2)") && answers[2].contains("Integer(500)"), "{}", answers[2]);
    assert_eq!(answers[3], "two [[Value::Integer(2)]]");
    assert_eq!(answers[5], "waits");
    assert_eq!(answers[7], "four [[Value::Integer(4)]]");
    assert_eq!(answers[9], "five [[Value::Integer(5)]]");
    // Nobody else is held up, and neither is the end of an instance that leaves a result half read.
    assert_eq!(host.sqlite(&[&half])[0], "[Value::Integer(1)]");
    assert_eq!(host.sqlite(&["run\tSELECT 6 AS six"])[0], "six [[Value::Integer(6)]]");
    host.signal("-TERM");
    let begun = Instant::now();
    let mut host = host;
    assert!(host.process.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(8), "a half-read result held the host up");
}

#[test]
fn a_sqlite_statement_without_an_end_does_not_keep_the_host_from_stopping() {
    let mut host = Host::start("", &[]);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    assert_eq!(host.sqlite(&[&format!("wait\t200\t{endless}")]), ["waits"]);
    let begun = Instant::now();
    host.signal("-TERM");
    assert!(host.process.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_statement_that_gives_up_waiting_for_its_connection_is_not_run() {
    let host = Host::start("", &[]);
    let half = format!("half\t{FIVE_HUNDRED}");
    let answers = host.sqlite(&[
        "run\tCREATE TABLE t (i INTEGER)",
        &half,
        "wait\t300\tINSERT INTO t VALUES (1)",
        "drop",
        "run\tSELECT count(*) AS rows FROM t",
    ]);
    assert_eq!(answers[2], "waits");
    assert_eq!(answers[4], "rows [[Value::Integer(0)]]");
}

#[test]
fn sqlite_connections_write_side_by_side() {
    let host = Host::start("", &[]);
    host.sqlite(&["run\tPRAGMA journal_mode = WAL", "run\tCREATE TABLE t (i INTEGER)"]);
    let writes: Vec<_> = (0..50).map(|number| format!("run\tINSERT INTO t VALUES ({number}) RETURNING i")).collect();
    thread::scope(|scope| {
        let write = || {
            let lines: Vec<_> = writes.iter().map(String::as_str).collect();
            for (number, answers) in host.sqlite(&lines).iter().enumerate() {
                assert_eq!(answers, &format!("i [[Value::Integer({number})]]"));
            }
        };
        for _ in 0..8 {
            scope.spawn(write);
        }
    });
    let counted = host.sqlite(&["run\tSELECT count(*) AS rows FROM t"]);
    assert_eq!(counted, ["rows [[Value::Integer(400)]]"]);
}

#[test]
fn a_sqlite_writer_waits_five_seconds_for_another() {
    let host = Host::start("", &[]);
    host.sqlite(&["run\tCREATE TABLE t (i INTEGER)"]);
    // The first connection's transaction ends with its instance's use of it, after 8 s.
    thread::scope(|scope| {
        scope.spawn(|| {
            host.sqlite(&[
                "run\tBEGIN IMMEDIATE",
                "run\tINSERT INTO t VALUES (1)",
                &format!("half\t{FIVE_HUNDRED}"),
                "wait\t8000\tSELECT 1",
            ])
        });
        thread::sleep(Duration::from_secs(1));
        let begun = Instant::now();
        assert_eq!(host.sqlite(&["run\tINSERT INTO t VALUES (2)"]), [r#"Error::Io("database is locked")"#]);
        assert!((4..7).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    });
    // What wasn't committed is gone.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(host.sqlite(&["run\tSELECT count(*) AS rows FROM t"]), ["rows [[Value::Integer(0)]]"]);
}

#[test]
fn a_sqlite_file_keeps_its_journal_mode_and_outlives_the_host() {
    let host = Host::start("", &[]);
    let wal = "journal_mode [[Value::Text(\"wal\")]]";
    let answers = host.sqlite(&["run\tPRAGMA journal_mode = WAL", "run\tCREATE TABLE t AS SELECT 7 AS seven"]);
    assert_eq!(answers[0], wal);
    let folder = host.folder.clone();
    host.signal("-KILL");
    let mut ended = host;
    ended.process.wait().unwrap();
    let again = Host::in_folder(folder, &[]);
    let answers = again.sqlite(&["run\tPRAGMA journal_mode", "run\tSELECT * FROM t"]);
    assert_eq!(answers, [wal, "seven [[Value::Integer(7)]]"]);
}

#[test]
fn sqlite_keeps_to_the_databases_of_the_manifest() {
    let host = Host::start("", &[]);
    assert_eq!(host.script("/guest/sqlite", &["open\tother"]), ["Error::AccessDenied"]);
    let elsewhere = host.folder.join("elsewhere.db");
    let answers = host.sqlite(&[
        &format!("run\tATTACH '{}' AS other", elsewhere.display()),
        "run\tATTACH ':memory:' AS other",
        "run\tVACUUM INTO ':memory:'",
        "many",
    ]);
    assert_eq!(answers[0], r#"Error::Io("not authorized")"#);
    assert_eq!(answers[1], " []");
    assert!(!elsewhere.exists());
    assert_eq!(answers[3], r#"256 Err(Error::Io("too many connections opened"))"#);
}

#[test]
fn sqlite_databases_lie_where_the_runtime_configuration_says() {
    let host = Host::start("", &[]);
    let (folder, manifest) = (host.folder.clone(), host.folder.join("spin.toml"));
    let start = |config: String| {
        let file = folder.join("runtime-config.toml");
        fs::write(&file, config).unwrap();
        let mut host = Command::new(env!("CARGO_BIN_EXE_z-image-host"));
        host.args(["--listen", "127.0.0.1:0", "--manifest"]).arg(&manifest).arg("--runtime-config-file").arg(file);
        host
    };
    for (config, says) in [
        ("[sqlite_database.default]\ntype = \"libsql\"\nurl = \"http://x\"\ntoken = \"secret-token\"\n", "libsql"),
        ("[sqlite_database.default]\ntype = \"other\"\ntoken = \"secret-token\"\n", "unknown variant"),
    ] {
        let output = start(config.to_owned()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(says) && !said.contains("secret-token"), "{said}");
    }
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("sqlite_databases = [\"default\"]", "sqlite_databases = [\"default\", \"b\"]"))
        .unwrap();
    let said = String::from_utf8(start(String::new()).output().unwrap().stderr).unwrap();
    assert!(said.contains("`guest` uses the SQLite database `b`"), "{said}");
    drop(host);

    fs::create_dir_all(&folder).unwrap();
    let manifest = text.replace("sqlite_databases = [\"default\"]", "sqlite_databases = [\"default\", \"b\"]");
    fs::write(folder.join("spin.toml"), manifest).unwrap();
    let config = folder.join("runtime-config.toml");
    let path = folder.join("deep/er.db");
    fs::write(
        &config,
        format!("[sqlite_database.default]\ntype = \"spin\"\npath = {path:?}\n[sqlite_database.b]\ntype = \"spin\"\n"),
    )
    .unwrap();
    let host = Host::in_folder(folder, &["--runtime-config-file", config.to_str().unwrap()]);
    host.sqlite(&["run\tCREATE TABLE t (i INTEGER)"]);
    assert!(path.exists() && !host.folder.join(".spin/sqlite_db.db").exists());
    // In memory, each connection has a database of its own.
    let answers = host
        .script("/guest/sqlite", &["open\tb", "run\tCREATE TABLE t (i INTEGER)", "open\tb", "run\tSELECT * FROM t"]);
    assert_eq!(answers[1], " []");
    assert!(answers[3].contains("no such table: t"), "{answers:?}");
}

#[test]
fn postgres_values_of_each_type_go_in_and_come_back() {
    let server = Postgres::start();
    let host = Host::start(&server.allowed(), &[]);
    let answers = host.postgres(
        &server,
        &[
            "execute\tCREATE TABLE t (k TEXT PRIMARY KEY, b BOOL, c \"char\", i2 SMALLINT, i4 INT, i8 BIGINT, f4 REAL, \
             f8 DOUBLE PRECISION, v VARCHAR(9), by BYTEA, d DATE)",
            "execute\tINSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)\ttext:a\tbool:true\tchar:65\t\
             int2:-2\tint4:4\tint8:9007199254740993\tfloat4:1.5\tfloat8:2.5\ttext:v\tbytea:xyz",
            "query\tSELECT k, b, i2, i4, i8, f4, f8, v, by, d FROM t WHERE k = $1\ttext:a",
            "execute\tINSERT INTO t VALUES ('n', $1, $2, $3, $4, $5, $6, $7, $8, $9)\t\
             null:\tnull:\tnull:\tnull:\tnull:\tnull:\tnull:\tnull:\tnull:",
            "query\tSELECT b, i8, v, by FROM t WHERE k = 'n'",
            "query\tINSERT INTO t (k, i8) VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET i8 = t.i8 + 1 \
             RETURNING k, i8\ttext:a",
            "execute\tUPDATE t SET i4 = 5 WHERE i4 = $1\tint4:9",
            "query\tSELECT k FROM t WHERE k = 'none'",
            "query\tSELECT DATE '2000-01-02' AS d, c FROM t WHERE k = 'a'",
            "execute\tINSERT INTO t (k) VALUES ($1)\ttext:a",
            "query\tSELECT missing",
            "query\tSELECT $1::bigint\tint4:1",
            "query\tSELECT $1::uuid\tuuid:x",
            "execute\tSELECT $1::uuid\tuuid:x",
            "query\tSELECT 1 / (i - 3) AS x FROM generate_series(1, 9) AS i",
        ],
    );
    assert_eq!(answers[0], "Ok(0)");
    assert_eq!(answers[1], "Ok(1)");
    assert_eq!(
        answers[2],
        "k:DbDataType::Str,b:DbDataType::Boolean,i2:DbDataType::Int16,i4:DbDataType::Int32,i8:DbDataType::Int64,\
         f4:DbDataType::Floating32,f8:DbDataType::Floating64,v:DbDataType::Str,by:DbDataType::Binary,\
         d:DbDataType::Other(\"date\") \
         [[DbValue::Str(\"a\"), DbValue::Boolean(true), DbValue::Int16(-2), DbValue::Int32(4), \
         DbValue::Int64(9007199254740993), DbValue::Floating32(1.5), DbValue::Floating64(2.5), DbValue::Str(\"v\"), \
         DbValue::Binary([120, 121, 122]), DbValue::DbNull]]"
    );
    assert_eq!(answers[3], "Ok(1)");
    assert!(
        answers[4].ends_with("[[DbValue::DbNull, DbValue::DbNull, DbValue::DbNull, DbValue::DbNull]]"),
        "{}",
        answers[4]
    );
    assert!(answers[5].ends_with("[[DbValue::Str(\"a\"), DbValue::Int64(9007199254740994)]]"), "{}", answers[5]);
    assert_eq!(answers[6], "Ok(0)");
    assert_eq!(answers[7], " []", "no row, no columns");
    assert!(
        answers[8].ends_with("[[DbValue::Unsupported([0, 0, 0, 1]), DbValue::Unsupported([65])]]"),
        "{}",
        answers[8]
    );
    for (answers, parts) in [
        (
            &answers[9],
            &["code: \"23505\"", "duplicate key value", "(\"constraint\", \"t_pkey\")", "severity: \"ERROR\""][..],
        ),
        (&answers[10], &["refused", "QueryFailed", "code: \"42703\""]),
        (&answers[11], &["QueryFailed", "Text(\"error serializing parameter 0: cannot convert"]),
        (&answers[12], &["BadParameter", "$1"]),
        (&answers[13], &["ValueConversionFailed", "$1"]),
        // It fails after some rows.
        (&answers[14], &["QueryFailed", "22012"]),
    ] {
        for part in parts {
            assert!(answers.contains(part), "{part} is not in {answers}");
        }
    }
    let sync = format!("sync\t{}\tSELECT $1::int\tint4:7", server.url());
    assert_eq!(host.script("/guest/postgres", &[&sync]), ["Ok([[DbValue::Int32(7)]]) Ok(1)"]);
}

#[test]
fn postgres_is_reached_where_the_manifest_allows_it_and_no_secret_is_told() {
    let server = Postgres::start();
    let host = Host::start("\"postgres://127.0.0.1:1\", \"http://127.0.0.1:*\"", &[]);
    let url = server.url();
    let open = |host: &Host, address: &str| host.script("/guest/postgres", &[&format!("open\t{address}")]).remove(0);
    for address in [
        url.clone(),
        format!("host=127.0.0.1 port={} user=postgres password={PASSWORD}", server.port),
        format!("host=127.0.0.1 hostaddr=127.0.0.1 port={} user=postgres password={PASSWORD}", server.port),
    ] {
        let answers = open(&host, &address);
        let why = format!("ConnectionFailed(\"address postgres://127.0.0.1:{} is not permitted\")", server.port);
        assert!(answers.contains(&why), "{answers}");
    }
    host.logs(&format!("guest: refused to connect: address postgres://127.0.0.1:{} is not permitted", server.port));
    let built = host.script("/guest/postgres", &[&format!("root\t{url}\tno certificate")]).remove(0);
    assert!(built.contains("invalid root certificate"), "{built}");

    let host = Host::start("\"{{ host }}\"", &["--variable", &format!("host=postgres://127.0.0.1:{}", server.port)]);
    assert_eq!(open(&host, &url), "opened");
    let required = open(&host, &format!("{url}?sslmode=require"));
    assert!(required.contains("ConnectionFailed") && required.contains("TLS"), "{required}");
    assert_eq!(open(&host, &format!("{url}?sslmode=disable")), "opened");
    for wrong in [
        url.replace(PASSWORD, "another-secret"),
        url.replace("postgres://", "postgres:/"),
        format!("password={PASSWORD}"),
        format!("{PASSWORD}=1"),
    ] {
        let answers = open(&host, &wrong);
        assert!(answers.contains("ConnectionFailed"), "{answers}");
        assert!(!answers.contains(PASSWORD) && !answers.contains("another-secret"), "{answers}");
    }
    let log = host.log.lock().unwrap().clone();
    assert!(!log.contains(PASSWORD) && !log.contains("another-secret"), "{log}");
}

#[test]
fn postgres_connections_are_pooled_and_outlive_the_server() {
    let mut server = Postgres::start();
    let host = Host::start(&server.allowed(), &[]);
    let backend = "query\tSELECT pg_backend_pid() AS pid";
    let first = host.postgres(&server, &["execute\tSET application_name = 'mine'", backend, "close"]);
    let again = host.postgres(&server, &[backend, "query\tSHOW application_name"]);
    assert_eq!(first[1], again[0], "the connection is used again");
    assert!(!again[1].contains("mine"), "what a session had set is cleaned: {}", again[1]);

    // One connection while the server goes away, and the pool's idle ones.
    host.postgres(&server, &["execute\tCREATE TABLE t (i INT)"]);
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            host.postgres(&server, &["wait\t20000\tSELECT pg_sleep(10)", "execute\tINSERT INTO t VALUES (1)"])
        });
        thread::sleep(Duration::from_millis(500));
        let others = "pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        host.postgres(&server, &[&format!("execute\tSELECT pg_terminate_backend(pid) FROM {others}")]);
        let answers = waits.join().unwrap();
        assert!(answers[0].contains("QueryFailed") && answers[0].contains("57P01"), "{answers:?}");
        assert!(answers[1].contains("QueryFailed") && answers[1].contains("closed"), "{answers:?}");
    });
    server.restart();
    for _ in 0..3 {
        assert_eq!(host.postgres(&server, &["execute\tINSERT INTO t VALUES (2)"]), ["Ok(1)"]);
    }

    // It isn't there at all.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let host = Host::start(&format!("\"postgres://{nobody}\""), &[]);
    let answers = host.script("/guest/postgres", &[&format!("open\tpostgres://u:{PASSWORD}@{nobody}/d")]);
    assert!(answers[0].contains("ConnectionFailed") && answers[0].contains("refused"), "{answers:?}");
}

#[test]
fn a_sixty_fifth_postgres_connection_waits() {
    let server = Postgres::start();
    let host = Host::start(&server.allowed(), &[]);
    let many = format!("many\t70\t{}", server.url());
    assert_eq!(host.script("/guest/postgres", &[&many]), ["64"]);
    assert_eq!(host.postgres(&server, &["execute\tSELECT 1"]), ["Ok(1)"], "those of a request that ended are free");
    // Those of an instance are free when it has ended, however it ends.
    for end in ["idle", "trap"] {
        let leak = format!("leak\t64\t{}", server.url());
        assert_eq!(host.script("/guest/postgres", &[&leak]), ["64"]);
        match end {
            "trap" => assert_eq!(host.get("/guest/trap").status, 500),
            _ => thread::sleep(Duration::from_millis(1500)),
        }
        assert_eq!(host.script("/guest/postgres", &[&many]), ["64"], "{end}");
    }
}

#[test]
fn a_half_read_postgres_result_holds_its_connection() {
    let server = Postgres::start();
    let host = Host::start(&server.allowed(), &[]);
    // More than the buffers on the way hold.
    let half = "half\tSELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    let answers = host.postgres(
        &server,
        &[half, "wait\t500\tSELECT 1", "more", "wait\t5000\tSELECT 2", half, "drop", "wait\t5000\tSELECT 3"],
    );
    assert_eq!(answers[1], "waits");
    assert_eq!(answers[2], "Ok(99999)");
    assert!(answers[3].ends_with("[[DbValue::Int32(2)]]"), "{}", answers[3]);
    assert!(answers[6].ends_with("[[DbValue::Int32(3)]]"), "{}", answers[6]);
}
