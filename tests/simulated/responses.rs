//! Responses.

use super::streams::events;
use super::*;

fn respond(world: &World, body: Value) -> Reply {
    answer(world, request(Method::POST, "/v1/responses", body.to_string()))
}

fn with_tool(mut body: Value) -> Value {
    body["tools"] = json!([{"type": "image_generation", "size": "512x512"}]);
    body
}

#[test]
fn the_tool_gives_an_image() {
    let (world, space) = world(80, Fate::Succeeds);
    let made = respond(&world, with_tool(json!({"input": "a red fox --seed 7", "model": "z-image-turbo"})));
    assert_eq!(made.status, 200, "{made:?}");
    let json = made.json();
    assert_eq!(
        (&json["object"], &json["status"], &json["error"]),
        (&json!("response"), &json!("completed"), &Value::Null)
    );
    let item = &json["output"][0];
    assert_eq!((&item["type"], &item["status"]), (&json!("image_generation_call"), &json!("completed")));
    assert_eq!(STANDARD.decode(item["result"].as_str().unwrap()).unwrap(), png());
    assert_eq!(json["usage"]["total_tokens"], 4);
    assert_eq!(json["tools"][0]["type"], "image_generation");
    assert_eq!(space.jobs()[0].data[..5], [json!("a red fox"), json!(512), json!(512), json!(9), json!(7)]);
}

#[test]
fn the_stream_is_openais_sequence() {
    let (world, _) = world(81, Fate::Succeeds);
    let made = respond(&world, with_tool(json!({"input": "a fox", "stream": true})));
    let events = events(made.body.as_ref().unwrap());
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_deref().unwrap()).collect();
    let call = "response.image_generation_call";
    assert_eq!(
        names,
        [
            "response.created".to_owned(),
            "response.in_progress".to_owned(),
            "response.output_item.added".to_owned(),
            format!("{call}.in_progress"),
            format!("{call}.generating"),
            format!("{call}.completed"),
            "response.output_item.done".to_owned(),
            "response.completed".to_owned(),
        ]
    );
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!((&data["sequence_number"], &data["type"]), (&json!(number), &json!(name)));
    }
    let response = &events[7].1["response"];
    assert_eq!(response["output"][0], events[6].1["item"]);
    assert_eq!((&response["id"], &response["status"]), (&events[0].1["response"]["id"], &json!("completed")));
    assert_eq!(STANDARD.decode(response["output"][0]["result"].as_str().unwrap()).unwrap(), png());
}

#[test]
fn without_the_tool_it_is_a_message() {
    let (world, _) = world(82, Fate::Succeeds);
    let json = respond(&world, json!({"input": [{"role": "user", "content": "a fox"}]})).json();
    let text = json["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("![a fox](http://img.example/v1/images/files/"), "{text}");
    let streamed = respond(&world, json!({"input": "a fox", "stream": true, "n": 2}));
    let events = events(streamed.body.as_ref().unwrap());
    let deltas = events.iter().filter(|(name, _)| name.as_deref() == Some("response.output_text.delta"));
    let said: String = deltas.map(|(_, data)| data["delta"].as_str().unwrap()).collect();
    assert_eq!(said.matches("![a fox](").count(), 2);
    let (_, last) = events.last().unwrap();
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], json!(said));
    let title = "Please generate a four to five word title summarizing our conversation without any lead-in";
    let titled =
        respond(&world, json!({"input": [{"role": "user", "content": "a fox"}, {"role": "user", "content": title}]}));
    assert_eq!(titled.json()["output"][0]["content"][0]["text"], "a fox");
}

#[test]
fn a_response_that_comes_to_nothing_fails() {
    let (world, _) = world(83, Fate::Crashes);
    assert_eq!(respond(&world, with_tool(json!({"input": "a fox"}))).error().0, 422);
    let streamed = respond(&world, with_tool(json!({"input": "a fox", "stream": true, "n": 2})));
    let (name, last) = events(streamed.body.as_ref().unwrap()).pop().unwrap();
    assert_eq!((name.as_deref(), &last["response"]["status"]), (Some("response.failed"), &json!("failed")));
    assert_eq!(last["response"]["error"]["code"], "server_error");
    assert_eq!(last["response"]["output"][1]["status"], "failed");
}

#[test]
fn a_response_is_gone_on_from_by_its_owner_until_it_ends() {
    let (world, space) = world(84, Fate::Succeeds);
    world.set_variable("api_keys", &format!("{KEY},sk-other"));
    let first = respond(&world, with_tool(json!({"input": "a fox"}))).json()["id"].clone();
    let next = json!({"input": "now in snow", "previous_response_id": first});
    assert_eq!(respond(&world, next.clone()).status, 200);
    // This Space can't edit, so it is sent both.
    let prompts: Vec<_> = space.jobs().iter().map(|job| job.data[0].clone()).collect();
    assert!(prompts.contains(&json!("a fox\nnow in snow")), "{prompts:?}");
    let must_edit =
        json!({"input": "x", "previous_response_id": first, "tools": [{"type": "image_generation", "action": "edit"}]});
    assert_eq!(respond(&world, must_edit).error().2, json!("unsupported_by_model"));
    let mut stranger = request(Method::POST, "/v1/responses", next.to_string());
    stranger.headers_mut().insert("authorization", "Bearer sk-other".parse().unwrap());
    assert_eq!(answer(&world, stranger).error().2, json!("previous_response_not_found"));
    let unkept = respond(&world, with_tool(json!({"input": "a fox", "store": false}))).json()["id"].clone();
    assert_eq!(respond(&world, json!({"input": "x", "previous_response_id": unkept})).error().0, 400);
    world.pass(Duration::from_secs(86_401));
    assert_eq!(respond(&world, next.clone()).error().3, json!("previous_response_id"));
    world.break_store();
    let unknown = respond(&world, next);
    assert_eq!((unknown.error().0, unknown.error().2), (503, json!("store_unavailable")), "it may be there");
    let made = respond(&world, with_tool(json!({"input": "a fox"})));
    assert_eq!(made.status, 200, "an image is not lost with the store");
}
