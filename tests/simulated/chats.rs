//! Chats.

use super::streams::events;
use super::*;

fn chat(world: &World, body: Value) -> Reply {
    answer(world, request(Method::POST, "/v1/chat/completions", body.to_string()))
}

fn said(prompt: &str) -> Value {
    json!([{"role": "user", "content": prompt}])
}

/// The deltas of a streamed chat, joined by field, and why it ended.
fn seen(answer: &Reply) -> (String, String, Vec<Value>, Value) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut chunks: Vec<Value> = events(answer.body.as_ref().unwrap()).into_iter().map(|(_, data)| data).collect();
    assert_eq!(chunks.pop().unwrap(), "[DONE]");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let (mut content, mut thoughts, mut images, mut finish) = (String::new(), String::new(), vec![], Value::Null);
    for chunk in &chunks {
        assert_eq!((&chunk["id"], &chunk["object"]), (&chunks[0]["id"], &json!("chat.completion.chunk")));
        let Some(choice) = chunk["choices"].get(0) else { continue };
        let delta = &choice["delta"];
        content += delta["content"].as_str().unwrap_or_default();
        thoughts += delta["reasoning_content"].as_str().unwrap_or_default();
        images.extend(delta["images"].as_array().cloned().unwrap_or_default());
        if !choice["finish_reason"].is_null() {
            finish = choice["finish_reason"].clone();
        }
    }
    (content, thoughts, images, finish)
}

#[test]
fn a_chat_is_answered_with_an_image_in_markdown() {
    let (world, space) = world(70, Fate::Succeeds);
    let body = json!({"model": "z-image-turbo", "messages": said("a red fox --seed 7 --ar 16:9"), "temperature": 0.5});
    let answer = chat(&world, body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let json = answer.json();
    let content = json["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.starts_with("![a red fox](http://img.example/v1/images/files/"), "{content}");
    assert!(content.contains("\n\nSeed 7 · 1344x768 · "), "{content}");
    assert_eq!((&json["choices"][0]["finish_reason"], &json["model"]), (&json!("stop"), &json!("z-image-turbo")));
    assert_eq!(json["usage"], json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}));
    assert_eq!(space.jobs()[0].data[..3], [json!("a red fox"), json!(768), json!(1344)]);
    assert_eq!(answer.header("x-ignored-parameters"), None);
}

#[test]
fn a_streamed_chat_tells_what_happens_and_ends_as_it_should() {
    let (world, _) = world(71, Fate::Succeeds);
    let body = |prompt: &str, more: Value| {
        let mut body = json!({"messages": said(prompt), "stream": true});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (content, thoughts, images, finish) = seen(&chat(&world, body("a fox", json!({}))));
    assert!(
        content.starts_with("![a fox](http://img.example/v1/images/files/") && content.contains("Seed "),
        "{content}"
    );
    assert_eq!(thoughts, "Queued: next in line\nDrawing\nStep 4 of 9\n");
    assert_eq!((images.len(), finish), (0, json!("stop")));
    let (content, thoughts, ..) = seen(&chat(&world, body("一只狐狸", json!({"progress": "text"}))));
    assert!(content.starts_with("> 排队中：下一个就是  \n> 开始绘制  \n> 第 4/9 步  \n\n![一只狐狸]("), "{content}");
    assert_eq!(thoughts, "");
    let fields = json!({"modalities": ["image", "text"], "response_format": "url"});
    let (content, _, images, _) = seen(&chat(&world, body("a fox --n 2", fields)));
    assert!(!content.contains("!["), "{content}");
    for (position, image) in images.iter().enumerate() {
        assert_eq!((&image["type"], &image["index"]), (&json!("image_url"), &json!(position)));
        let url = image["image_url"]["url"].as_str().unwrap();
        assert!(url.starts_with("http://img.example/v1/images/files/"), "{url}");
    }
    assert_eq!(images.len(), 2);
    let (content, _, images, _) = seen(&chat(&world, body("a fox", json!({"modalities": ["image"]}))));
    assert!(!content.contains("!["), "{content}");
    let data = images[0]["image_url"]["url"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
    assert_eq!(STANDARD.decode(data).unwrap(), png());
    let with_usage = chat(&world, body("a fox", json!({"stream_options": {"include_usage": true}})));
    let events = events(with_usage.body.as_ref().unwrap());
    let usage = &events[events.len() - 2].1;
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(3)));
}

#[test]
fn what_goes_wrong_in_a_chat_is_said() {
    let (world, _) = world(72, Fate::Rejected);
    let waited = chat(&world, json!({"messages": said("a fox")}));
    assert_eq!(waited.error().0, 400);
    let streamed = chat(&world, json!({"messages": said("a fox --n 2"), "stream": true}));
    let (content, _, _, finish) = seen(&streamed);
    assert_eq!((content.trim(), finish), ("**The image could not be made.** Prompt rejected: bad", json!("stop")));
    for (messages, param) in
        [(json!([]), "messages"), (said("x --ar wide"), "aspect_ratio"), (said("--seed 7"), "prompt")]
    {
        assert_eq!(chat(&world, json!({"messages": messages, "stream": true})).error().3, json!(param));
    }
}

#[test]
fn the_images_of_a_chat_that_are_made_are_shown_though_others_fail() {
    let fates = [Fate::Succeeds, Fate::Crashes];
    let (world, _) = world_of(73, move |_, data| fates[usize::try_from(data[4].as_u64().unwrap()).unwrap()]);
    for stream in [false, true] {
        let answer =
            chat(&world, json!({"messages": said(r#"{"prompt": "a fox", "n": 2, "seed": 0}"#), "stream": stream}));
        let content = match stream {
            false => answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned(),
            true => seen(&answer).0,
        };
        assert_eq!(content.matches("![a fox](").count(), 1, "{content}");
        assert!(content.contains("**Image 2 of 2 could not be made.** "), "{content}");
    }
}

#[test]
fn what_clients_ask_for_themselves_costs_no_image() {
    let (world, space) = world(74, Fate::Succeeds);
    let prompt = "### Task:\nGenerate a title\nJSON format: {\"title\": \"…\"}\n\
                  <chat_history>\nUSER: a red fox\n</chat_history>";
    let titled = chat(&world, json!({"messages": said(prompt)})).json();
    assert_eq!(titled["choices"][0]["message"]["content"], r#"{"title":"a red fox"}"#);
    let (content, ..) = seen(&chat(&world, json!({"messages": said(prompt), "stream": true})));
    assert_eq!(content, r#"{"title":"a red fox"}"#);
    assert_eq!(space.jobs().len(), 0);
}

#[test]
fn an_image_in_a_chat_is_edited_where_the_model_can() {
    let (world, space) = world(75, Fate::Succeeds);
    let data_url = format!("data:image/png;base64,{}", STANDARD.encode(png()));
    let parts = json!([{"role": "user", "content": [
        {"type": "text", "text": "make it blue"},
        {"type": "image_url", "image_url": {"url": data_url}},
    ]}]);
    assert_eq!(chat(&world, json!({"messages": parts})).error().2, json!("unsupported_by_model"));
    let elsewhere = json!([{"role": "user", "content": [
        {"type": "text", "text": "make it blue"},
        {"type": "image_url", "image_url": {"url": "https://elsewhere.example/x.png"}},
    ]}]);
    assert_eq!(chat(&world, json!({"messages": elsewhere})).error().0, 400);
    assert_eq!(space.jobs().len(), 0);
    let made = chat(
        &world,
        json!({"messages": [
            {"role": "assistant", "content": format!("![x]({data_url})")},
            {"role": "user", "content": "a fox like in the last image"},
        ]}),
    );
    assert_eq!(made.status, 200, "a model that can't edit makes a new one: {made:?}");
}
