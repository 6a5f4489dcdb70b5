//! Images of one key that are in the making at once, over all instances.
//!
//! A request of n images has n places from its beginning, waiting included, and gives one back with each image that is
//! made or has failed. What is left goes back when the request ends in any way: with its answer, with an error, or
//! because its client has left.
//!
//! A place is a lease ([`Leases`]): one statement takes all that a request needs, or none; they are renewed with
//! the instance's other leases, given back beside the answer, and free within 12 s where the instance dies. As giving
//! back takes a moment, who finds no place looks once more. Where the database fails, each instance counts for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Error;
use crate::platform::StoreError;
use crate::store::lease::Leases;

/// Time that a client that was refused is asked to wait: about as long as a fast Space takes for an image.
const WAIT: Duration = Duration::from_secs(2);
/// Time until a second look for places, which may be on their way back.
const SECOND_LOOK: Duration = Duration::from_millis(50);

/// The images in the making, by caller. Without a limit, nothing is counted.
#[derive(Clone)]
pub struct Jobs(Option<Rc<JobLimiter>>);

struct JobLimiter {
    /// Number of places of a caller.
    limit: u32,
    leases: Rc<Leases>,
    /// Places that are taken in this instance, with leases or without.
    running: RefCell<HashMap<String, u32>>,
}

/// One caller's places.
#[derive(Clone)]
pub struct Account {
    jobs: Jobs,
    caller: String,
}

/// Places for images, until they are given back or this is dropped.
pub struct Permit {
    account: Account,
    count: u32,
    /// Leased ones; none where the database failed.
    slots: Vec<i64>,
}

impl Jobs {
    /// None yet, of `limit` for each caller; 0 stands for any number.
    pub fn new(leases: &Rc<Leases>, limit: u32) -> Self {
        let inner = || Rc::new(JobLimiter { limit, leases: Rc::clone(leases), running: RefCell::default() });
        Self((limit > 0).then(inner))
    }

    /// Any number.
    pub fn unlimited() -> Self {
        Self(None)
    }

    /// The places of `caller`.
    pub fn of(&self, caller: &str) -> Account {
        Account { jobs: self.clone(), caller: caller.to_owned() }
    }
}

impl Account {
    /// Takes places for `count` images.
    ///
    /// # Errors
    /// 429 where there aren't as many now, 400 where there never are.
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
        // What this instance refuses by itself costs no statement.
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
    /// `None` where this instance alone has too many for `count` more.
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
    /// One image is no longer in the making.
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
