//! Configuration of tasks.

use std::time::Duration;

use super::endpoint::WebhookEndpoint;

/// Configuration of tasks.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// Time for which a task can be read.
    pub ttl: Duration,
    /// Maximum number of unfinished tasks of a key.
    pub max_unfinished: u32,
    /// Endpoint of webhooks; `None` for no webhooks.
    pub webhooks: Option<WebhookEndpoint>,
}
