//! Tables of tasks.

/// `task`: a row for each task, kept for 30 days while the history lists its images.
///
/// - `id`: digits that begin with the time of creation, so that newer ids are greater.
/// - `until`: end of the time in which the task can be read; `expires`: expiry of the row.
/// - `model`: model whose Spaces make the images; for a preset, its base model.
/// - `priority`: 0 for high, 1 for normal, 2 for low; `turn`: place in the round robin between owners. Tasks of a model
///   run in the order of `priority`, `turn`, `id`.
/// - `prompt`: in lower case, for the search; `shown`: images that the history lists, bit i for image i.
/// - `work`: 2 for images, 1 for the webhook alone, 0 for none.
/// - `holder`: token of the runner, empty while the task waits; `lease`: expiry of the runner's lease.
/// - `due`: time before which a waiting task isn't claimed.
///
/// `task_file`: parts of input images, and of output images that Spaces have sent inline.
pub(super) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS task (id TEXT PRIMARY KEY, owner TEXT NOT NULL, created BIGINT NOT NULL, \
     until BIGINT NOT NULL, expires BIGINT NOT NULL, status TEXT NOT NULL, model TEXT NOT NULL, \
     priority BIGINT NOT NULL, turn BIGINT NOT NULL, prompt TEXT NOT NULL, shown BIGINT NOT NULL, \
     record TEXT NOT NULL, revision BIGINT NOT NULL, holder TEXT NOT NULL, lease BIGINT NOT NULL, \
     work BIGINT NOT NULL, due BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS task_by_owner ON task (owner, id)",
    "CREATE INDEX IF NOT EXISTS task_by_expiry ON task (expires)",
    "CREATE INDEX IF NOT EXISTS task_finished ON task (owner, id) WHERE work = 0",
    "CREATE INDEX IF NOT EXISTS task_shown ON task (owner, id) WHERE shown > 0",
    "CREATE INDEX IF NOT EXISTS task_open ON task (work, due) WHERE work > 0",
    "CREATE INDEX IF NOT EXISTS task_unfinished ON task (owner, model, priority, turn) WHERE work = 2",
    "CREATE INDEX IF NOT EXISTS task_waiting ON task (model, priority, turn, id, due) WHERE work = 2 AND holder = ''",
    "CREATE INDEX IF NOT EXISTS task_busy ON task (model, priority, turn) WHERE work = 2 AND holder <> ''",
    "CREATE INDEX IF NOT EXISTS task_by_lease ON task (lease) WHERE holder <> ''",
    "CREATE TABLE IF NOT EXISTS task_file (task TEXT NOT NULL, name TEXT NOT NULL, part BIGINT NOT NULL, \
     bytes BLOB NOT NULL, expires BIGINT NOT NULL, PRIMARY KEY (task, name, part))",
    "CREATE INDEX IF NOT EXISTS task_file_by_expiry ON task_file (expires)",
];
