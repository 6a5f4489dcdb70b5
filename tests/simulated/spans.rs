//! Spans of requests, where the host collects them.

use z_image_2api::platform::span::{Span, SpanKind, SpanValue};

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ABOVE: &str = "00f067aa0ba902b7";
const PAGE: &str = "/v1/images/generations";

/// Spans of the answer to a request for images in that world, which comes with that `traceparent`.
fn spans(world: &World, fields: Value, traceparent: &str) -> Vec<Span> {
    world.collect_spans();
    let mut asked = request(Method::POST, PAGE, fields.to_string());
    if !traceparent.is_empty() {
        asked.headers_mut().insert("traceparent", traceparent.parse().unwrap());
    }
    world.run_for(Duration::from_secs(600), ask(world.clone(), asked));
    world.pass(Duration::from_secs(120));
    assert_eq!(world.collect_spans().open(), 0, "each has ended");
    world.collect_spans().ended()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a SpanValue> {
    span.attributes.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

fn text(span: &Span, name: &str) -> String {
    let Some(SpanValue::Text(text)) = attribute(span, name) else { panic!("{name} of {span:?}") };
    text.clone()
}

#[test]
fn a_request_has_a_span_with_its_images_and_its_calls_below() {
    let (world, _) = world(440, Fate::Succeeds);
    let prompt = "a fox that nobody else has asked for";
    let seen = spans(&world, json!({"prompt": prompt, "n": 2}), &format!("00-{TRACE}-{ABOVE}-01"));
    assert!(seen.iter().all(|span| &*span.place.trace == TRACE && span.begun <= span.ended), "{seen:#?}");

    let [server] = named(&seen, "POST /v1/images/generations")[..] else { panic!("{seen:#?}") };
    assert_eq!((server.kind, server.place.parent.as_deref()), (SpanKind::Server, Some(ABOVE)));
    assert_eq!((text(server, "http.request.method").as_str(), text(server, "http.route").as_str()), ("POST", PAGE));
    assert_eq!(attribute(server, "http.response.status_code"), Some(&SpanValue::Integer(200)));
    assert_eq!(attribute(server, "zimage.images.made"), Some(&SpanValue::Integer(2)));
    assert_eq!((attribute(server, "error.type"), server.has_failed), (None, false));
    assert!(server.begun >= Duration::from_secs(1_800_000_000), "its times are those of the wall clock");

    let images = named(&seen, "image");
    assert_eq!(images.len(), 2);
    for image in images {
        assert_eq!(image.place.parent.as_ref(), Some(&server.place.id));
        assert!(server.begun <= image.begun && image.ended <= server.ended);
        let phases: Vec<&Span> = ["wait", "queue", "generate", "fetch"]
            .iter()
            .map(|name| {
                let own = |span: &&Span| span.name == *name && span.place.parent.as_ref() == Some(&image.place.id);
                let [phase] = seen.iter().filter(own).collect::<Vec<_>>()[..] else { panic!("{name}: {seen:#?}") };
                assert_eq!(
                    (text(phase, "zimage.model").as_str(), text(phase, "zimage.space").as_str()),
                    ("z-image-turbo", SPACE)
                );
                phase
            })
            .collect();
        assert_eq!((phases[0].begun, phases[3].ended), (image.begun, image.ended));
        assert!(phases.windows(2).all(|pair| pair[0].ended == pair[1].begun), "one after the other: {phases:#?}");
        assert!(phases[2].ended > phases[2].begun, "its function takes a while");
    }

    let calls: Vec<&Span> = seen.iter().filter(|span| span.kind == SpanKind::Client).collect();
    assert!(calls.iter().all(|call| call.place.parent.as_ref() == Some(&server.place.id)), "{calls:#?}");
    assert_eq!(text(calls[0], "server.address"), "127.0.0.1");
    let ids: Vec<String> = calls.iter().map(|call| format!("00-{TRACE}-{}-01", call.place.id)).collect();
    let sent = world.sent();
    assert!(sent.iter().all(|(_, headers)| ids.iter().any(|id| headers["traceparent"] == id)), "{sent:#?}");
    assert_eq!(sent.len(), calls.len());

    let all = format!("{seen:?}");
    assert!(!all.contains(prompt) && !all.contains(KEY), "neither prompts nor keys: {all}");
}

#[test]
fn a_trace_begins_here_where_none_comes_and_one_that_is_not_sampled_is_passed_on_alone() {
    let (begun, _) = world(441, Fate::Succeeds);
    let seen = spans(&begun, json!({"prompt": "x"}), "");
    let [server] = named(&seen, "POST /v1/images/generations")[..] else { panic!("{seen:#?}") };
    assert_eq!((&server.place.parent, server.place.trace.len()), (&None, 32));
    let parent = format!("00-{}-", server.place.trace);
    assert!(begun.sent().iter().all(|(_, headers)| headers["traceparent"].to_str().unwrap().starts_with(&parent)));
    let trace = format!("\"trace_id\":\"{}\"", server.place.trace);
    assert!(begun.log_lines().iter().any(|line| line.contains(&trace)), "the log names it");
    begun.run(ask(begun.clone(), request(Method::GET, "/healthz", "")));
    assert_eq!(begun.collect_spans().ended().len(), seen.len(), "a probe begins none");

    let (unsampled, _) = world(442, Fate::Succeeds);
    assert_eq!(spans(&unsampled, json!({"prompt": "x"}), &format!("00-{TRACE}-{ABOVE}-00")), []);
    let is_passed_on = |parent: &str| parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00");
    let sent = unsampled.sent();
    assert!(!sent.is_empty());
    assert!(sent.iter().all(|(_, headers)| is_passed_on(headers["traceparent"].to_str().unwrap())));
}

#[test]
fn what_fails_is_named() {
    let (cut, _) = world(443, Fate::JoinBreaks);
    let seen = spans(&cut, json!({"prompt": "x"}), "");
    let [server] = named(&seen, "POST /v1/images/generations")[..] else { panic!("{seen:#?}") };
    assert!(server.has_failed && text(server, "error.type") == "502", "{server:?}");
    let [image] = named(&seen, "image")[..] else { panic!("{seen:#?}") };
    assert!(image.has_failed && !text(image, "error.type").is_empty() && text(image, "zimage.space") == SPACE);
    assert_eq!(named(&seen, "generate"), [] as [&Span; 0], "it has no times");
    assert!(named(&seen, "POST").iter().any(|call| call.has_failed && text(call, "error.type") == "500"), "{seen:#?}");

    let (refused, _) = world(444, Fate::Succeeds);
    let seen = spans(&refused, json!({"prompt": ""}), "");
    let [server] = &seen[..] else { panic!("{seen:#?}") };
    assert_eq!(
        (attribute(server, "http.response.status_code"), server.has_failed),
        (Some(&SpanValue::Integer(400)), false)
    );

    let (hung, _) = world(445, Fate::JoinHangs);
    hung.collect_spans();
    let left = ask(hung.clone(), request(Method::POST, PAGE, json!({"prompt": "x", "stream": true}).to_string()));
    assert!(hung.run_for(Duration::from_secs(5), left).is_none(), "the client leaves");
    hung.pass(Duration::from_secs(120));
    let seen = hung.collect_spans().ended();
    assert!(named(&seen, "POST").iter().any(|call| text(call, "error.type") == "cancelled"), "{seen:#?}");
    assert_eq!(hung.collect_spans().open(), 0);
}
