//! Properties of everything that reads what comes from outside.
//!
//! A property takes bytes, reads them as a Space, a client or the database would have sent them, and panics where what
//! comes out isn't as it must be: not only no panic, but the same events however a stream is cut, arguments of the
//! right length and kinds, what is written read again. [`TARGETS`] lists them. `cargo xtask fuzz` has libFuzzer look
//! for bytes that break one, and `cargo test` tries some thousand that [`mutate`] makes of the [`seeds`].

pub mod chance;
pub mod mutate;
pub mod properties;
pub mod seeds;

use self::properties::{
    answers, catalog, data_urls, diffs, discovery, forms, idempotency, images, json, links, requests, results, streams,
};

/// Something that reads what comes from outside.
#[derive(Clone, Copy)]
pub struct Target {
    /// Name of the target, and of its corpus.
    pub name: &'static str,
    /// Property that must hold of any bytes.
    pub check: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Everything that reads what comes from outside.
pub const TARGETS: [Target; 15] = [
    Target { name: "decoder", check: streams::decoder, seeds: seeds::decoder },
    Target { name: "messages", check: streams::messages, seeds: seeds::messages },
    Target { name: "diffs", check: diffs::diffs, seeds: seeds::diffs },
    Target { name: "config", check: discovery::config, seeds: seeds::config },
    Target { name: "arguments", check: discovery::arguments, seeds: seeds::arguments },
    Target { name: "results", check: results::results, seeds: seeds::results },
    Target { name: "forms", check: forms::forms, seeds: seeds::forms },
    Target { name: "requests", check: requests::requests, seeds: seeds::requests },
    Target { name: "catalog", check: catalog::catalog, seeds: seeds::catalog },
    Target { name: "links", check: links::links, seeds: seeds::links },
    Target { name: "idempotency", check: idempotency::idempotency, seeds: seeds::idempotency },
    Target { name: "data_urls", check: data_urls::data_urls, seeds: seeds::data_urls },
    Target { name: "images", check: images::images, seeds: seeds::images },
    Target { name: "json", check: json::json, seeds: seeds::json },
    Target { name: "answers", check: answers::answers, seeds: seeds::answers },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}
