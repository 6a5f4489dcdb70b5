//! Descriptions of Spaces by themselves, and the arguments that they get.

use serde_json::{Map, Value, json};
use z_image_2api::bounded_json::JsonBounds;
use z_image_2api::generation::{Generation, Purpose};
use z_image_2api::gradio::arguments::{Arguments, unused};
use z_image_2api::gradio::config::Config;
use z_image_2api::gradio::discovery::role::{Kind, Role};
use z_image_2api::gradio::discovery::signature::{Info, Input, Signature};
use z_image_2api::gradio::discovery::{Profile, Skill};
use z_image_2api::gradio::space::Space;
use z_image_2api::gradio::upload::Uploaded;
use z_image_2api::openai::fields::Fields;
use z_image_2api::openai::image_request::ImageRequest;

use super::{check_plain, host, origin};

/// A configuration and a description: calls go to the Space that was asked, a skill can do what it is for, is one of
/// the configuration's functions, and can be kept; every request gets arguments.
pub fn config(data: &[u8]) {
    let Ok(recorded) = JsonBounds::DESCRIPTION.parse::<Value>(data) else { return };
    let info: Info = serde_json::from_value(recorded["info"].clone()).unwrap_or_default();
    let Some((config, profile)) = learnt(&recorded["config"], &info, recorded["endpoint"].as_str()) else { return };
    for purpose in [Purpose::Generate, Purpose::Edit] {
        let Ok(skill) = profile.skill(purpose) else { continue };
        check_skill(&config, &profile, skill, recorded["endpoint"].as_str());
        let takes_image = skill.signature.input(Role::Image).is_some();
        assert!(purpose == Purpose::Generate || takes_image, "an editor takes an image");
        for request in requests() {
            check_arguments(&skill.signature, &request);
        }
    }
    let kept = serde_json::to_vec(&profile).unwrap();
    let read: Profile = serde_json::from_slice(&kept).expect("what is known can be kept");
    let inputs = |profile: &Profile| profile.generate.as_ref().map(|skill| skill.signature.inputs.len());
    assert_eq!((inputs(&read), &read.version), (inputs(&profile), &profile.version));
}

fn learnt(config: &Value, info: &Info, endpoint: Option<&str>) -> Option<(Config, Profile)> {
    let config = Config::parse(&origin(), config.to_string().as_bytes()).ok()?;
    let url = config.base.url("/queue/join");
    assert_eq!(url.origin().ascii_serialization(), origin().to_string(), "calls go to the Space that was asked");
    assert!(url.path().ends_with("/queue/join") && url.query().is_none(), "{url}");
    check_plain(&config.version);
    let profile = Profile::of(&config, info, endpoint, 0).ok()?;
    Some((config, profile))
}

fn check_skill(config: &Config, profile: &Profile, skill: &Skill, endpoint: Option<&str>) {
    let space = Space::parse(&origin().to_string()).unwrap();
    let index = profile.endpoint(&space, skill).fn_index;
    let function = config.functions.iter().find(|function| function.index == index).expect("a function of the Space");
    assert!(endpoint.is_none() || endpoint == skill.api_name.as_deref(), "the function that was named");
    let is_it = |function: &&z_image_2api::gradio::config::Function| {
        function.index == index && function.inputs.len() == skill.signature.inputs.len()
    };
    assert!(config.functions.iter().any(|function| is_it(&function)), "{function:?}");
    let roles = skill.signature.inputs.iter().filter_map(|input| input.role).filter(|role| *role != Role::Image);
    let mut roles: Vec<_> = roles.collect();
    roles.sort_unstable();
    let all = roles.len();
    roles.dedup();
    assert_eq!(roles.len(), all, "a role is given once");
}

/// Requests of every kind.
fn requests() -> Vec<Generation> {
    let fields = [
        json!({}),
        json!({"size": "1024x768", "steps": 7, "guidance_scale": 3.3, "sampler": "Euler", "n": 4}),
        json!({"size": "64x4096", "steps": 1000, "guidance_scale": 0, "strength": 0.37, "seed": 2_147_483_647}),
        json!({"quality": "max", "negative_prompt": "ugly", "Seed": "x", "prompt_enhance": true, "width": 4096}),
        json!({"quality": "low", "seed": 0, "style": 1, "lora": [1], "shift": "1e400"}),
    ];
    fields.iter().filter_map(|fields| request(fields.as_object()?)).collect()
}

fn request(fields: &Map<String, Value>) -> Option<Generation> {
    let mut fields = fields.clone();
    fields.entry("prompt").or_insert_with(|| json!("a fox"));
    Some(ImageRequest::read(&Fields::new(fields), &host()).ok()?.generation)
}

/// Components of any kind, and a request of any fields, `{"components": [{"type": …, "props": …}], "request": …}`.
pub fn arguments(data: &[u8]) {
    let Ok(input) = JsonBounds::DESCRIPTION.parse::<Value>(data) else { return };
    let Some(listed) = input["components"].as_array() else { return };
    let mut components: Vec<Value> = listed.iter().filter(|component| component.is_object()).cloned().collect();
    components.push(json!({"type": "textbox", "props": {"label": "Prompt"}}));
    let inputs = components.len();
    components.push(json!({"type": "image"}));
    for (id, component) in components.iter_mut().enumerate() {
        component["id"] = json!(id);
    }
    let function = json!({
        "id": 0, "api_name": "infer", "inputs": (0..inputs).collect::<Vec<_>>(), "outputs": [inputs],
    });
    let config = json!({"protocol": "sse_v3", "components": components, "dependencies": [function]});
    let Some((_, profile)) = learnt(&config, &Info::default(), Some("infer")) else { return };
    let asked = input["request"].as_object().and_then(request);
    for skill in [&profile.generate, &profile.edit].into_iter().flatten() {
        assert_eq!(skill.signature.inputs.len(), inputs);
        for request in requests().into_iter().chain(asked.clone()) {
            check_arguments(&skill.signature, &request);
        }
    }
}

/// Arguments are as many as the function has, and each of its kind and in its range, unless it is the Space's default.
fn check_arguments(signature: &Signature, request: &Generation) {
    let files =
        Uploaded { images: vec![json!({"path": "/a"}), json!({"path": "/b"})], mask: Some(json!({"path": "/m"})) };
    for uploaded in [Uploaded::default(), files] {
        let arguments = Arguments::new(signature, request, request.seed, request.count, &uploaded);
        assert_eq!(arguments.data.len(), signature.inputs.len(), "an argument for each input");
        for (input, value) in signature.inputs.iter().zip(&arguments.data) {
            if *value != input.default {
                check_argument(input, value, request);
            }
        }
    }
    for name in unused(signature, &request.extras) {
        assert!(request.extras.contains_key(name));
    }
}

fn check_argument(input: &Input, value: &Value, request: &Generation) {
    let is_chosen = || input.choices.iter().any(|choice| choice.value == *value);
    let is_right = match (input.kind, input.role) {
        (Kind::Text, Some(Role::Prompt)) => value.as_str() == Some(&request.prompt),
        (Kind::Text, Some(Role::Size)) if !input.choices.is_empty() => is_chosen(),
        (Kind::Text, _) => value.is_string(),
        (Kind::Number, _) => value.as_f64().is_some_and(|number| is_in_range(input, number)),
        (Kind::Flag, _) => value.is_boolean(),
        (Kind::Choice, _) => is_chosen(),
        (Kind::Choices, _) => value
            .as_array()
            .is_some_and(|chosen| chosen.iter().all(|one| input.choices.iter().any(|choice| choice.value == *one))),
        (Kind::Image, _) => value.get("path").is_some(),
        (Kind::Editor, _) => value.get("background").is_some() && value["layers"].is_array(),
        (Kind::Gallery, _) => {
            value.as_array().is_some_and(|images| images.iter().all(|one| one.get("image").is_some()))
        }
        (Kind::State | Kind::Other, _) => false,
    };
    assert!(is_right, "{value} for {input:?}");
}

fn is_in_range(input: &Input, number: f64) -> bool {
    let least = input.minimum.unwrap_or(f64::MIN);
    number >= least && number <= input.maximum.unwrap_or(f64::MAX).max(least)
}
