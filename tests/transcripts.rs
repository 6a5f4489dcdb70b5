//! Event streams recorded from real Gradio servers, 4.44.1, 5.50.0 and 6.31.0, cut at every byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use z_image_2api::gradio::config::Base;
use z_image_2api::gradio::diff::Yielded;
use z_image_2api::gradio::discovery::signature::{Output, Signature};
use z_image_2api::gradio::failure::Failure;
use z_image_2api::gradio::file::RemoteFile;
use z_image_2api::gradio::image_hosts::ImageHosts;
use z_image_2api::gradio::message::{Completion, Message};
use z_image_2api::gradio::result::{Picture, pictures};
use z_image_2api::gradio::space::Space;
use z_image_2api::gradio::sse::Decoder;

const VERSIONS: [&str; 3] = ["4.44.1", "5.50.0", "6.31.0"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn recorded(version: &str, name: &str) -> Vec<u8> {
    fs::read(folder().join(version).join(name).with_extension("sse")).unwrap()
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Message> {
    let mut decoder = Decoder::new(1 << 20);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        while let Some(data) = decoder.next_event().unwrap() {
            messages.push(Message::parse(&data).unwrap());
        }
    }
    messages
}

/// The end of a recorded job, for each version.
fn ends(name: &str) -> Vec<Completion> {
    let end = |version| {
        let messages = decode([recorded(version, name).as_slice()]);
        messages.into_iter().find_map(|message| match message {
            Message::ProcessCompleted(completion) => Some(completion),
            _ => None,
        })
    };
    VERSIONS.into_iter().map(|version| end(version).expect(version)).collect()
}

fn failures(name: &str) -> Vec<Failure> {
    let failure = |end| match end {
        Completion::Failed { message, title, is_meant } => Failure::of_job(message, title.as_deref(), is_meant),
        other => panic!("{name} ended with {other:?}"),
    };
    ends(name).into_iter().map(failure).collect()
}

#[test]
fn a_cut_at_any_byte_of_any_recording_changes_nothing() {
    let mut recordings = 0;
    for version in VERSIONS {
        for entry in fs::read_dir(folder().join(version)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let whole = decode([bytes.as_slice()]);
            assert!(!whole.is_empty(), "{}", path.display());
            for at in 0..=bytes.len() {
                let (before, after) = bytes.split_at(at);
                assert_eq!(decode([before, after]), whole, "{} cut at byte {at}", path.display());
            }
            assert_eq!(decode(bytes.chunks(1)), whole, "{} byte by byte", path.display());
            recordings += 1;
        }
    }
    assert_eq!(recordings, 13 * VERSIONS.len());
}

#[test]
fn an_image_is_found_in_the_outputs_of_every_version() {
    for (version, end) in VERSIONS.into_iter().zip(ends("image")) {
        let Completion::Outputs(outputs) = end else { panic!("{version}: {end:?}") };
        assert_eq!(outputs.get(1), Some(&Value::from(42)));
        let prefix = if version.starts_with('4') { "" } else { "/gradio_api" };
        let file = remote(prefix, &outputs).unwrap();
        assert!(
            file.path.starts_with(&format!("{prefix}/file=/")) && file.path.ends_with("/image.webp"),
            "{}",
            file.path
        );
    }
    for end in ends("odd-file-name") {
        let Completion::Outputs(outputs) = end else { panic!("{end:?}") };
        let file = remote("/gradio_api", &outputs).unwrap();
        assert!(file.path.is_ascii() && !file.path.contains([' ', '#', '?']), "{}", file.path);
    }
    for end in ends("no-image") {
        let Completion::Outputs(outputs) = end else { panic!("{end:?}") };
        assert_eq!(remote("", &outputs), Err(Failure::NoImage));
    }
}

/// The image of a function whose first output is one, as calls below `prefix` find it.
fn remote(prefix: &str, outputs: &[Value]) -> Result<RemoteFile, Failure> {
    let space = Space::parse("http://127.0.0.1:7860").unwrap();
    let base = Base::new(space.origin().clone(), prefix);
    let signature = Signature { inputs: vec![], outputs: vec![Output::Image, Output::Seed], generator: false };
    match pictures(&base, &ImageHosts::default(), &signature, outputs)?.pop() {
        Some(Picture::File(file)) => Ok(file),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_end_is_told_as_what_it_is() {
    for failure in failures("gr-error") {
        assert_eq!(failure, Failure::Rejected { message: "Prompt rejected: bad".into() });
    }
    for failure in failures("quota") {
        let Failure::Quota { message, .. } = failure else { panic!("{failure:?}") };
        assert!(message.contains("Create a free account") && !message.contains('<'), "{message}");
    }
    for failure in failures("exception").into_iter().chain(failures("generator-fails")) {
        assert_eq!(failure, Failure::Crashed);
    }
    for end in ends("cancelled") {
        assert_eq!(end, Completion::Cancelled);
    }
}

#[test]
fn the_queue_position_and_the_steps_are_told() {
    for version in VERSIONS {
        let ranks: Vec<_> = decode([recorded(version, "queued").as_slice()])
            .into_iter()
            .filter_map(|message| match message {
                Message::Estimation(position) => Some((position.rank, position.size)),
                _ => None,
            })
            .collect();
        assert_eq!(ranks, [(1, 2), (0, 1)], "{version}");
        let steps: Vec<_> = decode([recorded(version, "progress").as_slice()])
            .into_iter()
            .filter_map(|message| match message {
                Message::Progress(step) => Some(step),
                _ => None,
            })
            .collect();
        assert!(
            steps.len() > 1 && steps.iter().all(|step| step.index.is_some() || step.fraction.is_some()),
            "{version}"
        );
    }
}

#[test]
fn a_failing_queue_is_told() {
    for version in VERSIONS {
        for name in ["unknown-session", "server-stop"] {
            let messages = decode([recorded(version, name).as_slice()]);
            let is_reported = messages
                .iter()
                .any(|message| matches!(message, Message::UnexpectedError { message } if !message.is_empty()));
            assert!(is_reported, "{version} {name}: {messages:?}");
        }
    }
}

#[test]
fn what_a_generator_yields_comes_to_its_result() {
    for (version, end) in VERSIONS.into_iter().zip(ends("generator")) {
        let Completion::Outputs(result) = end else { panic!("{version}: {end:?}") };
        let mut yielded = Yielded::default();
        let mut images = Vec::new();
        for message in decode([recorded(version, "generator").as_slice()]) {
            if let Message::ProcessGenerating(data) = message {
                let outputs = yielded.take(data).unwrap();
                images.push(remote("", outputs).unwrap().path);
                if images.len() == 4 {
                    assert_eq!(outputs, result, "{version}: the last yield is the result");
                }
            }
        }
        let mut different = images.clone();
        different.dedup();
        assert_eq!((images.len(), different.len()), (4, 4), "{version}: {images:?}");
    }
}
