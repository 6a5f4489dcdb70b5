//! The tasks that an instance works at.
//!
//! A task is taken when it is submitted, when another one ends, and by the instance that [watches](super::watch),
//! always with the one statement that looks for the next of a model. One statement in a second, for all tasks of the
//! instance, tells which of them have been cancelled or taken over; each third also renews their leases.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;

use super::config::TaskConfig;
use super::feed::Feed;
use super::record::TaskRecord;
use super::store::{NewTaskRow, NextHolder, RowEnd, RunnerToken, TaskStore};
use super::watch_state::WatchState;
use crate::catalog::{Catalog, Model};
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::history::{self, History};
use crate::idempotency::outcome::Outcome;
use crate::limits::jobs::Jobs;
use crate::media::keyring::Keyring;
use crate::media::link::Links;
use crate::openai::making::Workshop;
use crate::platform::{Outside, StoreError, random_bytes};
use crate::store::id::TimeId;
use crate::store::lease::Leases;
use crate::store::{Store, milliseconds};
use crate::warn_once::Log;

/// Tasks that an instance works at, at once.
const AT_ONCE: usize = 32;

/// Keeps tasks going.
pub struct TaskSupervisor {
    pub(super) host: Outside,
    /// The rows of tasks.
    pub store: TaskStore,
    pub(super) leases: Rc<Leases>,
    pub(super) dispatcher: Rc<Dispatcher>,
    pub(super) catalog: Catalog,
    /// What the operator has set.
    pub config: TaskConfig,
    pub(super) keyring: Rc<Keyring>,
    pub(super) history: Rc<History>,
    max_image_bytes: usize,
    pub(super) reveal_spaces: bool,
    link_ttl: Duration,
    log: Log,
    pub(super) running: RefCell<HashMap<TimeId, RunningTask>>,
    pub(super) is_ticking: Cell<bool>,
    pub(super) watch: WatchState,
    pub(super) feed: Feed,
}

/// A task that is worked at.
pub(super) struct RunningTask {
    pub(super) token: RunnerToken,
    /// Dropped, where somebody else has the task.
    pub(super) _lost: oneshot::Sender<()>,
}

/// Tools of an instance for its tasks.
pub struct Tools {
    /// The database.
    pub store: Store,
    /// The instance's leases.
    pub leases: Rc<Leases>,
    /// Makes images.
    pub dispatcher: Rc<Dispatcher>,
    /// The models.
    pub catalog: Catalog,
    /// Signs links.
    pub keyring: Rc<Keyring>,
    /// Lists what was made.
    pub history: Rc<History>,
    /// The largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// Time that links work.
    pub link_ttl: Duration,
    /// Whether clients are told which Space makes their images.
    pub reveal_spaces: bool,
    /// Is told what goes wrong.
    pub log: Log,
}

impl TaskSupervisor {
    /// A supervisor of the tasks in the store of `tools`.
    pub fn new(config: TaskConfig, tools: Tools) -> Self {
        let Tools { store, leases, dispatcher, catalog, keyring, history, .. } = tools;
        Self {
            host: Rc::clone(store.host()),
            store: TaskStore::new(&store),
            leases,
            dispatcher,
            catalog,
            config,
            keyring,
            history,
            max_image_bytes: tools.max_image_bytes,
            reveal_spaces: tools.reveal_spaces,
            link_ttl: tools.link_ttl,
            log: tools.log,
            running: RefCell::default(),
            is_ticking: Cell::default(),
            watch: WatchState::default(),
            feed: Feed::default(),
        }
    }

    /// Puts a task of `owner`'s into the queue of its model; works at the next one there, if there is room.
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
        // It is there: whatever happens now, somebody will find it.
        if !matches!(self.claim_next(model).await, Ok(true)) {
            self.look_soon();
        }
        Ok(())
    }

    /// Works at the next task of a model, if there is room for one.
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

    /// Tells the end of a task whose webhook is due.
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

    /// What a task's end says of its row: it stays as long as the history lists its images.
    pub(super) fn row_end(&self, id: &TimeId, record: &TaskRecord) -> RowEnd {
        let shown = if self.history.is_on() { record.shown() } else { 0 };
        let until = self.until(id);
        let listed = id.created().saturating_add(history::TTL);
        let expires = if shown == 0 { until } else { until.max(listed) };
        RowEnd { shown, expires: milliseconds(expires) }
    }

    /// End of the time in which a task can be asked for, since the Unix epoch.
    pub fn until(&self, id: &TimeId) -> Duration {
        id.created().saturating_add(self.config.ttl)
    }

    /// A time in the future, half of it for certain and half of it by chance.
    pub(super) fn later(&self, pause: Duration) -> NextHolder {
        let [lot] = random_bytes::<1>(&self.host);
        let pause = pause / 2 + pause / 2 * u32::from(lot) / 255;
        NextHolder::Wait(milliseconds(self.host.unix_time().saturating_add(pause)))
    }

    /// What makes the images of tasks: with links in it that nobody sees, as fresh ones are made for every answer.
    pub(super) fn workshop(&self, owner: &str) -> Workshop {
        Workshop {
            dispatcher: Rc::clone(&self.dispatcher),
            max_image_bytes: self.max_image_bytes,
            reveal_spaces: self.reveal_spaces,
            links: Links { signer: None, base: String::new(), expires: 0 },
            // What a key may have of tasks is counted otherwise.
            caller: Rc::from(owner),
            jobs: Jobs::unlimited().of(""),
            outcome: Outcome::default(),
            log: Rc::new(|_| {}),
        }
    }

    /// Links as they are made for an answer, below `base`.
    ///
    /// # Errors
    /// No secret to sign them with.
    pub async fn links(&self, base: &str) -> Result<Links, Error> {
        let signer = Some(self.keyring.signer().await?);
        let expires = self.host.unix_time().saturating_add(self.link_ttl).as_secs();
        Ok(Links { signer, base: base.to_owned(), expires })
    }

    pub(super) fn log_error(&self, id: &TimeId, error: &Error) {
        let detail = error.detail.as_deref().unwrap_or_default();
        self.log_line(id, &error.message, detail);
    }

    pub(super) fn log_line(&self, id: &TimeId, message: &str, detail: &str) {
        (self.log)(message, &format!("task_{id}: {detail}"));
    }
}

/// The queue that a model's tasks wait in: presets share the Spaces of the model that they are presets of.
pub(super) fn queue(model: &Model) -> &str {
    model.preset_of.as_deref().unwrap_or(&model.id)
}
