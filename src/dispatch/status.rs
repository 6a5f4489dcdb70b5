//! Status of the Spaces, as `GET /v1/spaces` and the readiness probe report it.

use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::capabilities::SpacePause;
use super::dispatcher::Dispatcher;
use super::health::breaker::Admission;
use super::space_state::{SpaceAccess, SpaceState};
use crate::catalog::{Catalog, PoolMember};
use crate::gradio::discovery::Profile;
use crate::gradio::failure::plain;
use crate::gradio::space::Space;

/// Status of a Space in `GET /v1/spaces`. Unknown fields are absent.
#[skip_serializing_none]
#[derive(Debug, Serialize)]
pub struct SpaceStatus {
    object: &'static str,
    /// `owner/name`, or the origin of a Space elsewhere; `space-1`, `space-2` … where names are hidden.
    id: String,
    /// Ids of its models.
    models: Vec<String>,
    /// `ready`, `busy` (all slots taken), `cooling_down` (breaker open), `probing` (trial job under way) or `unknown`
    /// (never used).
    state: &'static str,
    /// Running jobs of all instances.
    in_flight: usize,
    /// Jobs of all instances that wait for this Space, among others.
    waiting: usize,
    slots: usize,
    weight: f64,
    latency: Option<LatencyStatus>,
    queue: Option<QueueStatus>,
    breaker: BreakerStatus,
    last_error: Option<ErrorStatus>,
    successes: u64,
    failures: u64,
    /// Version of Gradio.
    gradio: Option<String>,
    /// Name of the function that makes images.
    endpoint: Option<String>,
    /// Age of its profile, in seconds.
    capabilities_age: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LatencyStatus {
    /// Peak EWMA, for an image of a megapixel in eight steps.
    ewma_seconds: f64,
    samples: u32,
    /// Generation times of the last jobs, in seconds, the latest last.
    recent: Vec<f64>,
}

#[skip_serializing_none]
#[derive(Debug, Serialize)]
struct QueueStatus {
    rank: u64,
    size: u64,
    eta_seconds: Option<f64>,
    seen_at: u64,
}

#[skip_serializing_none]
#[derive(Debug, Serialize)]
struct BreakerStatus {
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    reason: Option<String>,
    message: Option<String>,
    /// End of the open state, in seconds since the Unix epoch.
    until: Option<u64>,
    /// Failures since the last success.
    failures: u32,
}

#[derive(Debug, Serialize)]
struct ErrorStatus {
    code: String,
    message: String,
    at: u64,
}

/// Numbers of usable and of all Spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usable {
    usable: usize,
    total: usize,
}

impl Usable {
    /// True if at least one Space is usable.
    pub fn any(self) -> bool {
        self.usable > 0
    }
}

/// Work of an image of a megapixel in eight steps.
const TYPICAL_WORK: f64 = 8.0;

impl Dispatcher {
    /// Status of all Spaces of `catalog`, by the database and this instance; asks no Space. Names them with `reveal`.
    pub async fn status(&self, catalog: &Catalog, reveal: bool) -> Vec<SpaceStatus> {
        let members = members(catalog);
        self.refresh(&members).await;
        let mut statuses = Vec::with_capacity(members.len());
        for (number, (member, models)) in (1..).zip(members) {
            let profile = self.knowledge.known(&member.space).await;
            let id = if reveal { member.space.name().to_owned() } else { format!("space-{number}") };
            statuses.push(self.one(id, member, models, profile));
        }
        statuses
    }

    /// Number of the Spaces of `catalog` that accept jobs, by the database and this instance.
    pub async fn usable(&self, catalog: &Catalog) -> Usable {
        let members = members(catalog);
        self.refresh(&members).await;
        let now = self.scheduler.unix_time();
        let state = self.scheduler.state();
        let is_usable = |(member, _): &&(&PoolMember, _)| {
            let entry = state.known(member.space.origin()).map(|space| space.access(member, 0.0, now));
            !matches!(entry, Some(SpaceAccess::Tripped(_) | SpaceAccess::Resting(_)))
        };
        Usable { usable: members.iter().filter(is_usable).count(), total: members.len() }
    }

    /// Pauses of the Spaces of `pool`, by the database and this instance.
    pub(super) async fn pauses(&self, pool: &[PoolMember]) -> Vec<Option<SpacePause>> {
        self.scheduler.refresh(&pool.iter().map(|member| member.space.origin().clone()).collect()).await;
        let now = self.scheduler.unix_time();
        let state = self.scheduler.state();
        let pause = |member: &PoolMember| {
            let space = state.known(member.space.origin())?;
            let (SpaceAccess::Tripped(until) | SpaceAccess::Resting(until)) = space.access(member, 0.0, now) else {
                return None;
            };
            let last_error = space.health.view().last_error.as_ref();
            let reason = last_error.map_or_else(|| "cooling_down".to_owned(), |error| error.code.clone());
            Some(SpacePause { reason, until: until.as_secs() })
        };
        pool.iter().map(pause).collect()
    }

    /// Reads the shared state of the Spaces of `members`.
    pub(super) async fn refresh(&self, members: &[(&PoolMember, Vec<String>)]) {
        let origins = members.iter().map(|(member, _)| member.space.origin().clone()).collect();
        for (member, _) in members {
            self.knowledge.want(&member.space);
        }
        self.scheduler.refresh(&origins).await;
    }

    fn one(&self, id: String, member: &PoolMember, models: Vec<String>, profile: Option<Rc<Profile>>) -> SpaceStatus {
        let now = self.scheduler.unix_time();
        let state = self.scheduler.state();
        let new = SpaceState::default();
        let space = state.known(member.space.origin()).unwrap_or(&new);
        let health = space.health.view();
        let entry = space.access(member, 0.0, now);
        let is_untouched = health.successes == 0 && health.failures == 0 && profile.is_none();
        let condition = match entry {
            SpaceAccess::Tripped(_) | SpaceAccess::Resting(_) => "cooling_down",
            SpaceAccess::Probed | SpaceAccess::Open { probe: true } => "probing",
            SpaceAccess::Open { .. } if space.in_flight() >= member.slots => "busy",
            SpaceAccess::Open { .. } if is_untouched => "unknown",
            SpaceAccess::Open { .. } => "ready",
        };
        let last_error = health.last_error.as_ref().map(|error| ErrorStatus {
            code: error.code.clone(),
            message: error.message.clone(),
            at: error.at,
        });
        let until = match entry {
            SpaceAccess::Tripped(until) | SpaceAccess::Resting(until) => Some(until.as_secs()),
            _ => None,
        };
        let breaker_state = breaker_state(space, member, now);
        let reason = last_error.as_ref().filter(|_| breaker_state != "closed");
        let breaker = BreakerStatus {
            state: breaker_state,
            reason: reason.map(|error| error.code.clone()),
            message: reason.map(|error| error.message.clone()),
            until,
            failures: health.breaker.in_a_row,
        };
        let skill = profile.as_ref().and_then(|profile| profile.generate.as_ref().or(profile.edit.as_ref()));
        SpaceStatus {
            object: "space",
            id,
            models,
            state: condition,
            in_flight: space.in_flight(),
            waiting: state.waiting_for(member.space.origin()),
            slots: member.slots,
            weight: member.weight,
            latency: health.latency.known().map(|per_unit| LatencyStatus {
                ewma_seconds: rounded(per_unit * TYPICAL_WORK),
                samples: health.latency.samples,
                recent: health.recent.iter().map(|seconds| rounded(*seconds)).collect(),
            }),
            queue: space.seen_queue(now).map(|seen| QueueStatus {
                rank: seen.position.rank,
                size: seen.position.size,
                eta_seconds: seen.position.eta.filter(|eta| eta.is_finite()).map(rounded),
                seen_at: seen.at,
            }),
            breaker,
            last_error,
            successes: health.successes,
            failures: health.failures,
            gradio: profile.as_ref().map(|profile| plain(&profile.version)),
            endpoint: skill.and_then(|skill| skill.api_name.as_deref()).map(plain),
            capabilities_age: profile.as_ref().map(|profile| now.as_secs().saturating_sub(profile.learnt)),
        }
    }
}

/// State of the breaker of a Space: `closed`, `open` or `half_open`.
pub(super) fn breaker_state(space: &SpaceState, member: &PoolMember, now: Duration) -> &'static str {
    match (space.access(member, 0.0, now), space.health.view().breaker.admits(now, 0.0)) {
        (SpaceAccess::Tripped(_) | SpaceAccess::Resting(_), _) => "open",
        (_, Admission::Closed) => "closed",
        _ => "half_open",
    }
}

/// Each Space once, with the ids of its models.
pub(super) fn members(catalog: &Catalog) -> Vec<(&PoolMember, Vec<String>)> {
    let mut members: Vec<(&PoolMember, Vec<String>)> = Vec::new();
    for model in catalog.models() {
        for member in &model.pool {
            match members.iter_mut().find(|(known, _)| is_same(&known.space, &member.space)) {
                Some((_, models)) => models.push(model.id.clone()),
                None => members.push((member, vec![model.id.clone()])),
            }
        }
    }
    members
}

fn is_same(one: &Space, other: &Space) -> bool {
    (one.origin(), one.endpoint()) == (other.origin(), other.endpoint())
}

/// Seconds, rounded to milliseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
