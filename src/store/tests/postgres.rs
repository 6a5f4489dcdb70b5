//! The statements on a real PostgreSQL, which is given them on its standard input: in its single-user mode, without a
//! client.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::*;
use crate::hex::hex;
use crate::store::statements::Sample;

/// User that runs the server, `nobody`, where the tests run as root, which PostgreSQL refuses.
const NOBODY: u32 = 65534;
/// Fills all tables with 20,000 rows each, few of which have the same in common.
const FILL: &str = r"DO $$ DECLARE one record; BEGIN FOR one IN SELECT table_name, string_agg(CASE
    WHEN data_type IN ('bigint', 'double precision') THEN 'n'
    WHEN data_type = 'bytea' THEN quote_literal('\x00') || '::bytea'
    WHEN column_name IN ('id', 'key', 'caller') THEN 'md5(n::text)' ELSE 'md5((n % 1000)::text)' END,
    ', ' ORDER BY ordinal_position) AS list FROM information_schema.columns WHERE table_schema = 'public'
    GROUP BY table_name LOOP EXECUTE format(
    'INSERT INTO %I SELECT %s FROM generate_series(1, 20000) AS n ON CONFLICT DO NOTHING', one.table_name, one.list);
    END LOOP; END $$";
/// Most tasks have ended.
const END_TASKS: &str = "UPDATE task SET work = CASE WHEN created % 100 = 0 THEN 2 ELSE 0 END, \
                         holder = CASE WHEN created % 200 = 0 THEN holder ELSE '' END";
/// Plans are made for the parameters at hand, as they are for a statement that is prepared for one call.
const SETTING: &str = "SET plan_cache_mode = force_custom_plan";

/// Any type: what isn't there is sent as every type.
const ANY: &str = "";

struct Server {
    programs: PathBuf,
    folder: PathBuf,
}

impl Server {
    fn new(programs: PathBuf) -> Self {
        let folder = std::env::temp_dir().join(format!("z-image-statements-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        if fs::metadata(&folder).unwrap().uid() == 0 {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self { programs, folder };
        let made = server.run(&["initdb", "--username=postgres", "--locale=C", "--no-sync", "--pgdata=data"], "");
        assert!(made.status.success(), "{made:?}");
        server
    }

    /// Runs commands, one a line.
    fn run(&self, program: &[&str], input: &str) -> Output {
        let mut command = Command::new(self.programs.join(program[0]));
        command.args(&program[1..]).current_dir(&self.folder);
        if fs::metadata(&self.folder).unwrap().uid() == NOBODY {
            command.uid(NOBODY).gid(NOBODY);
        }
        fs::write(self.folder.join("input"), input).unwrap();
        let input = fs::File::open(self.folder.join("input")).unwrap();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The statements that PostgreSQL gets.
fn samples() -> impl Iterator<Item = (String, Sample)> {
    let meant = statements::samples().into_iter().filter(|(_, statement, _)| !statement.0.starts_with("PRAGMA"));
    meant.enumerate().map(|(number, sample)| (format!("s{number}_{}", sample.0.to_lowercase()), sample))
}

/// The type that the parameter of a value must have, as the host sends it.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => ANY,
        Value::Integer(_) => "bigint",
        Value::Real(_) => "\"double precision\"",
        Value::Text(_) => "text",
        Value::Blob(_) => "bytea",
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(bytes) => format!("'\\x{}'", hex(bytes)),
    }
}

/// The values of the output's rows.
fn values(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.split_once(" = \"")?.1.rsplit_once("\"\t(")).map(|(value, _)| value).collect()
}

#[test]
fn postgres_takes_every_statement_and_finds_its_rows_by_an_index() {
    #[allow(clippy::disallowed_methods, reason = "the tests' runner says where the server is")]
    let Some(programs) = std::env::var_os("POSTGRES_BIN") else {
        eprintln!("POSTGRES_BIN names no folder of a PostgreSQL server's programs: its plans are not looked at");
        return;
    };
    let server = Server::new(Path::new(&programs).to_owned());
    let mut input: Vec<String> = schema::statements(Dialect::Postgres, 1).collect();
    input.push(FILL.replace('\n', " "));
    input.extend([END_TASKS, "ANALYZE", SETTING].map(str::to_owned));
    let mut types = Vec::new();
    for (name, (_, statement, parameters)) in samples() {
        let bound = statement.bind(Dialect::Postgres, parameters).unwrap_or_else(|error| panic!("{name}: {error}"));
        let literals: Vec<String> = bound.parameters.iter().map(literal).collect();
        let execute = if literals.is_empty() { String::new() } else { format!("({})", literals.join(", ")) };
        input.push(format!("SELECT 'statement {name}' AS mark"));
        input.push(format!("PREPARE {name} AS {}", bound.sql));
        input.push(format!("EXPLAIN (COSTS OFF) EXECUTE {name}{execute}"));
        input.push(format!(
            "SELECT 'types ' || parameter_types::text FROM pg_prepared_statements WHERE name = '{name}'"
        ));
        types.push(bound.parameters.iter().map(type_of).collect::<Vec<_>>());
    }
    let output = server.run(&["postgres", "--single", "-D", "data", "postgres"], &(input.join("\n") + "\n"));
    let (printed, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !log.contains("ERROR"), "{log}");

    let printed = values(&printed);
    let plans: Vec<&[&str]> = printed.split(|value| value.starts_with("statement ")).skip(1).collect();
    assert_eq!(plans.len(), types.len());
    for (((name, _), plan), types) in samples().zip(plans).zip(types) {
        let (inferred, plan) = plan.split_last().unwrap();
        let inferred = inferred.trim_start_matches("types {").trim_end_matches('}');
        let inferred: Vec<&str> = inferred.split(',').filter(|name| !name.is_empty()).collect();
        let fits = inferred.len() == types.len()
            && inferred.iter().zip(&types).all(|(inferred, sent)| sent == inferred || *sent == ANY);
        assert!(fits, "{name}: each parameter must have the type of what is sent: {inferred:?}, not {types:?}");
        assert!(!plan.is_empty(), "{name}");
        for (at, step) in plan.iter().enumerate() {
            assert!(!step.contains("Seq Scan"), "{name}: {plan:#?}");
            // An index may be read from its beginning, but not to its end.
            let mut details = plan[at + 1..].iter().take_while(|line| !line.contains("->"));
            let is_bounded = details.any(|line| line.contains("Index Cond"))
                || plan[..at].iter().any(|above| above.contains("Limit"));
            assert!(
                is_bounded || !["Index Scan", "Index Only Scan"].iter().any(|scan| step.contains(scan)),
                "{name}: {plan:#?}"
            );
        }
    }
}
