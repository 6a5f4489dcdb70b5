//! Figures as text: Prometheus' format (0.0.4), and OpenMetrics 1.0 for who asks for it.

use std::fmt::Write as _;

use http::HeaderValue;

use super::family::{Family, FamilyKind, STORED};
use super::pending::{ABOVE, TOTAL};
use super::registry::StoredFigure;

/// Format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus' own.
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl TextFormat {
    /// Format that a request with that `Accept` gets.
    pub fn accepted(accept: Option<&HeaderValue>) -> Self {
        let accepts = accept
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.split(',').any(|one| one.trim().starts_with("application/openmetrics-text")));
        if accepts { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Media type.
    pub fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// Text of figures.
pub struct MetricsText {
    format: TextFormat,
    text: String,
}

impl MetricsText {
    /// A text without figures.
    pub fn new(format: TextFormat) -> Self {
        Self { format, text: String::with_capacity(16 << 10) }
    }

    /// Writes figures of the service. They are in the order of their families' names, labels and buckets.
    pub fn write_stored(&mut self, figures: &[StoredFigure]) {
        for family in STORED {
            let own = figures.iter().filter(|(name, ..)| name == family.name).collect::<Vec<_>>();
            self.head(family);
            for series in own.chunk_by(|(_, one, ..), (_, other, ..)| one == other) {
                let Some((_, labels, ..)) = series.first() else { continue };
                let buckets: Vec<(i64, f64)> = series.iter().map(|(_, _, bucket, number)| (*bucket, *number)).collect();
                match family.kind {
                    FamilyKind::Histogram(bounds) => self.histogram(family.name, labels, bounds, &buckets),
                    FamilyKind::Counter => self.sample(family.name, "_total", labels, sum(&buckets, |_| true)),
                    FamilyKind::Gauge => self.sample(family.name, "", labels, sum(&buckets, |_| true)),
                }
            }
        }
    }

    /// Writes the figures of a family of numbers at the moment, each with its labels.
    pub fn write_gauge(&mut self, family: &Family, figures: impl IntoIterator<Item = (String, f64)>) {
        self.head(family);
        for (labels, number) in figures {
            self.sample(family.name, "", &labels, number);
        }
    }

    /// The text.
    pub fn finish(mut self) -> String {
        if self.format == TextFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, family: &Family) {
        let (kind, suffix) = match family.kind {
            FamilyKind::Counter if self.format == TextFormat::Prometheus => ("counter", "_total"),
            FamilyKind::Counter => ("counter", ""),
            FamilyKind::Gauge => ("gauge", ""),
            FamilyKind::Histogram(_) => ("histogram", ""),
        };
        let Family { name, help, .. } = family;
        let _ = write!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
    }

    fn histogram(&mut self, name: &str, labels: &str, bounds: &[i64], buckets: &[(i64, f64)]) {
        let comma = if labels.is_empty() { "" } else { "," };
        for bound in bounds {
            // What another version has counted by other bounds is below one of these.
            let below = sum(buckets, |bucket| bucket != TOTAL && bucket <= *bound);
            self.sample(name, "_bucket", &format!("{labels}{comma}le=\"{}\"", seconds(*bound)), below);
        }
        let all = sum(buckets, |bucket| bucket != TOTAL);
        self.sample(name, "_bucket", &format!("{labels}{comma}le=\"+Inf\""), all);
        self.sample(name, "_sum", labels, sum(buckets, |bucket| bucket == TOTAL));
        self.sample(name, "_count", labels, all);
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, number: f64) {
        let _ = if labels.is_empty() {
            writeln!(self.text, "{name}{suffix} {number}")
        } else {
            writeln!(self.text, "{name}{suffix}{{{labels}}} {number}")
        };
    }
}

fn sum(buckets: &[(i64, f64)], is_meant: impl Fn(i64) -> bool) -> f64 {
    // From a zero that has no sign.
    buckets.iter().filter(|(bucket, _)| is_meant(*bucket)).fold(0.0, |sum, (_, number)| sum + number)
}

/// Microseconds as seconds, with a point as OpenMetrics wants it.
fn seconds(micros: i64) -> String {
    if micros == ABOVE {
        return "+Inf".to_owned();
    }
    let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
    let part = format!("{part:06}");
    let part = part.trim_end_matches('0');
    format!("{whole}.{}", if part.is_empty() { "0" } else { part })
}

#[cfg(test)]
mod tests {
    use super::super::family::{DATABASE_UP, MOMENTARY};
    use super::*;

    fn figure(name: &str, labels: &str, bucket: i64, number: f64) -> StoredFigure {
        (name.to_owned(), labels.to_owned(), bucket, number)
    }

    fn text(format: TextFormat) -> String {
        let mut text = MetricsText::new(format);
        text.write_stored(&[
            figure("zimage_database_statement_duration_seconds", "", TOTAL, 4.25),
            figure("zimage_database_statement_duration_seconds", "", 1_000, 2.0),
            figure("zimage_database_statement_duration_seconds", "", 1_500, 1.0),
            figure("zimage_database_statement_duration_seconds", "", ABOVE, 1.0),
            figure("zimage_requests", "route=\"/v1\",status=\"200\"", TOTAL, 3.0),
        ]);
        text.write_gauge(&DATABASE_UP, [(String::new(), 1.0)]);
        text.finish()
    }

    #[test]
    fn a_histogram_adds_up_whoever_has_counted() {
        let text = text(TextFormat::Prometheus);
        for line in [
            "zimage_database_statement_duration_seconds_bucket{le=\"0.0005\"} 0",
            "zimage_database_statement_duration_seconds_bucket{le=\"0.001\"} 2",
            "zimage_database_statement_duration_seconds_bucket{le=\"0.0025\"} 3",
            "zimage_database_statement_duration_seconds_bucket{le=\"1.0\"} 3",
            "zimage_database_statement_duration_seconds_bucket{le=\"+Inf\"} 4",
            "zimage_database_statement_duration_seconds_sum 4.25",
            "zimage_database_statement_duration_seconds_count 4",
            "zimage_requests_total{route=\"/v1\",status=\"200\"} 3",
            "# TYPE zimage_requests_total counter",
            "zimage_database_up 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }

    #[test]
    fn open_metrics_names_counters_without_their_suffix_and_has_an_end() {
        let text = text(TextFormat::OpenMetrics);
        assert!(text.contains("# TYPE zimage_requests counter\nzimage_requests_total{"), "{text}");
        assert!(text.ends_with("zimage_database_up 1\n# EOF\n"), "{text}");
        let accepted = |accept| TextFormat::accepted(Some(&HeaderValue::from_static(accept)));
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75";
        assert_eq!(accepted(prometheus), TextFormat::OpenMetrics);
        assert_eq!(accepted("text/plain, */*"), TextFormat::Prometheus);
        assert_eq!(TextFormat::accepted(None), TextFormat::Prometheus);
    }

    #[test]
    fn names_keep_to_prometheus_conventions_and_are_unique() {
        let mut names: Vec<&str> = STORED.iter().chain(MOMENTARY).map(|family| family.name).collect();
        for family in STORED.iter().chain(MOMENTARY) {
            let is_time = matches!(family.kind, FamilyKind::Histogram(_));
            assert_eq!(is_time, family.name.ends_with("_seconds"), "{}", family.name);
            assert!(family.name.starts_with("zimage_") && !family.name.ends_with("_total"), "{}", family.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
