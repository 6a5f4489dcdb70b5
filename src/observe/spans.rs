//! Spans of a request that has ended, of the same facts as its line in the log: its own, and for each image one with
//! the wait, the Space's queue, its function and the fetch in it. Neither key nor prompt is in any.
//!
//! Source: OpenTelemetry's semantic conventions for HTTP server spans.

use std::rc::Rc;
use std::time::Duration;

use http::Method;

use super::record::{ImageEnd, RequestEnd, RequestFacts, RequestRecord};
use crate::dispatch::Timing;
use crate::platform::span::{Span, SpanKind, SpanPlace, SpanValue, Tracer};
use crate::platform::{Host, random_hex};

/// Methods that the conventions know.
const METHODS: [Method; 9] = [
    Method::CONNECT,
    Method::DELETE,
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::PATCH,
    Method::POST,
    Method::PUT,
    Method::TRACE,
];

/// Hands over the spans of a request that has ended, where its trace is collected.
pub(super) fn report(host: &Host, record: &RequestRecord, end: RequestEnd) {
    record.read(|known| {
        let place = known.trace.as_ref().and_then(|trace| trace.span());
        let (Some(tracer), Some(place)) = (host.tracer(), place) else { return };
        let reporter = Reporter { host, tracer, now: host.now(), unix: host.unix_time() };
        reporter.request(&place, record, known, end);
        for image in &known.images {
            reporter.image(&place, known.model.as_deref(), image);
        }
    });
}

struct Reporter<'a> {
    host: &'a Host,
    tracer: &'a dyn Tracer,
    /// The same moment, monotonic and since the Unix epoch.
    now: Duration,
    unix: Duration,
}

type Attributes = Vec<(&'static str, SpanValue)>;

impl Reporter<'_> {
    fn request(&self, place: &SpanPlace, record: &RequestRecord, known: &RequestFacts, end: RequestEnd) {
        let method = if METHODS.contains(record.method()) { record.method().as_str() } else { "_OTHER" };
        let route = known.route.map(|route| route.pattern);
        let verb = if method == "_OTHER" { "HTTP" } else { method };
        let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
        let status = known.status.to_string();
        let error = match end {
            RequestEnd::Broken => Some("broken"),
            _ if known.status >= 500 => Some(status.as_str()),
            _ => None,
        };
        let mut attributes: Attributes =
            vec![("http.request.method", method.into()), ("zimage.request_id", record.id().into())];
        attributes.extend(route.map(|route| ("http.route", route.into())));
        attributes.extend((known.status > 0).then(|| ("http.response.status_code", known.status.into())));
        attributes.extend(known.model.as_deref().map(|model| ("zimage.model", model.into())));
        attributes.extend(known.asked.map(|asked| ("zimage.images.asked", asked.into())));
        if known.has_started {
            attributes.push(("zimage.images.made", known.made.into()));
            attributes.push(("zimage.images.failed", known.failed.into()));
        }
        attributes.extend((end == RequestEnd::Left).then(|| ("zimage.client_left", true.into())));
        self.report(place.clone(), SpanKind::Server, name, (record.begun(), self.now), attributes, error);
    }

    fn image(&self, request: &SpanPlace, model: Option<&str>, image: &ImageEnd) {
        let place = self.below(request);
        let mut attributes: Attributes = vec![("zimage.image.index", image.index.into())];
        attributes.extend(model.map(|model| ("zimage.model", model.into())));
        attributes.extend(image.space.as_deref().map(|space| ("zimage.space", space.into())));
        let Timing { wait, queue, generate, fetch } = image.timing.unwrap_or_default();
        let mut end = image.ended;
        // One after the other, up to the end of the last.
        let phases = [("fetch", fetch), ("generate", generate), ("queue", queue), ("wait", wait)];
        for (name, time) in phases.into_iter().filter(|_| image.timing.is_some()) {
            let begun = end.saturating_sub(time);
            let attributes = attributes.clone();
            self.report(self.below(&place), SpanKind::Internal, name.to_owned(), (begun, end), attributes, None);
            end = begun;
        }
        let begun = if image.timing.is_some() { end } else { image.begun };
        self.report(place, SpanKind::Internal, "image".to_owned(), (begun, image.ended), attributes, image.error);
    }

    fn report(
        &self,
        place: SpanPlace,
        kind: SpanKind,
        name: String,
        (begun, ended): (Duration, Duration),
        mut attributes: Attributes,
        error: Option<&str>,
    ) {
        attributes.extend(error.map(|error| ("error.type", error.into())));
        let unix = |time: Duration| self.unix.saturating_sub(self.now.saturating_sub(time));
        let (begun, ended, has_failed) = (unix(begun), unix(ended), error.is_some());
        self.tracer.begin(&place);
        self.tracer.end(&Span { place, kind, name, begun, ended, attributes, has_failed });
    }

    /// A place below `above`.
    fn below(&self, above: &SpanPlace) -> SpanPlace {
        let (trace, parent) = (Rc::clone(&above.trace), Some(Rc::clone(&above.id)));
        SpanPlace { trace, id: random_hex::<8>(self.host).into(), parent }
    }
}
