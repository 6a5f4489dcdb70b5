//! A row for each variable.
//!
//! To add one: write its row here, use it in [`super::Settings::parse`], and describe it in `spin.toml` and in
//! `docs/configuration.md`, whose row begins with the words above the row here.

use std::time::Duration;

use super::parse::{Parsed, base_url, boolean, number, seconds, text, verbatim, word};
use super::variable::{Invalid, ReadBy, Variable, VariableRow};
use crate::dispatch::Pause;
use crate::gradio::image_hosts::ImageHosts;
use crate::http::cors::CorsOrigins;
use crate::http::keys::ApiKeys;
use crate::media::config::LinkSecret;
use crate::observe::metrics::access::MetricsAccess;
use crate::openai::chat::progress::ChatProgress;
use crate::platform::log::Level;

/// Database that the operator names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum DatabaseKind {
    Off,
    #[default]
    Sqlite,
    Postgres,
}

/// Writes a row's constant, and all rows into [`VARIABLES`].
macro_rules! rows {
    ($(#[doc = $doc:literal] $id:ident: $type:ty = $name:literal $secrecy:ident, $default:literal, $parse:expr;)*) => {
        $(
            pub(super) const $id: Variable<$type> = Variable {
                row: VariableRow {
                    name: $name,
                    default: $default,
                    is_secret: rows!(@is_secret $secrecy),
                    doc: $doc.trim_ascii(),
                    read_by: rows!(@read_by $secrecy),
                },
                parse: $parse,
            };
        )*

        /// All variables.
        pub const VARIABLES: &[VariableRow] = &[$($id.row),*];
    };
    (@is_secret secret) => { true };
    (@is_secret $secrecy:ident) => { false };
    (@read_by host) => { ReadBy::Host };
    (@read_by $secrecy:ident) => { ReadBy::Component };
}

rows! {
    /// Keys that clients may use, separated by commas.
    API_KEYS: ApiKeys = "api_keys" secret, "", |text| Ok(ApiKeys::parse(text));
    /// Rule for who is let in.
    IS_OPEN: bool = "auth" plain, "keys", |text| word(text, &[("keys", false), ("open", true)], "\"keys\" is used");
    /// Models and their Spaces, shortly; see below.
    SPACES: String = "spaces" plain, "", verbatim;
    /// Models and their Spaces in full, as TOML; see below.
    CATALOG: String = "catalog" secret, "", verbatim;
    /// One more host that the component may connect to, for a Space that isn't Hugging Face's.
    EXTRA_HOST: String = "extra_host" host, "", text;
    /// URL under which clients reach the component.
    PUBLIC_URL: Option<String> = "public_url" plain, "", public_url;
    /// Origins whose web pages may call the API from the browser.
    CORS_ORIGINS: CorsOrigins = "cors_origins" plain, "*", cors_origins;
    /// Form in which a streamed chat shows the progress of its images.
    CHAT_PROGRESS: ChatProgress = "chat_progress" plain, "reasoning", chat_progress;
    /// Time that a response of `/v1/responses` can be referred to by `previous_response_id`.
    RESPONSE_TTL: Duration = "response_ttl" plain, "86400", |text| seconds(text, 2_592_000);
    /// Requests for images that one key may make in a minute.
    REQUESTS_PER_MINUTE: u32 = "requests_per_minute" plain, "0", |text| number(text, 0..=1_000_000);
    /// Images of one key that may be in the making at once, over all instances.
    JOBS_PER_KEY: u32 = "jobs_per_key" plain, "0", |text| number(text, 0..=10_000);
    /// Time that the answer to a request with an `Idempotency-Key` is kept.
    IDEMPOTENCY_TTL: Duration = "idempotency_ttl" plain, "86400", |text| seconds(text, 2_592_000);
    /// Secret that image links are signed with.
    LINK_SECRET: Option<LinkSecret> = "link_secret" secret, "", link_secret;
    /// Time that an image link works.
    LINK_TTL: Duration = "link_ttl" plain, "86400", |text| seconds(text, 31_536_000);
    /// Origins other than Spaces that their images may be fetched from, separated by commas.
    IMAGE_HOSTS: ImageHosts = "image_hosts" plain, "", image_hosts;
    /// One more host that the component may connect to, for the images at `image_hosts`.
    EXTRA_IMAGE_HOST: String = "extra_image_host" host, "", text;
    /// Time that a request may take for its images, all waits and tries included.
    JOB_TIMEOUT: Duration = "job_timeout" plain, "300", |text| seconds(text, 86_400);
    /// Time that a Space may be silent.
    IDLE_TIMEOUT: Duration = "idle_timeout" plain, "45", |text| seconds(text, 3_600);
    /// Size of the largest image that is passed on.
    MAX_IMAGE_BYTES: usize = "max_image_bytes" plain, "33554432", |text| number(text, 1..=128 << 20);
    /// Pause before a request's next image at the same Space.
    STAGGER_MS: Pause = "stagger_ms" plain, "1500-3500", stagger;
    /// Images of a model that may wait for a Space with room, over all instances.
    MAX_WAITING: usize = "max_waiting" plain, "100", |text| number(text, 1..=10_000);
    /// Names of the Spaces that make a client's images, or fail to, in its answers.
    REVEAL_SPACES: bool = "reveal_spaces" plain, "true", boolean;
    /// Time that a task can be asked for, from its submission on.
    TASK_TTL: Duration = "task_ttl" plain, "86400", |text| seconds(text, 2_592_000);
    /// Unfinished tasks that a key may have.
    MAX_TASKS: u32 = "max_tasks" plain, "100", |text| number(text, 1..=10_000);
    /// The one host that webhooks are sent to.
    WEBHOOK_HOST: String = "webhook_host" plain, "", text;
    /// Secret that webhooks are signed with.
    WEBHOOK_SECRET: String = "webhook_secret" secret, "", text;
    /// List of the finished images at `GET /v1/images`.
    HISTORY: bool = "history" plain, "on", boolean;
    /// Key for `GET /metrics`, or `open` for everybody.
    METRICS: MetricsAccess = "metrics_key" secret, "", metrics;
    /// Severity from which on records are logged.
    LOG_LEVEL: Level = "log_level" plain, "info", log_level;
    /// Prompts in the log.
    LOG_PROMPTS: bool = "log_prompts" plain, "off", boolean;
    /// Database in which the instances of the component keep what they share.
    DATABASE: DatabaseKind = "database" plain, "sqlite", database;
    /// Address of the PostgreSQL server.
    DATABASE_URL: String = "database_url" secret, "", text;
    /// Host of the PostgreSQL server.
    DATABASE_HOST: String = "database_host" host, "", text;
}

fn public_url(text: &str) -> Parsed<Option<String>> {
    match (text, base_url(text)) {
        ("", _) => Ok(None),
        (_, Some(url)) => Ok(Some(url)),
        (_, None) => {
            Err(Invalid::new("be like https://host or https://host/path").with(None, "each request's own is used"))
        }
    }
}

fn cors_origins(text: &str) -> Parsed<CorsOrigins> {
    CorsOrigins::parse(text).map_err(|origins| {
        Invalid::new("be *, none or a list of origins such as https://chat.example")
            .with(origins, "what is no origin is left out")
    })
}

fn image_hosts(text: &str) -> Parsed<ImageHosts> {
    ImageHosts::parse(text).map_err(|hosts| {
        Invalid::new("be up to 32 origins such as https://cdn.example, or http:// with a loopback address")
            .with(hosts, "what is none is left out")
    })
}

fn link_secret(text: &str) -> Parsed<Option<LinkSecret>> {
    match (text, LinkSecret::parse(text.trim())) {
        ("", _) => Ok(None),
        (_, Some(secret)) => Ok(Some(secret)),
        (_, None) => Err(Invalid::new("have 16 characters or more").with(None, "the one in the database is used")),
    }
}

fn chat_progress(text: &str) -> Parsed<ChatProgress> {
    word(text, &ChatProgress::NAMES, "\"reasoning\" is used")
}

fn stagger(text: &str) -> Parsed<Pause> {
    Pause::parse(text.trim()).ok_or_else(|| Invalid::new("be milliseconds such as 1500-3500, or 0"))
}

fn metrics(text: &str) -> Parsed<MetricsAccess> {
    MetricsAccess::parse(text).ok_or_else(|| {
        Invalid::new("be open, or a key of 16 characters or more without a comma")
            .with(MetricsAccess::Off, "there is no /metrics")
    })
}

fn log_level(text: &str) -> Parsed<Level> {
    let words = [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];
    word(text, &words, "\"info\" is used")
}

fn database(text: &str) -> Parsed<DatabaseKind> {
    let words = [("sqlite", DatabaseKind::Sqlite), ("postgres", DatabaseKind::Postgres), ("none", DatabaseKind::Off)];
    word(text, &words, "").map_err(|invalid| invalid.with(DatabaseKind::Off, "there is no database"))
}
