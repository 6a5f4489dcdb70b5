//! Settings of the operator for tasks.

use std::time::Duration;

use super::endpoint::WebhookEndpoint;

/// Settings of the operator for tasks.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// Time that a task can be asked for.
    pub ttl: Duration,
    /// Unfinished tasks that a key may have.
    pub max_unfinished: u32,
    /// Where ends are told; `None` where that isn't set up.
    pub webhooks: Option<WebhookEndpoint>,
}
