//! Supervisor of tasks in an instance.
//!
//! A task is claimed when it is submitted, when another one ends, and by the instance that [watches](super::watch),
//! always by the statement for the next task of a model. One statement a second checks all running tasks of the
//! instance for cancellation and takeover; every third also renews their leases.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::config::TaskConfig;
use super::feed::Feed;
use super::image::TaskStatus;
use super::record::TaskRecord;
use super::store::{NewTaskRow, NextHolder, RowEnd, RunnerToken, TaskStore};
use super::watch_state::WatchState;
use crate::catalog::{Catalog, Model};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::history::{self, History};
use crate::media::keyring::Keyring;
use crate::media::link::Links;
use crate::media::transcode::Converter;
use crate::observe::metrics::family::TASKS_ENDED;
use crate::observe::metrics::registry::Metrics;
use crate::pipeline::{EventWatch, Pipeline};
use crate::platform::log::{Level, Log, LogRecord};
use crate::platform::{Host, StoreError, random_bytes};
use crate::store::id::TimeId;
use crate::store::lease::Leases;
use crate::store::{Store, milliseconds};

/// Maximum number of running tasks of an instance.
const AT_ONCE: usize = 32;

/// Supervisor of tasks in an instance.
pub struct TaskSupervisor {
    pub(super) host: Host,
    /// Rows of tasks.
    pub store: TaskStore,
    pub(super) leases: Rc<Leases>,
    pub(super) dispatcher: Rc<Dispatcher>,
    converter: Converter,
    pub(super) catalog: Catalog,
    /// Configuration of tasks.
    pub config: TaskConfig,
    pub(super) keyring: Rc<Keyring>,
    pub(super) history: Rc<History>,
    max_image_bytes: usize,
    pub(super) reveal_spaces: bool,
    pub(super) metrics: Rc<Metrics>,
    link_ttl: Duration,
    log: Log,
    pub(super) running: RefCell<HashMap<TimeId, RunningTask>>,
    pub(super) is_ticking: Cell<bool>,
    pub(super) watch: WatchState,
    pub(super) feed: Feed,
}

/// A running task.
pub(super) struct RunningTask {
    pub(super) token: RunnerToken,
    /// Dropped where the task is lost, which stops its runner.
    pub(super) _lost: oneshot::Sender<()>,
}

/// Services of an instance that tasks need.
pub struct Tools {
    /// Database.
    pub store: Store,
    /// Leases of the instance.
    pub leases: Rc<Leases>,
    /// Dispatcher that makes images.
    pub dispatcher: Rc<Dispatcher>,
    /// Converter of images to the wanted format.
    pub converter: Converter,
    /// Models.
    pub catalog: Catalog,
    /// Keys that sign links.
    pub keyring: Rc<Keyring>,
    /// History of finished images.
    pub history: Rc<History>,
    /// Maximum size of an image, in bytes.
    pub max_image_bytes: usize,
    /// Lifetime of links.
    pub link_ttl: Duration,
    /// Shows names of Spaces to clients.
    pub reveal_spaces: bool,
    /// Figures of the service.
    pub metrics: Rc<Metrics>,
    /// Log of failures.
    pub log: Log,
}

impl TaskSupervisor {
    /// A supervisor of the tasks in the database of `tools`.
    pub fn new(config: TaskConfig, tools: Tools) -> Self {
        let Tools { store, leases, dispatcher, converter, catalog, keyring, history, .. } = tools;
        Self {
            host: Rc::clone(store.host()),
            store: TaskStore::new(&store),
            leases,
            dispatcher,
            converter,
            catalog,
            config,
            keyring,
            history,
            max_image_bytes: tools.max_image_bytes,
            reveal_spaces: tools.reveal_spaces,
            metrics: tools.metrics,
            link_ttl: tools.link_ttl,
            log: tools.log,
            running: RefCell::default(),
            is_ticking: Cell::default(),
            watch: WatchState::default(),
            feed: Feed::default(),
        }
    }

    /// Adds a task of `owner` to the queue of its model, and runs the next task there if possible.
    ///
    /// # Errors
    /// 429 where the owner has too many, 503 where the store fails.
    pub async fn submit(
        self: &Rc<Self>,
        id: &TimeId,
        owner: &str,
        model: &Model,
        record: &TaskRecord,
    ) -> Result<(), Error> {
        let (most, model) = (self.config.max_unfinished, queue(model));
        let row = NewTaskRow { id, owner, model, record, until: self.until(id), most };
        if !self.store.add(row).await.map_err(|error| Error::store_failed(&error))? {
            return Err(Error::too_many_tasks(usize::try_from(most).unwrap_or(usize::MAX)));
        }
        // The task is stored: from here on, some instance will run it.
        if !matches!(self.claim_next(model).await, Ok(true)) {
            self.look_soon();
        }
        Ok(())
    }

    /// Claims and runs the next task of a model, if possible. Returns false where there is none.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) async fn claim_next(self: &Rc<Self>, model: &str) -> Result<bool, StoreError> {
        if self.running.borrow().len() >= AT_ONCE {
            return Ok(false);
        }
        let slots = self.catalog.models().iter().find(|known| known.id == model);
        let slots = slots.map_or(1, |model| model.pool.iter().map(|member| member.slots).sum());
        let Some(claimed) = self.store.claim(model, slots).await? else { return Ok(false) };
        self.start(claimed);
        Ok(true)
    }

    /// Claims and runs a task with a due webhook. Returns false where there is none.
    ///
    /// # Errors
    /// Failures of the store.
    pub(super) async fn claim_delivery(self: &Rc<Self>) -> Result<bool, StoreError> {
        if self.running.borrow().len() >= AT_ONCE {
            return Ok(false);
        }
        let Some(claimed) = self.store.claim_delivery().await? else { return Ok(false) };
        self.start(claimed);
        Ok(true)
    }

    /// Changes of a task's row at its end: it stays while the history lists its images.
    pub(super) fn row_end(&self, id: &TimeId, record: &TaskRecord) -> RowEnd {
        let shown = if self.history.is_on() { record.shown() } else { 0 };
        let until = self.until(id);
        let listed = id.created().saturating_add(history::TTL);
        let expires = if shown == 0 { until } else { until.max(listed) };
        RowEnd { shown, expires: milliseconds(expires) }
    }

    /// End of the time in which a task can be read, since the Unix epoch.
    pub fn until(&self, id: &TimeId) -> Duration {
        id.created().saturating_add(self.config.ttl)
    }

    /// Wait of `pause`, the second half of it jitter.
    pub(super) fn later(&self, pause: Duration) -> NextHolder {
        let [lot] = random_bytes::<1>(&self.host);
        let pause = pause / 2 + pause / 2 * u32::from(lot) / 255;
        NextHolder::Wait(milliseconds(self.host.unix_time().saturating_add(pause)))
    }

    /// Pipeline of a task's images. Its links aren't shown, as each response signs fresh ones.
    pub(super) fn pipeline(&self, owner: &str, watch: EventWatch) -> Pipeline {
        Pipeline {
            dispatcher: Rc::clone(&self.dispatcher),
            converter: self.converter.clone(),
            max_image_bytes: self.max_image_bytes,
            reveal_spaces: self.reveal_spaces,
            links: Links { signer: None, base: Rc::from(""), expires: 0 },
            // A task keeps its images itself.
            kept: None,
            caller: Rc::from(owner),
            // It goes on when its request has long ended.
            trace: None,
            watch: Some(watch),
        }
    }

    /// Signed links for a response, below `base`.
    ///
    /// # Errors
    /// No database, without which there is nothing to lead to, or no secret for signatures.
    pub async fn links(&self, base: &str) -> Result<Links, Error> {
        if !self.store.store.is_on() {
            return Err(Error::store_failed(&StoreError::Off));
        }
        let signer = Some(self.keyring.signer().await?);
        let expires = self.host.unix_time().saturating_add(self.link_ttl).as_secs();
        Ok(Links { signer, base: base.into(), expires })
    }

    /// Counts a task that has ended.
    pub(super) fn note_end(&self, status: TaskStatus) {
        self.metrics.add(&TASKS_ENDED, &[("status", status.name())], 1.0);
    }

    pub(super) fn log_error(&self, id: &TimeId, error: &Error) {
        let detail = error.detail.as_deref().unwrap_or_default();
        self.log_line(id, &error.message, detail);
    }

    pub(super) fn log_line(&self, id: &TimeId, message: &str, detail: &str) {
        let detail = format!("task_{id}: {detail}");
        (self.log)(&LogRecord { detail: Some(&detail), ..LogRecord::new(Level::Warn, message) });
    }
}

/// Queue of a model's tasks: presets and choices share that of their model.
pub(super) fn queue(model: &Model) -> &str {
    let of_choice = || model.choice.as_ref().map(|choice| choice.of.as_str());
    model.preset_of.as_deref().or_else(of_choice).unwrap_or(&model.id)
}
