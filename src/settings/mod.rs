//! Spin variables, read once for each instance and made one typed, validated value.
//!
//! [`rows`] has a row for each variable: its name, its default, its meaning, and the parser of its values. Here they
//! are mapped to the types that the rooms have for them. A value that can't be read never stops the component: it is
//! reported in the log, and the default is used, or, where that would let somebody in, nobody is.
//! `docs/configuration.md` is the manual; a test holds the rows, the manual and `spin.toml` together.

mod parse;
mod rows;
#[cfg(test)]
mod tests;
mod variable;

use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;

use self::rows::DatabaseKind;
pub use self::rows::VARIABLES;
use self::variable::Values;
pub use self::variable::{ReadBy, VariableRow};
use crate::catalog::Catalog;
use crate::dispatch::Policy;
use crate::gradio::diagnosis;
use crate::gradio::limits::Limits;
use crate::gradio::space::Space;
use crate::http::auth::Auth;
use crate::http::cors::CorsOrigins;
use crate::limits::config::KeyLimits;
use crate::media::config::MediaConfig;
use crate::observe::metrics::access::MetricsAccess;
use crate::openai::chat::progress::ChatProgress;
use crate::platform::log::Level;
use crate::platform::{AllowedOrigins, Database, Host};
use crate::tasks::config::TaskConfig;
use crate::tasks::endpoint::WebhookEndpoint;

/// Settings of the operator, each of the type that the room it is for has for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rule for who is let in.
    pub auth: Auth,
    /// Models.
    pub catalog: Catalog,
    /// URL under which clients reach the component, without a slash at the end; `None` to go by each request.
    pub public_url: Option<String>,
    /// Origins whose web pages may call the API.
    pub cors_origins: CorsOrigins,
    /// Form in which a streamed chat shows the progress of its images.
    pub chat_progress: ChatProgress,
    /// Time that a response can be referred to.
    pub response_ttl: Duration,
    /// Limits of one API key.
    pub key_limits: KeyLimits,
    /// Time that the answer to a request with an `Idempotency-Key` is kept.
    pub idempotency_ttl: Duration,
    /// Images and the links to them.
    pub media: MediaConfig,
    /// Time limits of a job at a Space.
    pub limits: Limits,
    /// Policy for giving jobs to Spaces.
    pub policy: Policy,
    /// Clients get the names of the Spaces that make their images.
    pub reveal_spaces: bool,
    /// Tasks.
    pub tasks: TaskConfig,
    /// Finished images are listed.
    pub history: bool,
    /// Access to the figures of the service.
    pub metrics: MetricsAccess,
    /// Severity from which on records are logged.
    pub log_level: Level,
    /// Prompts are logged.
    pub log_prompts: bool,
    /// Database that all instances share; `None` for none, so that each instance is on its own.
    pub database: Option<Database>,
    /// Values that could not be read, for the log.
    pub problems: Vec<String>,
}

impl Settings {
    /// Reads all variables from the host.
    pub async fn load(host: &Host) -> Self {
        let names = VARIABLES.iter().filter(|row| row.read_by == ReadBy::Component).map(|row| row.name);
        let read = names.map(|name| async move { (name, host.variable(name).await.unwrap_or_default()) });
        let values = join_all(read).await;
        Self::parse(|name| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value))
    }

    /// Origins that requests go to: the Spaces', those of their images and of webhooks, and Hugging Face's own, which
    /// knows the state of its Spaces.
    pub fn allowed_origins(&self) -> AllowedOrigins {
        let spaces = self.catalog.spaces().map(Space::origin);
        let named = spaces.chain(self.media.image_hosts.origins()).map(|origin| origin.url("/").origin());
        let webhooks = self.tasks.webhooks.as_ref().map(WebhookEndpoint::origin);
        named.chain(webhooks).chain(diagnosis::source()).collect()
    }

    /// Reads the variables that `get` gives; an empty one is as good as none.
    pub fn parse<'a>(get: impl Fn(&'static str) -> &'a str) -> Self {
        let mut values = Values::new(&get);
        let media = MediaConfig {
            link_secret: values.read(&rows::LINK_SECRET),
            link_ttl: values.read(&rows::LINK_TTL),
            image_hosts: values.read(&rows::IMAGE_HOSTS),
            max_image_bytes: values.read(&rows::MAX_IMAGE_BYTES),
        };
        let key_limits = KeyLimits {
            requests_per_minute: values.read(&rows::REQUESTS_PER_MINUTE),
            jobs: values.read(&rows::JOBS_PER_KEY),
        };
        let limits = Limits { job: values.read(&rows::JOB_TIMEOUT), idle: values.read(&rows::IDLE_TIMEOUT) };
        let policy = Policy::new(values.read(&rows::STAGGER_MS), values.read(&rows::MAX_WAITING));
        let (ttl, max_unfinished) = (values.read(&rows::TASK_TTL), values.read(&rows::MAX_TASKS));
        Self {
            auth: auth(&mut values),
            catalog: catalog(&mut values),
            public_url: values.read(&rows::PUBLIC_URL),
            cors_origins: values.read(&rows::CORS_ORIGINS),
            chat_progress: values.read(&rows::CHAT_PROGRESS),
            response_ttl: values.read(&rows::RESPONSE_TTL),
            key_limits,
            idempotency_ttl: values.read(&rows::IDEMPOTENCY_TTL),
            media,
            limits,
            policy,
            reveal_spaces: values.read(&rows::REVEAL_SPACES),
            tasks: TaskConfig { ttl, max_unfinished, webhooks: webhooks(&mut values) },
            history: values.read(&rows::HISTORY),
            metrics: values.read(&rows::METRICS),
            log_level: values.read(&rows::LOG_LEVEL),
            log_prompts: values.read(&rows::LOG_PROMPTS),
            database: database(&mut values),
            problems: values.problems,
        }
    }
}

fn auth(values: &mut Values<'_, '_>) -> Auth {
    let keys = values.read(&rows::API_KEYS);
    if values.read(&rows::IS_OPEN) { Auth::Open } else { Auth::Keys(keys) }
}

fn catalog(values: &mut Values<'_, '_>) -> Catalog {
    let (spaces, catalog) = (values.read(&rows::SPACES), values.read(&rows::CATALOG));
    Catalog::parse(&spaces, &catalog, &mut values.problems)
}

/// A database that can't be meant is none: tasks are refused then rather than lost.
fn database(values: &mut Values<'_, '_>) -> Option<Database> {
    let url = values.read(&rows::DATABASE_URL);
    match values.read(&rows::DATABASE) {
        DatabaseKind::Off => None,
        DatabaseKind::Sqlite => Some(Database::Sqlite),
        DatabaseKind::Postgres if url.is_empty() => {
            values.report("database is \"postgres\", but database_url is empty; there is no database");
            None
        }
        DatabaseKind::Postgres => Some(Database::Postgres(Rc::from(url))),
    }
}

fn webhooks(values: &mut Values<'_, '_>) -> Option<WebhookEndpoint> {
    let (host, secret) = (values.read(&rows::WEBHOOK_HOST), values.read(&rows::WEBHOOK_SECRET));
    if host.is_empty() && secret.is_empty() {
        return None;
    }
    WebhookEndpoint::parse(&host, &secret).map_err(|unusable| values.report(&unusable.to_string())).ok()
}
