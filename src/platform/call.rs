//! Calls of other servers, with their spans.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::exchange::{Inbound, Outbound, TransportError};
use super::port::Host;
use super::span::{Span, SpanKind, SpanPlace};

/// Sends a request. Where it has the place of a span, that of the call lasts until the answer's head is here.
pub fn send(host: &Host, mut request: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
    let Some(place) = request.span.take() else { return host.send(request) };
    let host = Rc::clone(host);
    Box::pin(async move {
        // Nothing else runs between the beginning and what the host does for the request.
        let call = CallSpan::begin(&host, place, &request);
        let answer = host.send(request).await;
        call.end(&answer);
        answer
    })
}

/// Span of a call, which ends as one that was given up unless it is known better.
struct CallSpan {
    host: Host,
    span: Span,
}

impl CallSpan {
    fn begin(host: &Host, place: SpanPlace, request: &Outbound) -> Self {
        if let Some(tracer) = host.tracer() {
            tracer.begin(&place);
        }
        let (method, now) = (request.method.as_str(), host.unix_time());
        let mut attributes = vec![("http.request.method", method.into())];
        attributes.extend(request.url.host_str().map(|name| ("server.address", name.into())));
        attributes.extend(request.url.port_or_known_default().map(|port| ("server.port", port.into())));
        attributes.push(("error.type", "cancelled".into()));
        let (kind, name) = (SpanKind::Client, method.to_owned());
        let span = Span { place, kind, name, begun: now, ended: now, attributes, has_failed: true };
        Self { host: Rc::clone(host), span }
    }

    fn end(mut self, answer: &Result<Inbound, TransportError>) {
        let Span { attributes, has_failed, .. } = &mut self.span;
        attributes.pop();
        match answer {
            Ok(answer) => {
                *has_failed = answer.status.as_u16() >= 400;
                attributes.push(("http.response.status_code", answer.status.as_u16().into()));
                attributes.extend(has_failed.then(|| ("error.type", answer.status.as_str().into())));
            }
            Err(error) => attributes.push(("error.type", error.kind().into())),
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        self.span.ended = self.host.unix_time();
        if let Some(tracer) = self.host.tracer() {
            tracer.end(&self.span);
        }
    }
}
