//! Writes of Spaces' health for all instances.

use std::rc::Rc;
use std::time::Duration;

use super::Scheduler;
use crate::dispatch::health::shared::Draft;
use crate::dispatch::health::{SpaceHealth, SpaceOutcome, SpaceOutcomeKind};
use crate::gradio::space::Origin;
use crate::platform::{StoreError, random_bytes};
use crate::store::row::Columns;
use crate::store::statements::waiter;

/// Delay of writes of successes; failures are written at once.
const WRITE_AFTER: Duration = Duration::from_secs(2);
/// Attempts of a write against concurrent writes of other instances.
const ATTEMPTS: u32 = 6;

impl Scheduler {
    /// Records an outcome at a Space, here and in the database.
    pub(super) fn record(self: &Rc<Self>, origin: &Origin, outcome: SpaceOutcome) {
        let is_failure = !matches!(outcome.kind, SpaceOutcomeKind::Made { .. } | SpaceOutcomeKind::Answered);
        let (is_urgent, is_writing) = {
            let mut state = self.state.borrow_mut();
            let health = &mut state.space(origin).health;
            let is_urgent = health.record(outcome) || is_failure;
            health.is_urgent |= is_urgent;
            let is_writing = health.is_writing || (health.is_scheduled && !is_urgent);
            if !is_writing {
                (health.is_writing, health.is_scheduled) = (is_urgent, true);
            }
            (is_urgent, is_writing)
        };
        if is_writing || !self.store.is_on() {
            return;
        }
        let (this, origin) = (Rc::clone(self), origin.clone());
        self.host.spawn(Box::pin(async move {
            if !is_urgent {
                // By chance, too, so that instances that began together don't write together.
                let [lot] = random_bytes::<1>(&this.host);
                this.host.sleep(WRITE_AFTER + WRITE_AFTER * u32::from(lot) / 512).await;
                if !this.begins_writing(&origin) {
                    return;
                }
            }
            this.write_health(&origin).await;
        }));
    }

    /// Begins a write where outcomes are pending and no write is under way. Returns true where the caller has to write.
    fn begins_writing(&self, origin: &Origin) -> bool {
        let mut state = self.state.borrow_mut();
        let health = &mut state.space(origin).health;
        let begins = !health.is_writing && health.is_dirty();
        (health.is_writing, health.is_scheduled) = (health.is_writing || begins, begins);
        begins
    }

    /// Writes until nothing urgent is left.
    async fn write_health(&self, origin: &Origin) {
        loop {
            self.state.borrow_mut().space(origin).health.is_urgent = false;
            // Where the store fails, the next outcome writes this one too.
            let outcome = self.write_once(origin).await;
            let mut state = self.state.borrow_mut();
            let health = &mut state.space(origin).health;
            if outcome.is_err() || !health.is_urgent {
                (health.is_writing, health.is_scheduled) = (false, false);
                return;
            }
        }
    }

    async fn write_once(&self, origin: &Origin) -> Result<(), StoreError> {
        for attempt in 0..ATTEMPTS {
            let draft = self.state.borrow_mut().space(origin).health.draft();
            if self.try_write(origin, draft).await? {
                return Ok(());
            }
            let [lot] = random_bytes::<1>(&self.host);
            self.host.sleep(Duration::from_millis(u64::from(lot) << attempt.min(4)) / 8).await;
        }
        Ok(())
    }

    /// Writes a draft, or takes the value that another instance has written meanwhile. Returns true where it is
    /// written.
    async fn try_write(&self, origin: &Origin, draft: Draft) -> Result<bool, StoreError> {
        let text = draft.health.write();
        let parameters = vec![
            ("id", origin.to_string().into()),
            ("version", draft.version.into()),
            ("writer", self.store.instance().into()),
            ("health", text.as_str().into()),
        ];
        let Some(row) = self.store.first(&waiter::SET_HEALTH, parameters).await? else { return Ok(false) };
        let mut columns = Columns::of(row);
        let (version, writer, there) = (columns.integer()?, columns.text()?, columns.text()?);
        let mut state = self.state.borrow_mut();
        let health = &mut state.space(origin).health;
        let is_written = writer == self.store.instance() && there == text;
        if is_written {
            health.written(draft, version);
        } else {
            health.read(version, SpaceHealth::read(&there).unwrap_or_default());
        }
        Ok(is_written)
    }
}
