//! Figures of the Spaces at the moment, for `GET /metrics`.

use std::collections::BTreeMap;

use super::dispatcher::Dispatcher;
use super::space_state::SpaceState;
use super::status::{breaker_state, members};
use crate::catalog::Catalog;
use crate::platform::StoreError;
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::waiter;

/// Figures of a Space at the moment, over all instances.
#[derive(Debug)]
pub struct SpaceFigures {
    /// Name of the Space.
    pub space: String,
    /// Jobs there.
    pub in_flight: usize,
    /// Jobs that it may have at once.
    pub slots: usize,
    /// State of its breaker: `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// True for each of its tokens whose quota is used up, in the catalogue's order.
    pub exhausted: Vec<bool>,
}

impl Dispatcher {
    /// Figures of the Spaces of `catalog`, by the database and this instance; asks no Space.
    pub async fn figures(&self, catalog: &Catalog) -> Vec<SpaceFigures> {
        let members = members(catalog);
        self.refresh(&members).await;
        let now = self.scheduler.unix_time();
        let state = self.scheduler.state();
        let new = SpaceState::default();
        let mut figures: Vec<SpaceFigures> = Vec::with_capacity(members.len());
        for (member, _) in members {
            // Two functions of one Space share its slots.
            if figures.iter().any(|known| known.space == member.space.name()) {
                continue;
            }
            let space = state.known(member.space.origin()).unwrap_or(&new);
            let health = space.health.view();
            let is_exhausted =
                |token: &crate::gradio::space::Token| health.exhausted_until(&token.fingerprint(), now).is_some();
            figures.push(SpaceFigures {
                space: member.space.name().to_owned(),
                in_flight: space.in_flight(),
                slots: member.slots,
                breaker: breaker_state(space, member, now),
                exhausted: member.space.tokens().iter().map(is_exhausted).collect(),
            });
        }
        figures
    }

    /// Numbers of images that wait for a slot, over all instances, by the first model of each queue.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn waiting(&self, catalog: &Catalog) -> Result<Vec<(String, i64)>, StoreError> {
        let mut queues: Vec<(String, String)> = Vec::new();
        for model in catalog.models() {
            let queue = self.scheduler.place(&model.pool).queue.to_string();
            if !queues.iter().any(|(known, _)| *known == queue) {
                queues.push((queue, model.id.clone()));
            }
        }
        if queues.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.scheduler.store();
        let names = Argument::list(queues.iter().map(|(queue, _)| queue.as_str()));
        let mut counts = BTreeMap::new();
        for row in store.query(&waiter::COUNT, vec![("queues", names), ("now", store.now().into())]).await? {
            let mut columns = Columns::of(row);
            counts.insert(columns.text()?, columns.integer()?);
        }
        Ok(queues.into_iter().map(|(queue, model)| (model, counts.get(&queue).copied().unwrap_or(0))).collect())
    }
}
