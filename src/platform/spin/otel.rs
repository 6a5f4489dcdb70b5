//! Spans by way of `wasi:otel`, which Spin has with `--experimental-wasi-otel`. A component that imports it runs
//! nowhere else, so this is part of a build of its own.
//!
//! Spin ends an instance that ends a span which has not begun, and takes what it does itself for a part of the span
//! that has begun last, whichever request that is of. So a span of a call begins right before the host is asked for it,
//! and all others begin when they end.

use std::time::Duration;

use self::bindings::wasi::clocks::wall_clock::Datetime;
use self::bindings::wasi::otel::tracing::{self, SpanContext, SpanData, Status, TraceFlags};
use self::bindings::wasi::otel::types::{InstrumentationScope, KeyValue};
use crate::platform::span::{Span, SpanKind, SpanPlace, SpanValue, Tracer};

#[allow(unsafe_code, clippy::all, clippy::restriction, reason = "it is generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        path: "wit",
        world: "z-image:component/spans",
        generate_all,
    });
}

/// The host's collector of spans.
#[derive(Default)]
pub(super) struct Otel;

impl Tracer for Otel {
    fn begin(&self, place: &SpanPlace) {
        tracing::on_start(&context(place));
    }

    fn end(&self, span: &Span) {
        tracing::on_end(&data(span));
    }
}

fn context(place: &SpanPlace) -> SpanContext {
    SpanContext {
        trace_id: place.trace.to_string(),
        span_id: place.id.to_string(),
        trace_flags: TraceFlags::SAMPLED,
        is_remote: false,
        trace_state: Vec::new(),
    }
}

fn data(span: &Span) -> SpanData {
    let attribute = |(key, value): &(&'static str, SpanValue)| KeyValue { key: (*key).to_owned(), value: json(value) };
    SpanData {
        span_context: context(&span.place),
        parent_span_id: span.place.parent.as_deref().unwrap_or_default().to_owned(),
        span_kind: match span.kind {
            SpanKind::Server => tracing::SpanKind::Server,
            SpanKind::Client => tracing::SpanKind::Client,
            SpanKind::Internal => tracing::SpanKind::Internal,
        },
        name: span.name.clone(),
        start_time: datetime(span.begun),
        end_time: datetime(span.ended),
        attributes: span.attributes.iter().map(attribute).collect(),
        events: Vec::new(),
        links: Vec::new(),
        status: if span.has_failed { Status::Error(String::new()) } else { Status::Unset },
        instrumentation_scope: InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            schema_url: None,
            attributes: Vec::new(),
        },
        dropped_attributes: 0,
        dropped_events: 0,
        dropped_links: 0,
    }
}

/// A value as the interface has it.
fn json(value: &SpanValue) -> String {
    match value {
        SpanValue::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        SpanValue::Integer(number) => number.to_string(),
        SpanValue::Flag(is_so) => is_so.to_string(),
    }
}

fn datetime(time: Duration) -> Datetime {
    Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
}
