//! A Space's own choice of models, which are models here.

use std::cell::RefCell;

use super::tasks::get;
use super::*;
use futures::future::LocalBoxFuture;
use z_image_2api::platform::sim::SimServer;
use z_image_2api::platform::{Inbound, Outbound};

/// A Space whose function takes one of those models, too.
struct Chooser {
    space: SimSpace,
    models: RefCell<Vec<&'static str>>,
}

impl SimServer for Chooser {
    fn answer(&self, world: &World, call: Outbound) -> LocalBoxFuture<'static, Result<Inbound, TransportError>> {
        let (models, path) = (self.models.borrow().clone(), call.url.path().to_owned());
        let answered = self.space.answer(world, call);
        Box::pin(async move {
            let answer = answered.await?;
            if !["/config", "/gradio_api/info"].contains(&&*path) {
                return Ok(answer);
            }
            let text = read_to_end(answer.body, usize::MAX).await.unwrap();
            let mut described: Value = serde_json::from_slice(&text).unwrap();
            if path == "/config" {
                let choices: Vec<_> = models.iter().map(|model| json!([model, model])).collect();
                let props = json!({"label": "Model", "choices": choices, "value": models[0]});
                let dropdown = json!({"id": 9, "type": "dropdown", "props": props});
                described["components"].as_array_mut().unwrap().push(dropdown);
                described["dependencies"][1]["inputs"].as_array_mut().unwrap().push(json!(9));
            } else {
                let parameters = &mut described["named_endpoints"]["/generate_image"]["parameters"];
                parameters.as_array_mut().unwrap().push(json!({"parameter_name": "model"}));
            }
            Ok(Inbound { body: body(described.to_string()), ..answer })
        })
    }
}

/// The models that are listed as choices, once what is known of the Space has been asked for.
fn listed(world: &World) -> Vec<String> {
    get(world, "/v1/models");
    world.pass(Duration::from_secs(2));
    let list = get(world, "/v1/models").json();
    let choices = list["data"].as_array().unwrap().iter().filter(|model| !model["choice_of"].is_null());
    choices.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_choices_of_a_space_are_models_with_their_own_defaults_and_listed_anew_when_they_change() {
    let (world, space) = world(320, Fate::Succeeds);
    let chooser = Rc::new(Chooser { space: space.clone(), models: RefCell::new(vec!["Base", "Turbo"]) });
    world.put_server(SPACE, Rc::<Chooser>::clone(&chooser));
    world.set_variable("spaces", "");
    let catalog = format!("[models.z]\nspaces = [\"{SPACE}\"]\nsteps = 7\n[models.z.choices.Turbo]\nsteps = 4\n");
    world.set_variable("catalog", &catalog);
    assert_eq!(listed(&world), ["z/Base", "z/Turbo"]);
    for (model, steps, choice) in [("z/Turbo", 4, "Turbo"), ("z/base", 7, "Base"), ("z", 7, "Base")] {
        assert_eq!(generate(&world, json!({"model": model, "prompt": model})).status, 200, "{model}");
        let data = space.jobs().iter().find(|job| job.data[0] == model).unwrap().data.clone();
        assert_eq!((&data[3], &data[6]), (&json!(steps), &json!(choice)), "{model}");
    }
    *chooser.models.borrow_mut() = vec!["Base", "Nova"];
    assert_eq!(listed(&world), ["z/Base", "z/Turbo"], "what is known is good for ten minutes");
    world.pass(Duration::from_secs(700));
    assert_eq!(listed(&world), ["z/Base", "z/Nova"]);
    let gone = generate(&world, json!({"model": "z/Turbo", "prompt": "x"}));
    assert_eq!((gone.error().0, gone.error().3), (400, json!("model")));
}
