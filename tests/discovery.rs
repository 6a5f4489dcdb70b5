//! Discovery of Spaces of many shapes, recorded from Gradio 4.44.1, 5.50.0 and 6.31.0, and the arguments they get.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use z_image_2api::generation::{Generation, Priority, Quality, Seed, Size};
use z_image_2api::gradio::arguments::{Arguments, has_model, unused};
use z_image_2api::gradio::config::Config;
use z_image_2api::gradio::discovery::role::{Kind, Role};
use z_image_2api::gradio::discovery::signature::{Input, Signature};
use z_image_2api::gradio::discovery::{Profile, Skill};
use z_image_2api::gradio::space::Space;
use z_image_2api::gradio::upload::Uploaded;

const VERSIONS: [&str; 3] = ["4.44.1", "5.50.0", "6.31.0"];

fn profile(version: &str, shape: &str, endpoint: Option<&str>) -> Profile {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(version).join(shape).with_extension("json");
    let recorded: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let space = Space::parse("http://127.0.0.1:7860").unwrap();
    let config = Config::parse(space.origin(), recorded["config"].to_string().as_bytes()).unwrap();
    let info = serde_json::from_value(recorded["info"].clone()).unwrap();
    Profile::of(&config, &info, endpoint, 0).unwrap()
}

/// Skill of a shape that makes images from text.
fn made(version: &str, shape: &str) -> Skill {
    profile(version, shape, None).generate.unwrap()
}

fn generation(size: Option<(u32, u32)>) -> Generation {
    Generation {
        prompt: "fox".into(),
        negative_prompt: None,
        size: size.map(|(width, height)| Size::new(width, height).unwrap()),
        aspect: None,
        seed: Seed::new(7).unwrap(),
        count: 1,
        steps: None,
        quality: None,
        guidance: None,
        sampler: None,
        choice: None,
        images: vec![],
        mask: None,
        strength: None,
        format: None,
        priority: Priority::default(),
        extras: Map::new(),
    }
}

/// Holds what is asked of a shape, on every version, against what is expected.
fn asks(shape: &str, generation: &Generation, expected: &Value) {
    for version in VERSIONS {
        let signature = made(version, shape).signature;
        let arguments = Arguments::new(&signature, generation, generation.seed, generation.count, &Uploaded::default());
        assert_eq!(json!(arguments.data), *expected, "{shape} on {version}");
    }
}

#[test]
fn every_shape_gets_its_arguments_in_its_own_order() {
    let plain = generation(Some((1152, 896)));
    asks("flux-schnell", &plain, &json!(["fox", 7, false, 1152, 896, 4]));
    asks("flux-dev", &plain, &json!(["fox", 7, false, 1152, 896, 3.5, 28]));
    asks("qwen-image", &plain, &json!(["fox", 7, false, "4:3", 4.0, 50, true]));
    asks("sdxl", &plain, &json!(["fox", "ugly", "Euler", 1, 1152, 896, 6, 25, 7, false]));
    asks("chinese", &plain, &json!(["模糊", "fox", 896, 1152, 20, 7, false]));
    asks("tongyi", &plain, &json!(["fox", "1248x832 ( 3:2 )", 7, 8, 3.0, false, []]));
    asks("unnamed", &plain, &json!(["fox", "256x256", true]));
    asks("lightning", &plain, &json!(["fox", "4-Step"]));
}

#[test]
fn a_sessions_state_is_left_empty() {
    for version in VERSIONS {
        let signature = made(version, "sd35").signature;
        let data = Arguments::new(&signature, &generation(None), Seed::new(7).unwrap(), 1, &Uploaded::default()).data;
        assert_eq!((data.len(), &data[0], &data[1]), (9, &Value::Null, &json!("fox")), "{version}");
    }
}

#[test]
fn values_are_brought_into_range_and_onto_steps() {
    let asked = Generation { steps: Some(999), guidance: Some(0.0), ..generation(Some((4000, 1000))) };
    asks("flux-dev", &asked, &json!(["fox", 7, false, 2048, 512, 1, 50]));
    let tiny = generation(Some((64, 128)));
    asks("flux-schnell", &tiny, &json!(["fox", 7, false, 256, 512, 4]));
    asks("lightning", &Generation { steps: Some(6), ..tiny.clone() }, &json!(["fox", "4-Step"]));
    asks("lightning", &Generation { steps: Some(100), ..tiny }, &json!(["fox", "8-Step"]));
}

#[test]
fn a_range_that_is_none_to_count_in_gives_a_number_within_it() {
    for (minimum, maximum, step, expected) in [
        (-1e308, 1e308, 0.1, json!(7)),
        (1e-7, 2e-7, 1e-7, json!(1e-7)),
        (f64::MIN, f64::MAX, f64::MIN_POSITIVE, json!(7)),
        (9.0, 3.0, 1.0, json!(9)),
    ] {
        let (minimum, maximum, step) = (Some(minimum), Some(maximum), Some(step));
        let (name, label, choices) = (String::new(), String::new(), vec![]);
        let (kind, role, default) = (Kind::Number, Some(Role::Guidance), json!(1));
        let optional = false;
        let input = Input { name, label, kind, role, default, optional, minimum, maximum, step, choices };
        let signature = Signature { inputs: vec![input], outputs: vec![], generator: false };
        let asked = Generation { guidance: Some(7.0), ..generation(None) };
        let data = Arguments::new(&signature, &asked, asked.seed, 1, &Uploaded::default()).data;
        assert_eq!(json!(data), json!([expected]), "{minimum:?} to {maximum:?} by {step:?}");
    }
}

#[test]
fn quality_is_steps_of_the_spaces_own() {
    for (quality, steps) in [(Quality::Low, 14), (Quality::Medium, 28), (Quality::High, 42), (Quality::Max, 50)] {
        let asked = Generation { quality: Some(quality), ..generation(None) };
        asks("flux-dev", &asked, &json!(["fox", 7, false, 1024, 1024, 3.5, steps]));
    }
}

#[test]
fn a_spaces_own_parameters_are_reached_by_name_and_what_names_none_is_told() {
    let extras = json!({"prompt_enhance": false, "lora": "x", "Guidance scale": 3.0, "aspect_ratio": 5});
    let asked = Generation { extras: extras.as_object().unwrap().clone(), ..generation(None) };
    asks("qwen-image", &asked, &json!(["fox", 7, false, "16:9", 3, 50, false]));
    for version in VERSIONS {
        let signature = made(version, "qwen-image").signature;
        let mut unused = unused(&signature, &asked.extras);
        unused.sort_unstable();
        assert_eq!(unused, ["aspect_ratio", "lora"], "{version}");
    }
}

#[test]
fn the_right_function_is_found_and_another_can_be_named() {
    for version in VERSIONS {
        for (shape, name) in [
            ("tongyi", "generate"),
            ("qwen-image", "infer"),
            ("sdxl", "run"),
            ("unnamed", "lambda_1"),
            ("chinese", "f"),
        ] {
            assert_eq!(made(version, shape).api_name.as_deref(), Some(name), "{shape} on {version}");
        }
        let named = profile(version, "unnamed", Some("edit_image"));
        assert!(named.generate.is_none() && named.edit.is_some(), "{version}");
        let both = profile(version, "unnamed", None);
        assert_eq!(both.edit.unwrap().api_name.as_deref(), Some("edit_image"), "{version}");
        assert!(profile(version, "flux-dev", None).edit.is_none(), "{version}");
    }
}

/// Skill of a function of the odd app, recorded too.
fn odd(version: &str, endpoint: &str) -> Profile {
    profile(version, "odd", Some(endpoint))
}

#[test]
fn a_slider_without_a_step_is_no_grid_and_seeds_stay_different() {
    for version in VERSIONS {
        let signature = odd(version, "sliders_stepless").generate.unwrap().signature;
        let asked = |seed| {
            let seed = Seed::new(seed).unwrap();
            let asked = Generation { steps: Some(20), guidance: Some(7.25), seed, ..generation(Some((1023, 1000))) };
            json!(Arguments::new(&signature, &asked, seed, 1, &Uploaded::default()).data)
        };
        assert_eq!(asked(42), json!(["fox", 20, 1023, 1024, 42, 7.25]), "{version}");
        assert_eq!(asked(43), json!(["fox", 20, 1023, 1024, 43, 7.25]), "{version}");
        let few = odd(version, "sliders_few_seeds").generate.unwrap().signature;
        let seed = Seed::new(1_999_998).unwrap();
        let asked = Arguments::new(&few, &generation(None), seed, 1, &Uploaded::default());
        assert_eq!((json!(asked.data), asked.seed.get()), (json!(["fox", 999_998]), 999_998), "{version}");
    }
}

#[test]
fn an_optional_image_makes_no_editor_and_an_editor_takes_the_mask() {
    let uploaded = Uploaded { images: vec![json!("image")], mask: Some(json!("mask")) };
    for version in VERSIONS {
        let optional = odd(version, "inputs_optional");
        assert!(optional.generate.is_some() && optional.edit.is_some(), "{version}");
        let editor = odd(version, "inputs_inpaint");
        assert!(editor.generate.is_none(), "{version}");
        let signature = editor.edit.unwrap().signature;
        let data = Arguments::new(&signature, &generation(None), Seed::new(7).unwrap(), 1, &uploaded).data;
        let expected = json!({"background": "image", "layers": ["mask"], "composite": "image"});
        assert_eq!(json!(data), json!([expected, "fox"]), "{version}");
    }
}

#[test]
fn a_hidden_function_is_taken_where_nothing_else_makes_images() {
    for version in VERSIONS {
        let hidden = profile(version, "hidden", None).generate.unwrap();
        let data = Arguments::new(&hidden.signature, &generation(None), Seed::new(7).unwrap(), 1, &Uploaded::default());
        assert_eq!(json!(data.data), json!(["fox", 7]), "{version}");
        let stateful = odd(version, "inputs_stateful").generate.unwrap().signature;
        let data = Arguments::new(&stateful, &generation(None), Seed::new(7).unwrap(), 1, &Uploaded::default()).data;
        assert_eq!(json!(data), json!([null, "fox", 7, null, 7]), "{version}");
    }
}

#[test]
fn choices_of_a_model_are_found_and_sent() {
    for version in VERSIONS {
        let signature = odd(version, "inputs_choices").generate.unwrap().signature;
        let expected = ["Base", "Turbo, 8 steps", "org/fine tune", "Ink", "Photo"];
        assert_eq!(signature.model_choices(), expected, "{version}");
        for (choice, expected) in
            [("turbo, 8 steps", json!(["fox", "org/turbo", "None", 7])), ("Ink", json!(["fox", "Base", "Ink", 7]))]
        {
            assert!(has_model(&signature, choice));
            let asked = Generation { choice: Some(choice.to_owned()), ..generation(None) };
            let data = Arguments::new(&signature, &asked, asked.seed, 1, &Uploaded::default()).data;
            assert_eq!(json!(data), expected, "{version}");
        }
        assert!(!has_model(&signature, "nonsense"));
    }
}

#[test]
fn what_is_known_can_be_kept() {
    let profile = profile("6.31.0", "sdxl", None);
    let kept = serde_json::to_vec(&profile).unwrap();
    assert_eq!(serde_json::from_slice::<Profile>(&kept).unwrap(), profile);
    assert!(kept.len() < 5000, "{} bytes", kept.len());
}

#[test]
fn an_editor_gets_its_images_where_it_wants_them() {
    let uploaded = Uploaded { images: vec![json!("first"), json!("second")], mask: Some(json!("mask")) };
    for version in VERSIONS {
        let editor = profile(version, "editor", None);
        assert!(editor.generate.is_none(), "{version}: it needs an image");
        let asked = Generation { strength: Some(0.33), ..generation(None) };
        let edit = editor.edit.unwrap();
        let data = Arguments::new(&edit.signature, &asked, asked.seed, 1, &uploaded).data;
        assert_eq!(json!(data), json!(["first", "mask", "fox", 0.35, 7, false]), "{version}");

        let several = profile(version, "several", None);
        assert!(several.generate.is_some() && several.edit.is_some(), "{version}: it can do without");
        let data = Arguments::new(&several.edit.unwrap().signature, &asked, asked.seed, 1, &uploaded).data;
        assert_eq!(
            data[1],
            json!([{"image": "first", "caption": null}, {"image": "second", "caption": null}]),
            "{version}"
        );
    }
}
