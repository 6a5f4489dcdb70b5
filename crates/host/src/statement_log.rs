//! A list of the statements that components run, to count them by: a line each, when it is begun.
//!
//! ```text
//! 7 1764028800123456 sqlite UPDATE lease SET expires = $1 WHERE holder = $2 RETURNING resource, slot
//! ```
//!
//! is the instance's number, microseconds since the Unix epoch, the interface, and the statement without its
//! parameters, which may be secret.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// The list; nothing where none is asked for.
#[derive(Clone, Default)]
pub(crate) struct StatementLog(Option<Arc<Inner>>);

struct Inner {
    file: Mutex<File>,
    instances: AtomicU64,
}

/// The list, as one instance writes it.
#[derive(Default)]
pub(crate) struct Writer {
    log: StatementLog,
    instance: u64,
}

impl StatementLog {
    /// A list in the file at `path`, which is emptied first.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Some(Arc::new(Inner { file: Mutex::new(file), instances: AtomicU64::new(0) }))))
    }

    /// The list for a new instance.
    pub(crate) fn writer(&self) -> Writer {
        let instance = self.0.as_ref().map_or(0, |inner| inner.instances.fetch_add(1, Ordering::Relaxed) + 1);
        Writer { log: self.clone(), instance }
    }
}

impl Writer {
    /// Adds a statement that is begun now.
    #[allow(clippy::disallowed_methods, reason = "a host has a clock")]
    pub(crate) fn add(&self, interface: &str, statement: &str) {
        let Some(inner) = &self.log.0 else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        let words: Vec<&str> = statement.split_whitespace().collect();
        let line = format!("{} {now} {interface} {}\n", self.instance, words.join(" "));
        // A list that can't be written is short, and the statement runs all the same.
        let _ = inner.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_with_their_instance() {
        let path = std::env::temp_dir().join(format!("z-image-statements-{}", std::process::id()));
        let log = StatementLog::create(&path).unwrap();
        let (first, second) = (log.writer(), log.writer());
        second.add("sqlite", "SELECT\n  1");
        first.add("postgres", "SELECT 2");
        StatementLog::default().writer().add("sqlite", "SELECT 3");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(4, ' ').collect()).collect();
        assert_eq!((lines[0][0], lines[0][2], lines[0][3]), ("2", "sqlite", "SELECT 1"));
        assert_eq!((lines[1][0], lines[1][2], lines[1][3]), ("1", "postgres", "SELECT 2"));
        assert!(lines[0][1].parse::<u64>().unwrap() > 1_700_000_000_000_000 && lines.len() == 2);
        std::fs::remove_file(path).unwrap();
    }
}
