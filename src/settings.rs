//! Spin variables, read once for each instance and made one typed, validated value.
//!
//! A variable that can't be read as meant never stops the component: it is reported in the log, and its default is used,
//! or, where that would let somebody in, nobody is. `docs/configuration.md` is the manual; a test holds both and `spin.toml`
//! together.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use url::Url;

use crate::catalog::Catalog;
use crate::dispatch::{Pause, Policy};
use crate::gradio::client::Limits;
use crate::platform::{Database, Outside};
use crate::tasks::config::TaskConfig;
use crate::tasks::endpoint::WebhookEndpoint;

/// Every variable's name.
pub const NAMES: [&str; 26] = [
    "api_keys",
    "auth",
    "spaces",
    "catalog",
    "public_url",
    "cors_origins",
    "chat_progress",
    "response_ttl",
    "requests_per_minute",
    "jobs_per_key",
    "idempotency_ttl",
    "link_secret",
    "link_ttl",
    "job_timeout",
    "idle_timeout",
    "max_image_bytes",
    "stagger_ms",
    "max_waiting",
    "reveal_spaces",
    "task_ttl",
    "max_tasks",
    "webhook_host",
    "webhook_secret",
    "history",
    "database",
    "database_url",
];

/// What the operator has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is let in.
    pub auth: Auth,
    /// The models.
    pub catalog: Catalog,
    /// Where clients reach the component, without a slash at the end; `None` to go by each request.
    pub public_url: Option<String>,
    /// Which pages of other origins may call the API.
    pub cors_origins: CorsOrigins,
    /// How a chat is told how far its images are.
    pub chat_progress: ChatProgress,
    /// How long a response can be referred to.
    pub response_ttl: Duration,
    /// How many requests for images a key may make in a minute; 0 for any number.
    pub requests_per_minute: u32,
    /// How many images of a key may be in the making at once, in an instance; 0 for any number.
    pub jobs_per_key: u32,
    /// How long the answer to a request with an `Idempotency-Key` is kept.
    pub idempotency_ttl: Duration,
    /// What image links are signed with; `None` for the database's own.
    pub link_secret: Option<LinkSecret>,
    /// How long an image link works.
    pub link_ttl: Duration,
    /// How long a Space may take.
    pub limits: Limits,
    /// The largest image that is passed on, in bytes.
    pub max_image_bytes: usize,
    /// How jobs are given to Spaces.
    pub policy: Policy,
    /// Whether clients are told which Space makes their images.
    pub reveal_spaces: bool,
    /// What holds for tasks.
    pub tasks: TaskConfig,
    /// Whether the images that are made are remembered.
    pub history: bool,
    /// Database that all instances share; `None` for none, so that each instance is on its own.
    pub database: Option<Database>,
    /// What could not be read as meant, for the log.
    pub problems: Vec<String>,
}

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody.
    Open,
    /// Those who have one of these keys.
    Keys(ApiKeys),
}

/// Which pages of other origins may call the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All.
    Any,
    /// Those of these origins, as browsers write them; none where there are none.
    Only(Vec<String>),
}

/// How a chat is told how far its images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatProgress {
    /// As the model's thoughts, `reasoning_content`, which most clients fold away.
    Reasoning,
    /// As text of the answer.
    Text,
    /// Not at all.
    None,
}

impl ChatProgress {
    /// Reads `reasoning`, `text` or `none`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "reasoning" => Some(Self::Reasoning),
            "text" => Some(Self::Text),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

/// API keys, of which only the SHA-256 digests are kept.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Reads comma-separated keys; spaces around them and empty ones don't count.
    pub fn parse(text: &str) -> Self {
        let keys = text.split(',').map(str::trim).filter(|key| !key.is_empty());
        Self(keys.map(|key| Sha256::digest(key.as_bytes()).into()).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of them `presented` is. The time this takes depends on the number of keys and the length of `presented`,
    /// and on no key: digests are compared, each with all others, in constant time.
    pub fn find(&self, presented: &[u8]) -> Option<KeyId> {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        let found = self.0.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(&presented));
        bool::from(found).then(|| KeyId(presented.iter().take(8).map(|byte| format!("{byte:02x}")).collect()))
    }
}

/// Which key it is, for what belongs to a key: a digest of it, from which it can't be had back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(String);

impl KeyId {
    /// As lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

/// What image links are signed with. It can't be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSecret(Vec<u8>);

impl LinkSecret {
    /// Its bytes: 16 or more.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkSecret")
    }
}

impl Settings {
    /// Reads all variables from the host.
    pub async fn load(outside: &Outside) -> Self {
        let read = NAMES.map(|name| async move { (name, outside.variable(name).await.unwrap_or_default()) });
        let values = join_all(read).await;
        Self::parse(|name| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value))
    }

    /// Reads the variables that `get` gives; an empty one is as good as none.
    pub fn parse<'a>(get: impl Fn(&'static str) -> &'a str) -> Self {
        let mut problems = Vec::new();
        let mut seconds = |name, default: u64, greatest: u64| {
            Duration::from_secs(number(name, get(name), default, 1..=greatest, &mut problems))
        };
        let link_ttl = seconds("link_ttl", 86_400, 31_536_000);
        let response_ttl = seconds("response_ttl", 86_400, 2_592_000);
        let idempotency_ttl = seconds("idempotency_ttl", 86_400, 2_592_000);
        let task_ttl = seconds("task_ttl", 86_400, 2_592_000);
        let job = seconds("job_timeout", 300, 86_400);
        let idle = seconds("idle_timeout", 45, 3_600);
        let max_image_bytes = number("max_image_bytes", get("max_image_bytes"), 32 << 20, 1..=128 << 20, &mut problems);
        let max_waiting = number("max_waiting", get("max_waiting"), 100, 1..=10_000, &mut problems);
        let mut count = |name, greatest: u64| number(name, get(name), 0, 0..=greatest, &mut problems);
        let requests_per_minute = count("requests_per_minute", 1_000_000);
        let jobs_per_key = count("jobs_per_key", 10_000);
        let stagger = stagger(get("stagger_ms"), &mut problems);
        let reveal_spaces = flag("reveal_spaces", get("reveal_spaces"), true, &mut problems);
        let max_tasks = number("max_tasks", get("max_tasks"), 100, 1..=10_000, &mut problems);
        let tasks = TaskConfig {
            ttl: task_ttl,
            max_unfinished: u32::try_from(max_tasks).unwrap_or(u32::MAX),
            webhooks: webhooks(get("webhook_host"), get("webhook_secret"), &mut problems),
        };
        let history = switch("history", get("history"), &mut problems);
        let database = database(get("database"), get("database_url"), &mut problems);
        let auth = auth(get("auth"), get("api_keys"), &mut problems);
        let catalog = Catalog::parse(get("spaces"), get("catalog"), &mut problems);
        let public_url = public_url(get("public_url"), &mut problems);
        let cors_origins = cors_origins(get("cors_origins"), &mut problems);
        let chat_progress = chat_progress(get("chat_progress"), &mut problems);
        let link_secret = link_secret(get("link_secret"), &mut problems);
        Self {
            auth,
            catalog,
            public_url,
            cors_origins,
            chat_progress,
            response_ttl,
            requests_per_minute: u32::try_from(requests_per_minute).unwrap_or(u32::MAX),
            jobs_per_key: u32::try_from(jobs_per_key).unwrap_or(u32::MAX),
            idempotency_ttl,
            link_secret,
            link_ttl,
            limits: Limits { job, idle },
            max_image_bytes: usize::try_from(max_image_bytes).unwrap_or(usize::MAX),
            policy: Policy::new(stagger, usize::try_from(max_waiting).unwrap_or(usize::MAX)),
            reveal_spaces,
            tasks,
            history,
            database,
            problems,
        }
    }
}

fn flag(name: &str, text: &str, default: bool, problems: &mut Vec<String>) -> bool {
    match text.trim() {
        "" => default,
        "true" => true,
        "false" => false,
        _ => {
            problems.push(format!("{name} must be true or false; {default} is used"));
            default
        }
    }
}

fn stagger(text: &str, problems: &mut Vec<String>) -> Pause {
    match text.trim() {
        "" => Pause::USUAL,
        text => Pause::parse(text).unwrap_or_else(|| {
            problems.push("stagger_ms must be milliseconds such as 1500-3500, or 0; 1500-3500 is used".to_owned());
            Pause::USUAL
        }),
    }
}

fn number(name: &str, text: &str, default: u64, range: RangeInclusive<u64>, problems: &mut Vec<String>) -> u64 {
    match text.trim() {
        "" => default,
        text => match text.parse() {
            Ok(value) if range.contains(&value) => value,
            _ => {
                let (least, greatest) = range.into_inner();
                problems.push(format!("{name} must be a whole number from {least} to {greatest}; {default} is used"));
                default
            }
        },
    }
}

/// `on` or `off`; on where nothing is said.
fn switch(name: &str, text: &str, problems: &mut Vec<String>) -> bool {
    match text.trim() {
        "" | "on" => true,
        "off" => false,
        _ => {
            problems.push(format!("{name} must be \"on\" or \"off\"; \"on\" is used"));
            true
        }
    }
}

/// `sqlite`, `postgres` or `none`. A database that can't be meant is none: tasks are refused then rather than lost.
fn database(name: &str, url: &str, problems: &mut Vec<String>) -> Option<Database> {
    match (name.trim(), url.trim()) {
        ("" | "sqlite", _) => Some(Database::Sqlite),
        ("none", _) => None,
        ("postgres", "") => {
            problems.push("database is \"postgres\", but database_url is empty; there is no database".to_owned());
            None
        }
        ("postgres", url) => Some(Database::Postgres(Rc::from(url))),
        _ => {
            problems.push("database must be \"sqlite\", \"postgres\" or \"none\"; there is no database".to_owned());
            None
        }
    }
}

fn webhooks(host: &str, secret: &str, problems: &mut Vec<String>) -> Option<WebhookEndpoint> {
    let (host, secret) = (host.trim(), secret.trim());
    if host.is_empty() && secret.is_empty() {
        return None;
    }
    WebhookEndpoint::parse(host, secret).map_err(|unusable| problems.push(unusable.to_string())).ok()
}

fn auth(auth: &str, keys: &str, problems: &mut Vec<String>) -> Auth {
    match auth.trim() {
        "open" => return Auth::Open,
        "" | "keys" => {}
        _ => problems.push("auth must be \"keys\" or \"open\"; \"keys\" is used".to_owned()),
    }
    Auth::Keys(ApiKeys::parse(keys))
}

fn public_url(text: &str, problems: &mut Vec<String>) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none() => {
            Some(url.as_str().trim_end_matches('/').to_owned())
        }
        _ => {
            problems.push(
                "public_url must be like https://host or https://host/path; each request's own is used".to_owned(),
            );
            None
        }
    }
}

fn cors_origins(text: &str, problems: &mut Vec<String>) -> CorsOrigins {
    match text.trim() {
        "" | "*" => CorsOrigins::Any,
        "none" => CorsOrigins::Only(Vec::new()),
        listed => {
            let listed = listed.split(',').map(str::trim).filter(|origin| !origin.is_empty());
            let read = listed.filter_map(|listed| match Url::parse(listed).map(|url| url.origin()) {
                Ok(origin) if origin.is_tuple() => Some(origin.ascii_serialization()),
                _ => {
                    problems.push("cors_origins must be *, none or a list of origins such as https://chat.example; what is no origin is left out".to_owned());
                    None
                }
            });
            CorsOrigins::Only(read.collect())
        }
    }
}

fn chat_progress(text: &str, problems: &mut Vec<String>) -> ChatProgress {
    match text.trim() {
        "" => ChatProgress::Reasoning,
        text => ChatProgress::parse(text).unwrap_or_else(|| {
            problems
                .push("chat_progress must be \"reasoning\", \"text\" or \"none\"; \"reasoning\" is used".to_owned());
            ChatProgress::Reasoning
        }),
    }
}

fn link_secret(text: &str, problems: &mut Vec<String>) -> Option<LinkSecret> {
    match text.trim().as_bytes() {
        [] => None,
        secret if secret.len() < 16 => {
            problems.push("link_secret must have 16 characters or more; the one in the database is used".to_owned());
            None
        }
        secret => Some(LinkSecret(secret.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(set: &[(&'static str, &'static str)]) -> Settings {
        Settings::parse(|name| set.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value))
    }

    #[test]
    fn nothing_set_is_the_defaults_without_a_complaint() {
        let settings = parse(&[]);
        assert_eq!(settings.problems, [""; 0]);
        assert!(matches!(&settings.auth, Auth::Keys(keys) if keys.is_empty()));
        assert_eq!(settings.catalog.find(None).unwrap().id, "z-image-turbo");
        assert_eq!(settings.limits, Limits { job: Duration::from_secs(300), idle: Duration::from_secs(45) });
        assert_eq!(settings.link_ttl, Duration::from_secs(86_400));
        assert_eq!(settings.max_image_bytes, 33_554_432);
    }

    #[test]
    fn keys_are_told_apart() {
        let keys = ApiKeys::parse(" sk-a, sk-b,,");
        assert!(keys.find(b"sk-a").is_some() && keys.find(b"sk-b").is_some());
        assert_ne!(keys.find(b"sk-a"), keys.find(b"sk-b"));
        for wrong in ["", "sk-", "sk-A", "sk-a,sk-b", " sk-a", "sk-c"] {
            assert_eq!(keys.find(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(ApiKeys::parse(" , ").is_empty());
        assert_eq!(ApiKeys::default().find(b""), None);
        assert!(!format!("{keys:?}").contains("sk"), "keys can't be printed");
    }

    #[test]
    fn a_word_that_auth_does_not_know_lets_nobody_in() {
        let settings = parse(&[("auth", "opne")]);
        assert!(matches!(settings.auth, Auth::Keys(_)));
        assert_eq!(settings.problems.len(), 1);
        assert!(matches!(parse(&[("auth", "open")]).auth, Auth::Open));
    }

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        let origins = |text| parse(&[("cors_origins", text)]).cors_origins;
        assert_eq!((origins(""), origins("*")), (CorsOrigins::Any, CorsOrigins::Any));
        assert_eq!(origins("none"), CorsOrigins::Only(vec![]));
        let listed = vec!["https://a.example".to_owned(), "http://localhost:3210".to_owned()];
        assert_eq!(origins("https://A.example/, http://localhost:3210,"), CorsOrigins::Only(listed));
        let wrong = parse(&[("cors_origins", "chat.example")]);
        assert_eq!((wrong.cors_origins, wrong.problems.len()), (CorsOrigins::Only(vec![]), 1), "and lets nobody in");
    }

    #[test]
    fn numbers_out_of_range_fall_back() {
        for wrong in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            let settings = parse(&[("job_timeout", wrong)]);
            assert_eq!(settings.limits.job, Duration::from_secs(300), "{wrong}");
            assert_eq!(settings.problems.len(), 1, "{wrong}");
        }
        assert_eq!(parse(&[("requests_per_minute", "0"), ("jobs_per_key", "0")]).problems, [""; 0]);
        assert_eq!(parse(&[("requests_per_minute", "-1")]).problems.len(), 1);
        assert_eq!(parse(&[("idle_timeout", " 3 ")]).limits.idle, Duration::from_secs(3));
    }

    #[test]
    fn the_public_url_keeps_its_path_and_loses_its_last_slash() {
        let public_url = |text| parse(&[("public_url", text)]).public_url;
        assert_eq!(public_url("https://img.example/api/").as_deref(), Some("https://img.example/api"));
        for wrong in ["img.example", "ftp://x", "https://x?y", "javascript:alert(1)"] {
            assert_eq!(public_url(wrong), None, "{wrong}");
        }
    }
}
