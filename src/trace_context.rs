//! W3C Trace Context: a trace that a request belongs to, by its headers `traceparent` and `tracestate`.
//!
//! A trace is taken over and passed on, with a span id of its own for each call. None is begun where the host collects
//! no spans: whoever has no tracing gets no headers, and a request has its id in any case.
//!
//! Source: W3C Trace Context, sections 3 and 4.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::platform::span::SpanPlace;
use crate::platform::{Host, random_hex};

/// The trace, the span above, and flags.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Data of the vendors that take part.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of `traceparent` in version 00, which begins those of later versions too.
const LENGTH: usize = 55;
/// Flag of a trace whose spans are collected.
const SAMPLED: u8 = 0x01;
/// Flags that are passed on: sampled, and a random trace id.
const FLAGS: u8 = SAMPLED | 0x02;
/// Members of `tracestate`, at most.
const MOST_MEMBERS: usize = 32;
/// Length of all of `tracestate`, at most, in bytes.
const MOST_STATE: usize = 512;
/// Length of a member's key and of its value, at most, in bytes.
const MOST_MEMBER: usize = 256;

/// A trace. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext(Rc<Trace>);

#[derive(Debug, PartialEq, Eq)]
struct Trace {
    /// 32 lower-case hexadecimal digits.
    id: Rc<str>,
    flags: u8,
    state: Option<HeaderValue>,
    /// Id of the span above, 16 digits; none where the trace begins here.
    above: Option<Rc<str>>,
    /// Id of the request's span, where it is collected.
    own: Option<Rc<str>>,
}

impl TraceContext {
    /// The trace of a request: the one that its headers name, in the standard's form, or else, where `host` collects
    /// spans and it `may_begin`, a new one.
    pub fn of_request(headers: &HeaderMap, host: &Host, may_begin: bool) -> Option<Self> {
        let is_collected = host.tracer().is_some();
        let begun = || {
            let (id, flags) = (random_hex::<16>(host).into(), FLAGS);
            Trace { id, flags, state: None, above: None, own: None }
        };
        let mut trace = named(headers).or_else(|| (is_collected && may_begin).then(begun))?;
        trace.own = (is_collected && trace.flags & SAMPLED != 0).then(|| span_id(host));
        Some(Self(Rc::new(trace)))
    }

    /// Id of the trace: 32 lower-case hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Place of the request's span, where it is collected.
    pub fn span(&self) -> Option<SpanPlace> {
        let Trace { id, above, own, .. } = &*self.0;
        Some(SpanPlace { trace: Rc::clone(id), id: own.clone()?, parent: above.clone() })
    }

    /// Inserts the headers of a call, whose span id is a new one. Returns the span's place, where it is collected.
    pub fn insert_into(&self, host: &Host, headers: &mut HeaderMap) -> Option<SpanPlace> {
        let span = span_id(host);
        let Trace { id, flags, state, own, .. } = &*self.0;
        let parent = format!("00-{id}-{span}-{flags:02x}");
        if let Ok(parent) = HeaderValue::from_str(&parent) {
            headers.insert(TRACEPARENT, parent);
            if let Some(state) = state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
        own.as_ref().map(|own| SpanPlace { trace: Rc::clone(id), id: span, parent: Some(Rc::clone(own)) })
    }
}

/// A new id of a span. Zero, the only one that the standard forbids, comes once in 2^64 times.
fn span_id(host: &Host) -> Rc<str> {
    random_hex::<8>(host).into()
}

/// The trace that headers name. None where they name none, or not in the standard's form.
fn named(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let (id, above, flags) = parent_parts(parent.to_str().ok()?)?;
    Some(Trace { id, flags, state: state(headers), above: Some(above), own: None })
}

/// Trace id, span id and flags of a `traceparent`.
fn parent_parts(text: &str) -> Option<(Rc<str>, Rc<str>, u8)> {
    let (known, more) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version, id, span, flags].map(str::len);
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let is_version = match version {
        "00" => more.is_empty(),
        "ff" => false,
        // What a later version adds stands behind another hyphen.
        _ => more.is_empty() || more.starts_with('-'),
    };
    let is_valid = is_version
        && parts.next().is_none()
        && lengths == [2, 32, 16, 2]
        && [version, id, span, flags].into_iter().all(is_hex)
        && !is_zero(id)
        && !is_zero(span);
    let flags = u8::from_str_radix(flags, 16).ok()? & FLAGS;
    is_valid.then(|| (id.into(), span.into(), flags))
}

/// All of `tracestate`, where each member is in the standard's form.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Option<Vec<&str>> = headers.get_all(TRACESTATE).iter().map(|line| line.to_str().ok()).collect();
    let lines = lines?;
    let members: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
        .collect();
    if members.is_empty() || members.len() > MOST_MEMBERS || !members.iter().all(|member| is_member(member)) {
        return None;
    }
    let text = members.join(",");
    if text.len() > MOST_STATE { None } else { HeaderValue::from_str(&text).ok() }
}

fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return false };
    let is_begin = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let is_value = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b',' && byte != b'=';
    key.as_bytes().first().is_some_and(is_begin)
        && key.len() <= MOST_MEMBER
        && key.bytes().all(is_key)
        && !value.is_empty()
        && value.len() <= MOST_MEMBER
        && value.bytes().all(is_value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::sim::World;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(pairs: &[(HeaderName, &str)]) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of_request(&headers, &World::new(1).host(), true)
    }

    #[test]
    fn only_the_standards_form_is_taken_over() {
        let good = format!("00-{ID}-00f067aa0ba902b7-01");
        assert_eq!(of(&[(TRACEPARENT, &good)]).unwrap().id(), ID);
        assert_eq!(of(&[(TRACEPARENT, &format!("cc-{ID}-00f067aa0ba902b7-01-what-will-be"))]).unwrap().id(), ID);
        for wrong in [
            String::new(),
            format!("00-{ID}-00f067aa0ba902b7"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("cc-{ID}-00f067aa0ba902b7-01.more"),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{ID}-00f067aa0ba902b7-0g"),
            format!("00-{ID}-00f067aa0ba902-b7-01"),
            format!("00_{ID}_00f067aa0ba902b7_01"),
        ] {
            assert_eq!(of(&[(TRACEPARENT, &wrong)]), None, "{wrong}");
        }
        assert_eq!(of(&[(TRACEPARENT, &good), (TRACEPARENT, &good)]), None, "it is one");
        assert_eq!(of(&[(TRACESTATE, "a=1")]), None);
    }

    #[test]
    fn a_call_has_a_span_of_its_own_and_only_flags_that_are_known() {
        let world = World::new(1);
        let trace = of(&[(TRACEPARENT, &format!("00-{ID}-00f067aa0ba902b7-ff"))]).unwrap();
        let parents: Vec<String> = (0..2)
            .map(|_| {
                let mut headers = HeaderMap::new();
                trace.insert_into(&world.host(), &mut headers);
                assert!(!headers.contains_key(TRACESTATE));
                headers[TRACEPARENT].to_str().unwrap().to_owned()
            })
            .collect();
        assert!(parents.iter().all(|parent| parent.starts_with(&format!("00-{ID}-")) && parent.ends_with("-03")));
        assert!(parents[0] != parents[1] && parents.iter().all(|parent| !parent.contains("00f067aa0ba902b7")));
    }

    #[test]
    fn a_state_is_passed_on_whole_or_not_at_all() {
        let good = format!("00-{ID}-00f067aa0ba902b7-01");
        let state = |lines: &[&str]| {
            let pairs: Vec<_> = lines.iter().map(|line| (TRACESTATE, *line)).collect();
            let trace = of(&[vec![(TRACEPARENT, good.as_str())], pairs].concat()).unwrap();
            trace.0.state.as_ref().map(|state| state.to_str().unwrap().to_owned())
        };
        assert_eq!(state(&["a=1, b@x=2 ,", "c=3"]).as_deref(), Some("a=1,b@x=2,c=3"));
        let (many, long) = ("a=1,".repeat(33), format!("a={}", "x".repeat(257)));
        for wrong in ["", "a", "a=", "A=1", "=1", "a=1=2", "a=é", &many, &long] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }
    }
}
