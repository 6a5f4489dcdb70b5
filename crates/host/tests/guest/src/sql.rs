//! Databases: each line of a request is a command, and gets a line of the answer. Tabs part a command, a statement and
//! its parameters, which begin with their type.

use futures::future::{Either, select};
use spin_sdk::wasip3::clocks::monotonic_clock::wait_for;
use spin_sdk::{pg, sqlite};

/// `open LABEL`, `run STATEMENT …`, `half STATEMENT` (reads one row), `more` (the rest of those), `drop` (without the
/// rest), `wait MILLISECONDS STATEMENT`, `changes`, `rowid`, `many N` (connections), `sync STATEMENT …`.
pub async fn sqlite(script: &str) -> String {
    let mut connection = None;
    let mut half = None;
    let mut answers = Vec::new();
    for line in script.lines() {
        let words: Vec<_> = line.split('\t').collect();
        let database = || connection.as_ref().unwrap();
        answers.push(match words[0] {
            "open" => match sqlite::Connection::open(words[1]).await {
                Ok(opened) => {
                    connection = Some(opened);
                    "opened".to_owned()
                }
                Err(error) => format!("{error:?}"),
            },
            "run" => run(database(), words[1], &words[2..]).await,
            "half" => {
                let mut result = sqlite::Connection::execute(database(), words[1], []).await.unwrap();
                let row = result.next().await.unwrap();
                half = Some(result);
                format!("{:?}", row.values)
            }
            "more" => {
                let rows = half.take().unwrap().collect().await;
                format!("{:?}", rows.map(|rows| rows.into_iter().map(|row| row.values).collect::<Vec<_>>()))
            }
            "drop" => {
                half = None;
                "dropped".to_owned()
            }
            "wait" => {
                let limit = Box::pin(wait_for(words[1].parse::<u64>().unwrap() * 1_000_000));
                match select(Box::pin(run(database(), words[2], &words[3..])), limit).await {
                    Either::Left((done, _)) => done,
                    Either::Right(_) => "waits".to_owned(),
                }
            }
            "changes" => database().changes().await.to_string(),
            "rowid" => database().last_insert_rowid().await.to_string(),
            "many" => {
                let mut opened = Vec::new();
                let error = loop {
                    match sqlite::Connection::open_default().await {
                        Ok(connection) if opened.len() < 1000 => opened.push(connection),
                        other => break other.map(drop),
                    }
                };
                format!("{} {error:?}", opened.len() + usize::from(connection.is_some()))
            }
            "sync" => {
                let database = sqlite::wit::sqlite::Connection::open("default").unwrap();
                let parameters: Vec<_> = words[2..].iter().copied().map(sqlite_value).collect();
                let result = database.execute(words[1], &parameters);
                let rows = |result: sqlite::wit::sqlite::QueryResult| {
                    (result.columns, result.rows.into_iter().map(|row| row.values).collect::<Vec<_>>())
                };
                let result = result.map(rows);
                format!("{result:?} {} {}", database.changes(), database.last_insert_rowid())
            }
            other => format!("no command {other}"),
        });
    }
    answers.join("\n")
}

async fn run(database: &sqlite::Connection, statement: &str, parameters: &[&str]) -> String {
    let result = match database.execute(statement, parameters.iter().copied().map(sqlite_value)).await {
        Ok(result) => result,
        Err(error) => return format!("refused {error:?}"),
    };
    let columns = result.columns().join(",");
    match result.collect().await {
        Ok(rows) => format!("{columns} {:?}", rows.into_iter().map(|row| row.values).collect::<Vec<_>>()),
        Err(error) => format!("{error:?}"),
    }
}

fn sqlite_value(word: &str) -> sqlite::Value {
    match word.split_once(':').unwrap() {
        ("integer", number) => sqlite::Value::Integer(number.parse().unwrap()),
        ("real", number) => sqlite::Value::Real(number.parse().unwrap()),
        ("text", text) => sqlite::Value::Text(text.to_owned()),
        ("blob", bytes) => sqlite::Value::Blob(bytes.as_bytes().to_vec()),
        _ => sqlite::Value::Null,
    }
}

/// `open ADDRESS`, `query STATEMENT …`, `execute STATEMENT …`, `half STATEMENT` (reads one row), `more` (the rest of
/// those), `drop` (without the rest), `wait MILLISECONDS STATEMENT …`, `close`, `many N ADDRESS` (opens as many at
/// once, or as many as it gets), `leak N ADDRESS` (and never closes them), `sync ADDRESS STATEMENT …`, `root ADDRESS
/// CERTIFICATE`.
pub async fn postgres(script: &str) -> String {
    let mut connection = None;
    let mut half = None;
    let mut answers = Vec::new();
    for line in script.lines() {
        let words: Vec<_> = line.split('\t').collect();
        let database = || connection.as_ref().unwrap();
        answers.push(match words[0] {
            "open" => match pg::Connection::open(words[1]).await {
                Ok(opened) => {
                    connection = Some(opened);
                    "opened".to_owned()
                }
                Err(error) => format!("{error:?}"),
            },
            "query" => query(database(), words[1], &words[2..]).await,
            "execute" => {
                let parameters: Vec<_> = words[2..].iter().copied().map(postgres_value).collect();
                format!("{:?}", pg::Connection::execute(database(), words[1], parameters).await)
            }
            "half" => {
                let mut result = pg::Connection::query(database(), words[1], []).await.unwrap();
                let row = result.next().await.unwrap();
                half = Some(result);
                format!("{:?}", &row[0])
            }
            "more" => format!("{:?}", half.take().unwrap().collect().await.map(|rows| rows.len())),
            "drop" => {
                half = None;
                "dropped".to_owned()
            }
            "wait" => {
                let limit = Box::pin(wait_for(words[1].parse::<u64>().unwrap() * 1_000_000));
                match select(Box::pin(query(database(), words[2], &words[3..])), limit).await {
                    Either::Left((done, _)) => done,
                    Either::Right(_) => "waits".to_owned(),
                }
            }
            "close" => {
                connection = None;
                "closed".to_owned()
            }
            "many" | "leak" => {
                let mut opened = Vec::new();
                for _ in 0..words[1].parse().unwrap() {
                    let limit = Box::pin(wait_for(3_000_000_000));
                    match select(Box::pin(pg::Connection::open(words[2])), limit).await {
                        Either::Left((Ok(connection), _)) => opened.push(connection),
                        Either::Left((Err(error), _)) => return format!("{error:?}"),
                        Either::Right(_) => break,
                    }
                }
                let count = opened.len();
                if words[0] == "leak" {
                    std::mem::forget(opened);
                }
                count.to_string()
            }
            "sync" => {
                let database = pg::wit::postgres::Connection::open(words[1]).unwrap();
                let parameters: Vec<_> = words[3..].iter().copied().map(postgres_value).collect();
                let done = database.query(words[2], &parameters);
                format!("{:?} {:?}", done.map(|rows| rows.rows), database.execute("SELECT 1", &[]))
            }
            "root" => {
                let options = pg::OpenOptions { ca_root: Some(pg::Certificate::Text(words[2].to_owned())) };
                format!("{:?}", pg::Connection::open_with_options(words[1], options).await.map(drop))
            }
            other => format!("no command {other}"),
        });
    }
    answers.join("\n")
}

async fn query(database: &pg::Connection, statement: &str, parameters: &[&str]) -> String {
    let parameters: Vec<_> = parameters.iter().copied().map(postgres_value).collect();
    let result = match database.query(statement, parameters).await {
        Ok(result) => result,
        Err(error) => return format!("refused {error:?}"),
    };
    let column = |column: &pg::Column| format!("{}:{:?}", column.name, column.data_type);
    let columns: Vec<_> = result.columns().iter().map(column).collect();
    let (_, rows, outcome) = result.into_inner();
    let rows = rows.collect().await;
    match outcome.await {
        Ok(()) => format!("{} {rows:?}", columns.join(",")),
        Err(error) => format!("{error:?}"),
    }
}

fn postgres_value(word: &str) -> pg::ParameterValue {
    use pg::ParameterValue as Value;
    match word.split_once(':').unwrap() {
        ("bool", value) => Value::Boolean(value.parse().unwrap()),
        ("char", number) => Value::Int8(number.parse().unwrap()),
        ("int2", number) => Value::Int16(number.parse().unwrap()),
        ("int4", number) => Value::Int32(number.parse().unwrap()),
        ("int8", number) => Value::Int64(number.parse().unwrap()),
        ("float4", number) => Value::Floating32(number.parse().unwrap()),
        ("float8", number) => Value::Floating64(number.parse().unwrap()),
        ("text", text) => Value::Str(text.to_owned()),
        ("bytea", bytes) => Value::Binary(bytes.as_bytes().to_vec()),
        ("uuid", text) => Value::Uuid(text.to_owned()),
        _ => Value::DbNull,
    }
}
