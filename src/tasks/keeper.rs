//! What an instance has to do for tasks beside the requests it answers: start them, take over what nobody works at any more, and delete what has
//! expired.
//!
//! It looks through the store when a request comes by, and while it works at a task, though not oftener than every [`BETWEEN_LOOKS`];
//! a look costs the list of keys, and a read for each unfinished task. So a task whose instance has died goes on as soon as anybody calls
//! the API, a timer on `/internal/tick` among them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::history::Ledger;
use super::lease::Token;
use super::name::Name;
use super::record::Record;
use super::runner::Run;
use super::store::{Held, IMAGES, OPEN, RECORDS, Shelf};
use super::{history, webhook};
use crate::catalog::Catalog;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::gradio::job::Receipt;
use crate::idempotency::outcome::Outcome;
use crate::limits::jobs::Jobs;
use crate::media::keyring::Keyring;
use crate::media::link::Links;
use crate::openai::making::Workshop;
use crate::platform::{Outside, StoreError, random_bytes};
use crate::warn_once::Log;

/// The time between two looks of one instance.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);
/// How many tasks one look takes over.
const TAKES_AT_ONCE: usize = 16;
/// How many keys one look deletes.
const DELETES_AT_ONCE: usize = 200;
/// How many finished tasks of a key are kept.
const KEPT_TASKS: usize = 1000;
/// For so long a mark may be without its record: the record is being written.
const SUBMISSION: Duration = Duration::from_secs(60);

/// What tasks are subject to.
#[derive(Clone, Debug)]
pub struct Terms {
    /// How long a task can be asked for.
    pub ttl: Duration,
    /// How many unfinished ones a key may have.
    pub most: usize,
    /// Where their ends are told; `None` where that isn't set up.
    pub webhooks: Option<webhook::Endpoint>,
}

/// Keeps tasks going.
pub struct Keeper {
    pub(super) outside: Outside,
    /// The store.
    pub shelf: Shelf,
    pub(super) dispatcher: Rc<Dispatcher>,
    pub(super) catalog: Catalog,
    /// What tasks are subject to.
    pub terms: Terms,
    pub(super) keyring: Rc<Keyring>,
    pub(super) ledger: Option<Rc<Ledger>>,
    max_image_bytes: usize,
    pub(super) reveal_spaces: bool,
    /// How long the links in a webhook's message work.
    link_ttl: Duration,
    log: Log,
    /// The tasks that this instance works at.
    running: RefCell<HashSet<Name>>,
    /// When it last looked.
    looked: Cell<Option<Duration>>,
}

/// What an instance has for its tasks.
pub struct Tools {
    /// Makes images.
    pub dispatcher: Rc<Dispatcher>,
    /// The models.
    pub catalog: Catalog,
    /// Signs links.
    pub keyring: Rc<Keyring>,
    /// Remembers images; none where nothing is to be remembered.
    pub ledger: Option<Rc<Ledger>>,
    /// The largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// How long links work.
    pub link_ttl: Duration,
    /// Whether clients are told which Space makes their images.
    pub reveal_spaces: bool,
    /// Is told what goes wrong.
    pub log: Log,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Tasks for which something is to be done.
    pub unfinished: usize,
    /// Those of them that nobody worked at, and that this instance goes on with.
    pub taken_over: usize,
    /// Keys of the store that were deleted: of tasks and images that have expired.
    pub deleted: usize,
}

impl Keeper {
    /// A keeper of the tasks in the store behind `outside`.
    pub fn new(outside: Outside, terms: Terms, tools: Tools) -> Self {
        let Tools { dispatcher, catalog, keyring, ledger, max_image_bytes, link_ttl, reveal_spaces, log } = tools;
        Self {
            shelf: Shelf::new(Rc::clone(&outside)),
            outside,
            dispatcher,
            catalog,
            terms,
            keyring,
            ledger,
            max_image_bytes,
            reveal_spaces,
            link_ttl,
            log,
            running: RefCell::default(),
            looked: Cell::default(),
        }
    }

    /// Works at a task that `token` holds, beside the present request.
    pub fn start(self: &Rc<Self>, name: Name, held: Held, token: Token) {
        let keeper = Rc::clone(self);
        self.running.borrow_mut().insert(name.clone());
        self.outside.spawn(Box::pin(async move {
            Run::new(Rc::clone(&keeper), name.clone(), held, token).work().await;
            keeper.running.borrow_mut().remove(&name);
            // There may be more than one look takes over.
            keeper.look_in_passing();
        }));
    }

    /// Does what is left to do for a task that was cancelled, beside the present request: remembers the images that were made before, cancels
    /// the jobs of a runner that is dead, and tells the end.
    pub fn wind_up(self: &Rc<Self>, name: Name, held: Held, token: Token, receipts: Vec<Receipt>) {
        let keeper = Rc::clone(self);
        self.outside.spawn(Box::pin(async move {
            keeper.cancel(receipts).await;
            let run = Run::new(keeper, name, held, token);
            run.remember().await;
            run.work().await;
        }));
    }

    /// Goes on with a task that nobody works at. Returns whether it was one.
    pub async fn take_over(self: &Rc<Self>, name: &Name) -> Result<bool, StoreError> {
        if self.running.borrow().contains(name) {
            return Ok(false);
        }
        let token = Token::new(&self.outside);
        let Some(held) = self.shelf.take(name, &token).await? else { return Ok(false) };
        self.start(name.clone(), held, token);
        Ok(true)
    }

    /// Whether a task that was just read is one that nobody works at.
    pub fn is_left_behind(&self, name: &Name, record: &Record) -> bool {
        record.wants_work() && record.is_free(self.outside.unix_time()) && !self.running.borrow().contains(name)
    }

    /// Looks through the store, beside the present request, if it is time to.
    pub fn look_in_passing(self: &Rc<Self>) {
        let now = self.outside.now();
        if self.looked.get().is_some_and(|last| now.saturating_sub(last) < BETWEEN_LOOKS) {
            return;
        }
        self.looked.set(Some(now));
        let keeper = Rc::clone(self);
        self.outside.spawn(Box::pin(async move {
            // A store that fails now will be looked through later.
            let _ = keeper.look().await;
        }));
    }

    /// Takes over what nobody works at, and deletes what has expired.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn look(self: &Rc<Self>) -> Result<Found, StoreError> {
        self.looked.set(Some(self.outside.now()));
        let keys = self.shelf.keys().await?;
        let mut open: Vec<Name> = keys.iter().filter_map(|key| Name::of_key(OPEN, key)).collect();
        let deleted = self.sweep(&keys, &open).await?;
        let mut found = Found { unfinished: open.len(), deleted, ..Found::default() };
        // Several instances that look at the same time begin at different places.
        let [lot] = random_bytes::<1>(&self.outside);
        let middle = if open.is_empty() { 0 } else { usize::from(lot) % open.len() };
        open.rotate_left(middle);
        let now = self.outside.unix_time();
        for name in open {
            if self.running.borrow().contains(&name) {
                continue;
            }
            let Some(held) = self.shelf.read(&name).await? else {
                if name.created().saturating_add(SUBMISSION) < now {
                    self.shelf.forget(&name, &keys).await?;
                }
                continue;
            };
            if !held.record.wants_work() {
                // Whoever ended it didn't come to this.
                self.shelf.close(&name, &held.record).await?;
                continue;
            }
            let may_be_taken = found.taken_over < TAKES_AT_ONCE && held.record.is_free(now);
            if may_be_taken && self.take_over(&name).await? {
                found.taken_over += 1;
            }
        }
        Ok(found)
    }

    /// Deletes what has expired, and the oldest of what is too much.
    async fn sweep(&self, keys: &[String], open: &[Name]) -> Result<usize, StoreError> {
        let now = self.outside.unix_time();
        let open: HashSet<&Name> = open.iter().collect();
        let mut kept: BTreeMap<String, Vec<Name>> = BTreeMap::new();
        let mut unwanted = Vec::new();
        for name in keys.iter().filter_map(|key| Name::of_key(RECORDS, key)) {
            if self.has_expired(&name) {
                unwanted.push(name);
            } else if !open.contains(&name) {
                kept.entry(name.owner().to_owned()).or_default().push(name);
            }
        }
        for names in kept.values_mut() {
            names.sort_unstable();
            let surplus = names.len().saturating_sub(KEPT_TASKS);
            unwanted.extend(names.drain(..surplus));
        }
        let mut deleted = 0;
        for name in unwanted.into_iter().take(DELETES_AT_ONCE) {
            self.shelf.forget(&name, keys).await?;
            deleted += 1;
        }
        // Images of tasks that were never submitted to the end, or whose deletion broke off.
        let orphans = keys.iter().filter(|key| {
            let name = key.rsplitn(3, '/').nth(2).and_then(|key| Name::of_key(IMAGES, key));
            name.is_some_and(|name| name.created().saturating_add(self.terms.ttl + SUBMISSION) < now)
        });
        for key in orphans.chain(history::unwanted(keys, now).iter()).take(DELETES_AT_ONCE) {
            self.shelf.delete(key.clone()).await?;
            deleted += 1;
        }
        Ok(deleted)
    }

    /// When a task of that name expires, since the Unix epoch.
    pub fn expires(&self, name: &Name) -> Duration {
        name.created().saturating_add(self.terms.ttl)
    }

    /// Whether it is as if the task were not there.
    pub fn has_expired(&self, name: &Name) -> bool {
        self.expires(name) <= self.outside.unix_time()
    }

    /// What makes the images of tasks: with links in it that nobody sees, as fresh ones are made for every answer.
    pub(super) fn workshop(&self) -> Workshop {
        Workshop {
            dispatcher: Rc::clone(&self.dispatcher),
            max_image_bytes: self.max_image_bytes,
            reveal_spaces: self.reveal_spaces,
            links: Links { signer: None, base: String::new(), expires: 0 },
            caller: Rc::from(""),
            // What a key may have of tasks is counted otherwise.
            jobs: Jobs::unlimited().of(""),
            outcome: Outcome::default(),
            log: Rc::new(|_| {}),
            ledger: None,
        }
    }

    /// Links as they are made for an answer, below `base`.
    ///
    /// # Errors
    /// Where there is nothing to sign them with.
    pub async fn links(&self, base: &str) -> Result<Links, Error> {
        let signer = Some(self.keyring.signer().await?);
        let expires = self.outside.unix_time().saturating_add(self.link_ttl).as_secs();
        Ok(Links { signer, base: base.to_owned(), expires })
    }

    pub(super) fn log_error(&self, name: &Name, error: &Error) {
        let detail = error.detail.as_deref().unwrap_or_default();
        self.log_line(name, &error.message, detail);
    }

    pub(super) fn log_trouble(&self, message: &str, error: &StoreError) {
        (self.log)(message, &error.to_string());
    }

    pub(super) fn log_line(&self, name: &Name, message: &str, detail: &str) {
        (self.log)(message, &format!("{}: {detail}", name.task_id()));
    }
}
