//! Registry of an instance's figures, which adds them to those of the service.
//!
//! A task writes what has come together in some seconds, by one statement that adds. A batch that the database refuses
//! is kept for the next one; one that it doesn't answer in time may have been written, and is given up: figures are
//! rather too low than counted twice. Nothing waits for it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use super::family::{DATABASE_ERRORS, Family, STATEMENTS, STORED};
use super::labels::labels;
use super::pending::{PendingFigures, row};
use crate::catalog::{Catalog, Model};
use crate::platform::{StoreError, random_bytes};
use crate::store::Store;
use crate::store::row::Columns;
use crate::store::statement::Argument;
use crate::store::statements::metric;

/// Time for which the first figure of a batch waits for others; by chance, up to half as long again.
const DELAY: Duration = Duration::from_secs(2);
/// Number of figures that a statement adds, at most.
const AT_ONCE: usize = 200;
/// Number of figures that are read, at most.
const MOST: i64 = 20_000;
/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// Label of a model or Space that isn't in the catalogue.
const OTHER: &str = "other";

/// A figure of the service: name of the family, labels, upper bound of the bucket in microseconds, and number.
pub type StoredFigure = (String, String, i64, f64);

/// Registry of an instance's figures.
pub struct Metrics {
    store: Store,
    is_on: bool,
    models: HashSet<String>,
    spaces: HashSet<String>,
    pending: RefCell<PendingFigures>,
    is_writing: Cell<bool>,
}

impl Metrics {
    /// A registry that keeps figures in `store` where `is_on`, of the models and Spaces of `catalog`.
    pub fn new(store: &Store, is_on: bool, catalog: &Catalog) -> Rc<Self> {
        let this = Rc::new(Self {
            store: store.clone(),
            is_on: is_on && store.is_on(),
            models: catalog.models().iter().map(|model| model.id.clone()).collect(),
            spaces: catalog.spaces().map(|space| space.name().to_owned()).collect(),
            pending: RefCell::default(),
            is_writing: Cell::default(),
        });
        if this.is_on {
            let listener = Rc::downgrade(&this);
            store.watch(Rc::new(move |took, error| {
                if let Some(this) = listener.upgrade() {
                    this.note_statement(took, error);
                }
            }));
        }
        this
    }

    /// Monotonic time.
    pub fn now(&self) -> Duration {
        self.store.host().now()
    }

    /// True where figures are kept.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Label of a model; a choice of one counts as the model.
    pub fn model<'a>(&self, model: &'a Model) -> &'a str {
        let id = model.choice.as_ref().map_or(&model.id, |choice| &choice.of);
        if self.models.contains(id) { id } else { OTHER }
    }

    /// Label of the Space of that name.
    pub fn space<'a>(&self, name: &'a str) -> &'a str {
        if self.spaces.contains(name) { name } else { OTHER }
    }

    /// Adds to a counter.
    pub fn add(self: &Rc<Self>, family: &Family, pairs: &[(&str, &str)], number: f64) {
        if self.is_on {
            self.pending.borrow_mut().add(family, labels(pairs), number);
            self.write_soon();
        }
    }

    /// Adds a time to a histogram.
    pub fn observe(self: &Rc<Self>, family: &Family, pairs: &[(&str, &str)], time: Duration) {
        if self.is_on {
            self.pending.borrow_mut().observe(family, labels(pairs), time);
            self.write_soon();
        }
    }

    /// Notes a statement. That alone starts no write, which would be a statement, and so on for ever.
    fn note_statement(&self, took: Duration, error: Option<&StoreError>) {
        let mut pending = self.pending.borrow_mut();
        pending.observe(&STATEMENTS, String::new(), took);
        let kind = match error {
            None => return,
            Some(StoreError::TimedOut(_)) => "timeout",
            Some(_) => "failed",
        };
        pending.add(&DATABASE_ERRORS, labels(&[("kind", kind)]), 1.0);
    }

    fn write_soon(self: &Rc<Self>) {
        if self.is_writing.replace(true) {
            return;
        }
        let this = Rc::clone(self);
        self.store.host().spawn(Box::pin(async move {
            // By chance, too, so that instances that began together don't write together.
            let [lot] = random_bytes::<1>(this.store.host());
            this.store.host().sleep(DELAY + DELAY * u32::from(lot) / 512).await;
            this.is_writing.set(false);
            // Where the store fails, the next figure starts another write.
            let _ = this.flush().await;
        }));
    }

    /// Adds the figures of this instance to those of the service.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn flush(&self) -> Result<(), StoreError> {
        // What its own statements leave is for the next time.
        let mut rounds = self.pending.borrow().count().div_ceil(AT_ONCE);
        while rounds > 0 {
            rounds -= 1;
            let batch = self.pending.borrow_mut().take(AT_ONCE);
            let now = self.store.now();
            let day = now - now % DAY;
            let rows = Argument::Rows(batch.iter().map(|figure| row(figure, day)).collect());
            match self.store.query(&metric::ADD, vec![("rows", rows)]).await {
                Ok(_) => {}
                Err(error) => {
                    if !matches!(error, StoreError::TimedOut(_)) {
                        self.pending.borrow_mut().put_back(batch);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Figures of the service, in the order of their families' names, labels and buckets.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn read(&self) -> Result<Vec<StoredFigure>, StoreError> {
        let names = Argument::list(STORED.iter().map(|family| family.name));
        let rows = self.store.query(&metric::READ, vec![("names", names), ("most", MOST.into())]).await?;
        let figure = |row| {
            let mut columns = Columns::of(row);
            Ok((columns.text()?, columns.text()?, columns.integer()?, columns.real()?))
        };
        rows.into_iter().map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::family::{GENERATE, REQUESTS};
    use super::super::pending::{ABOVE, TOTAL};
    use super::*;
    use crate::platform::sim::World;
    use crate::store::sweep::Sweeper;
    use crate::store::tests::store;

    const DAYS: Duration = Duration::from_secs(86_400);

    /// Figures of `families` after a sweep: labels, bucket and number.
    fn swept(world: &World, metrics: &Rc<Metrics>, families: &[&Family]) -> Vec<(String, i64, f64)> {
        let (this, sweeper) = (Rc::clone(metrics), Sweeper::new(&metrics.store));
        let figures = world.run(async move {
            this.flush().await.unwrap();
            sweeper.sweep().await.unwrap();
            this.read().await.unwrap()
        });
        let is_meant = |name: &str| families.iter().any(|family| family.name == name);
        let meant = figures.into_iter().filter(|(name, ..)| is_meant(name));
        meant.map(|(_, labels, bucket, number)| (labels, bucket, number)).collect()
    }

    #[test]
    fn what_nobody_adds_to_is_swept_and_what_somebody_adds_to_stays_whole() {
        let world = World::new(1);
        let metrics = Metrics::new(&store(&world), true, &Catalog::parse("a/b, c/d", "", &mut Vec::new()));
        let observe = |space: &str, seconds: u64| {
            metrics.observe(&GENERATE, &[("space", space)], Duration::from_secs(seconds));
        };
        let a = |bucket, number| ("space=\"a/b\"".to_owned(), bucket, number);
        observe("a/b", 1);
        observe("c/d", 1);
        metrics.add(&REQUESTS, &[("route", "x")], 1.0);
        assert_eq!(swept(&world, &metrics, &[&GENERATE, &REQUESTS]).len(), 5);
        world.pass(20 * DAYS);
        observe("a/b", 400);
        assert_eq!(swept(&world, &metrics, &[&GENERATE, &REQUESTS]).len(), 6, "it is too early");
        world.pass(20 * DAYS);
        // The bucket to which nothing was added for 40 days is a part of what lives on.
        let seen = swept(&world, &metrics, &[&GENERATE, &REQUESTS]);
        assert_eq!(seen, [a(TOTAL, 401.0), a(1_000_000, 1.0), a(ABOVE, 1.0)]);
        world.pass(20 * DAYS);
        observe("a/b", 1);
        assert_eq!(swept(&world, &metrics, &[&GENERATE])[1], a(1_000_000, 2.0));
        world.pass(32 * DAYS);
        assert_eq!(swept(&world, &metrics, &[&GENERATE, &REQUESTS]), [], "all of it is gone");
    }

    #[test]
    fn figures_from_before_their_day_was_kept_are_as_old_as_the_migration() {
        let world = World::new(2);
        let before = [
            "CREATE TABLE metric (name TEXT NOT NULL, labels TEXT NOT NULL, bucket BIGINT NOT NULL, \
             value DOUBLE PRECISION NOT NULL, PRIMARY KEY (name, labels, bucket))",
            "INSERT INTO metric VALUES ('zimage_requests', 'a', 0, 7.0), ('zimage_requests', 'b', 0, 1.0)",
            "CREATE TABLE meta (name TEXT PRIMARY KEY, number BIGINT NOT NULL, bytes BLOB NOT NULL)",
            "INSERT INTO meta VALUES ('schema', 4, x''), ('link_secret', 0, zeroblob(32))",
        ];
        for sql in before {
            world.database().query(sql, &[]).unwrap();
        }
        world.pass(100 * DAYS);
        let catalog = Catalog::parse("a/b", "", &mut Vec::new());
        // Two instances of the new version begin together.
        let stores = [store(&world), store(&world)];
        let [metrics, _] = stores.each_ref().map(|store| Metrics::new(store, true, &catalog));
        world.run(async move {
            for outcome in futures::future::join_all(stores.iter().map(Store::meta)).await {
                outcome.unwrap();
            }
        });
        // One of the old version adds as it did.
        world
            .database()
            .query(
                "INSERT INTO metric (name, labels, bucket, value) VALUES ('zimage_requests', 'b', 0, \
                                2.0) ON CONFLICT (name, labels, bucket) DO UPDATE SET value = metric.value + \
                                excluded.value",
                &[],
            )
            .unwrap();
        let of = |labels: &str, number| (labels.to_owned(), TOTAL, number);
        world.pass(29 * DAYS);
        assert_eq!(swept(&world, &metrics, &[&REQUESTS]), [of("a", 7.0), of("b", 3.0)]);
        world.pass(2 * DAYS);
        assert_eq!(swept(&world, &metrics, &[&REQUESTS]), []);
        let logged = world.log_lines();
        assert_eq!(logged, [""; 0], "a column that is there is no failure");
    }
}
