//! Limit of a key's concurrent images, over all instances.
//!
//! A request of n images holds n permits from its beginning, waits included, and releases one with each image that is
//! made or has failed. The rest is released at the end of the request: with its response, an error, or the departure of
//! its client.
//!
//! A permit is a lease ([`Leases`]): one statement claims all that a request needs, or none. Permits are renewed with
//! the instance's other leases, released in the background, and free within 12 s of the instance's death. As a release
//! takes a moment, a failed claim is repeated once. While the database fails, each instance counts for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Error;
use crate::platform::StoreError;
use crate::store::lease::Leases;

/// `Retry-After` of a refusal: about the time of an image at a fast Space.
const WAIT: Duration = Duration::from_secs(2);
/// Pause before the second claim, as released permits may be on their way.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// Limiter of concurrent images by caller. Counts nothing without a limit.
#[derive(Clone)]
pub struct Jobs(Option<Rc<JobLimiter>>);

struct JobLimiter {
    /// Number of permits of a caller.
    limit: u32,
    leases: Rc<Leases>,
    /// Number of permits held in this instance by caller, with leases or without.
    running: RefCell<HashMap<String, u32>>,
}

/// Permits of one caller.
#[derive(Clone)]
pub struct Account {
    jobs: Jobs,
    caller: String,
}

/// Permits for images, released one by one or on drop.
pub struct Permit {
    account: Account,
    count: u32,
    /// Leased slots; none where the database failed.
    slots: Vec<i64>,
}

impl Jobs {
    /// A limiter of `limit` permits for each caller; 0 for no limit.
    pub fn new(leases: &Rc<Leases>, limit: u32) -> Self {
        let inner = || Rc::new(JobLimiter { limit, leases: Rc::clone(leases), running: RefCell::default() });
        Self((limit > 0).then(inner))
    }

    /// A limiter without a limit.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// Permits of `caller`.
    pub fn of(&self, caller: &str) -> Account {
        Account { jobs: self.clone(), caller: caller.to_owned() }
    }
}

impl Account {
    /// Acquires permits for `count` images.
    ///
    /// # Errors
    /// 429 where too few are free, 400 where `count` exceeds the limit.
    pub async fn take(&self, count: u32) -> Result<Permit, Error> {
        let Some(jobs) = &self.jobs.0 else {
            return Ok(Permit { account: self.clone(), count: 0, slots: Vec::new() });
        };
        let limit = jobs.limit;
        if count > limit {
            let message =
                format!("At most {limit} images are made at once for one API key here (variable jobs_per_key).");
            return Err(Error::invalid_value("n", message));
        }
        let refused = || Error::too_many_jobs(limit, WAIT);
        // A refusal by this instance's own count costs no statement.
        jobs.check(&self.caller, count).ok_or_else(refused)?;
        let slots = match jobs.lease(&self.caller, count).await {
            Ok(slots) => slots.ok_or_else(refused)?,
            Err(_) => {
                jobs.check(&self.caller, count).ok_or_else(refused)?;
                Vec::new()
            }
        };
        *jobs.running.borrow_mut().entry(self.caller.clone()).or_default() += count;
        Ok(Permit { account: self.clone(), count, slots })
    }
}

impl JobLimiter {
    /// None where this instance alone has too many for `count` more.
    fn check(&self, caller: &str, count: u32) -> Option<()> {
        let running = self.running.borrow().get(caller).copied().unwrap_or(0);
        (count <= self.limit.saturating_sub(running)).then_some(())
    }

    async fn lease(&self, caller: &str, count: u32) -> Result<Option<Vec<i64>>, StoreError> {
        let resource = resource(caller);
        let slots = self.leases.claim_all(&resource, count, self.limit).await?;
        if slots.is_some() {
            return Ok(slots);
        }
        self.leases.store().host().sleep(SECOND_LOOK).await;
        self.leases.claim_all(&resource, count, self.limit).await
    }

    fn give_back(&self, caller: &str, count: u32, slots: &[i64]) {
        self.leases.release(&resource(caller), slots);
        let mut running = self.running.borrow_mut();
        if let Some(mine) = running.get_mut(caller) {
            *mine = mine.saturating_sub(count);
            if *mine == 0 {
                running.remove(caller);
            }
        }
    }
}

fn resource(caller: &str) -> String {
    format!("jobs/{caller}")
}

impl Permit {
    /// Releases the permit of one image.
    pub fn give_back_one(&mut self) {
        self.give_back(1);
    }

    fn give_back(&mut self, count: u32) {
        let count = count.min(self.count);
        let Some(jobs) = self.account.jobs.0.as_ref().filter(|_| count > 0) else { return };
        self.count -= count;
        let left = usize::try_from(self.count).unwrap_or(usize::MAX).min(self.slots.len());
        jobs.give_back(&self.account.caller, count, &self.slots.split_off(left));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.give_back(self.count);
    }
}

#[cfg(test)]
mod tests;
