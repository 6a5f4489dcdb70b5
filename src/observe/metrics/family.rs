//! Families of figures: their names, meanings and kinds.

/// A family of figures.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name, without the suffixes of its samples.
    pub name: &'static str,
    /// Meaning, in one line.
    pub help: &'static str,
    /// Kind.
    pub kind: FamilyKind,
}

/// Kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// A number that only grows.
    Counter,
    /// A number at the moment.
    Gauge,
    /// Times by size, in buckets up to those bounds, in microseconds.
    Histogram(&'static [i64]),
}

/// Bounds for what takes tenths of seconds to minutes.
const SECONDS: FamilyKind = FamilyKind::Histogram(&[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    20_000_000,
    40_000_000,
    80_000_000,
    160_000_000,
    320_000_000,
]);
/// Bounds for what takes milliseconds.
const MILLISECONDS: FamilyKind =
    FamilyKind::Histogram(&[500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 3_000_000]);

macro_rules! families {
    ($stored:ident: $($id:ident = $name:literal $kind:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Family = Family { name: $name, help: $help, kind: $kind };
        )*

        /// All of them, in the order in which they are shown.
        pub const $stored: &[Family] = &[$($id),*];
    };
}

families! { STORED:
    REQUESTS = "zimage_requests" FamilyKind::Counter, "Requests that have ended, by route and status.";
    REQUEST_DURATION = "zimage_request_duration_seconds" SECONDS, "Time from a request to the end of its answer.";
    RESPONSE_BYTES = "zimage_response_bytes" FamilyKind::Counter, "Bytes of answers' bodies that were taken.";
    CLIENTS_LEFT = "zimage_clients_left" FamilyKind::Counter, "Requests whose clients left before the end.";
    IMAGES = "zimage_images" FamilyKind::Counter, "Images that have ended, by model, Space and outcome.";
    RETRIES = "zimage_image_retries" FamilyKind::Counter, "Images that were given to a Space once more, by model.";
    WAIT = "zimage_image_wait_seconds" SECONDS, "Time until an image had a slot, tries before included.";
    QUEUE = "zimage_image_queue_seconds" SECONDS, "Time of an image in the queue of the Space that made it.";
    GENERATE = "zimage_image_generate_seconds" SECONDS, "Time of an image in the function of its Space.";
    FETCH = "zimage_image_fetch_seconds" SECONDS, "Time from the end of the function until the image was here.";
    TASKS_ENDED = "zimage_tasks_ended" FamilyKind::Counter, "Tasks that have ended, by status.";
    STATEMENTS = "zimage_database_statement_duration_seconds" MILLISECONDS, "Time of a statement in the database.";
    DATABASE_ERRORS = "zimage_database_errors" FamilyKind::Counter, "Statements that have failed, by kind.";
}

families! { MOMENTARY:
    WAITING = "zimage_jobs_waiting" FamilyKind::Gauge, "Images that wait for a slot, by the queue's first model.";
    IN_FLIGHT = "zimage_jobs_in_flight" FamilyKind::Gauge, "Jobs at a Space.";
    SLOTS = "zimage_slots" FamilyKind::Gauge, "Jobs that a Space may have at once.";
    BREAKER = "zimage_breaker_state" FamilyKind::Gauge, "State of a Space's breaker: 1 for the one it is in.";
    EXHAUSTED = "zimage_token_exhausted" FamilyKind::Gauge, "Quota of a Space's token: 1 while it is used up.";
    TASKS = "zimage_tasks" FamilyKind::Gauge, "Tasks that have not ended, by status; webhook: one is due.";
    DATABASE_UP = "zimage_database_up" FamilyKind::Gauge, "1 while the database answers.";
    BUILD = "zimage_build_info" FamilyKind::Gauge, "Version of the component that answers.";
}
