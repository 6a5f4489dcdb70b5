//! State that the requests of an instance share.

use std::cell::OnceCell;
use std::rc::Rc;

use super::log;
use crate::dispatch::Dispatcher;
use crate::gradio::client::Client;
use crate::history::History;
use crate::idempotency::flight::Flights;
use crate::limits::jobs::Jobs;
use crate::limits::rate::Rates;
use crate::media::conversions::Conversions;
use crate::media::keyring::Keyring;
use crate::media::link::Signer;
use crate::media::transcode::Converter;
use crate::observe::metrics::registry::Metrics;
use crate::observe::observer::Observer;
use crate::openai::server::Services;
use crate::platform::Host;
use crate::platform::log::Log;
#[cfg(any(feature = "wasi", test))]
use crate::platform::log::{Level, LogRecord};
use crate::settings::Settings;
use crate::store::Store;
use crate::store::lease::Leases;
use crate::store::sweep::Sweeper;
use crate::tasks::supervisor::{TaskSupervisor, Tools};
use crate::warn_once::WarnOnce;

/// Warning of links that lead elsewhere than clients ask.
const MISLED: &str = "A proxy says that clients reach this server at another address than its links and task URLs \
                      name. Set the variable public_url to that address; the proxy's headers themselves are not \
                      trusted.";

/// State that the requests of an instance share.
pub struct App {
    pub(super) host: Host,
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) observer: Rc<Observer>,
    pub(super) metrics: Rc<Metrics>,
    pub(super) sweeper: Rc<Sweeper>,
    pub(super) client: Client,
    pub(super) rates: Rates,
    pub(super) jobs: Jobs,
    pub(super) flights: Rc<Flights>,
    pub(super) converter: Converter,
    pub(super) conversions: Rc<Conversions>,
    pub(super) history: Rc<History>,
    pub(super) tasks: Rc<TaskSupervisor>,
    /// Services that endpoints use.
    pub(super) services: Services,
    /// Logged once a proxy says that clients use another address than the links.
    pub(super) misled: WarnOnce,
    /// Set once the settings' problems have been logged.
    pub(super) is_reported: OnceCell<()>,
}

impl App {
    /// Reads the settings, and composes the application of them.
    pub async fn load(host: Host) -> Self {
        let settings = Settings::load(&host).await;
        Self::new(host, settings)
    }

    /// Logs what an operator may want to know of this kind of host.
    #[cfg(any(feature = "wasi", test))]
    pub(crate) fn note(&self, message: &str) {
        (self.log)(&LogRecord::new(Level::Info, message));
    }

    /// Composes the application of `settings`.
    pub fn new(host: Host, settings: Settings) -> Self {
        let client = Client::new(Rc::clone(&host), settings.limits).with_image_hosts(&settings.media.image_hosts);
        let log = log::above(settings.log_level, &host);
        let store = Store::new(&host, settings.database.clone(), &log);
        let metrics = Metrics::new(&store, settings.metrics.is_on(), &settings.catalog);
        let observer = Observer::new(&host, &log, &metrics, settings.log_prompts);
        let leases = Leases::new(&store);
        let signer = settings.media.link_secret.as_ref().and_then(|secret| Signer::new(secret.bytes()));
        let keyring = Rc::new(Keyring::new(&store, signer));
        let policy = settings.policy.clone();
        let dispatcher = Rc::new(Dispatcher::new(client.clone(), policy, &settings.catalog, &leases));
        let jobs = Jobs::new(&leases, settings.key_limits.jobs);
        let converter = Converter::new(&host);
        let history = History::new(&store, settings.history);
        let services = Services {
            host: Rc::clone(&host),
            catalog: settings.catalog.clone(),
            dispatcher: Rc::clone(&dispatcher),
            keyring: Rc::clone(&keyring),
            store: store.clone(),
            max_image_bytes: settings.media.max_image_bytes,
            reveal_spaces: settings.reveal_spaces,
            chat_progress: settings.chat_progress,
            response_ttl: settings.response_ttl,
            started: host.unix_time().as_secs(),
        };
        let tools = Tools {
            store: store.clone(),
            leases,
            dispatcher: Rc::clone(&dispatcher),
            converter: converter.clone(),
            catalog: settings.catalog.clone(),
            keyring: Rc::clone(&keyring),
            history: Rc::clone(&history),
            max_image_bytes: settings.media.max_image_bytes,
            link_ttl: settings.media.link_ttl,
            reveal_spaces: settings.reveal_spaces,
            metrics: Rc::clone(&metrics),
            log: Rc::clone(&log),
        };
        let tasks = Rc::new(TaskSupervisor::new(settings.tasks.clone(), tools));
        Self {
            history,
            tasks,
            services,
            rates: Rates::new(&store, settings.key_limits.requests_per_minute),
            jobs,
            flights: Flights::new(&store, settings.idempotency_ttl),
            conversions: Conversions::new(&store, &converter),
            converter,
            sweeper: Sweeper::new(&store),
            host,
            settings,
            client,
            misled: WarnOnce::new(MISLED, &log),
            log,
            observer,
            metrics,
            is_reported: OnceCell::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    #[test]
    fn a_note_of_the_host_has_its_time_and_heeds_the_level() {
        let noted = |level: &str| {
            let world = World::new(1);
            world.set_variable("log_level", level);
            let host = world.host();
            world.run(async move { App::load(host).await.note("There is no database.") });
            world.log_lines()
        };
        let [line] = &noted("info")[..] else { panic!("it is one line") };
        assert!(line.starts_with("{\"time\":\"") && line.contains("\"level\":\"info\""), "{line}");
        assert!(line.ends_with("\"message\":\"There is no database.\"}"), "{line}");
        assert_eq!((noted("debug").len(), noted("warn").len()), (1, 0));
    }
}
