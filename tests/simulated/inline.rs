//! Spaces that answer with the image itself, as a data URL.

use super::streams::events;
use super::tasks::{ended, get, submit};
use super::*;
use z_image_2api::platform::sim::space::inline_png;

fn post(world: &World, path: &str, fields: Value) -> Reply {
    let answer = answer(world, request(Method::POST, path, fields.to_string()));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Answer that a link leads to, for who has no key.
fn linked(world: &World, url: &str, range: &str) -> Reply {
    let path = url.strip_prefix("http://img.example").unwrap_or_else(|| panic!("{url:.80}"));
    let mut request = request(Method::GET, path, "");
    request.headers_mut().remove("authorization");
    if !range.is_empty() {
        request.headers_mut().insert("range", range.parse().unwrap());
    }
    answer(world, request)
}

fn chat(prompt: &str, stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": prompt}], "stream": stream})
}

/// Content of a streamed chat, and the length of its longest line.
fn streamed(answer: &Reply) -> (String, usize) {
    let body = answer.body.as_ref().unwrap();
    let longest = body.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap();
    let delta = |(_, chunk): &(_, Value)| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    (events(body).iter().filter_map(delta).collect(), longest)
}

fn markdown_url(content: &str) -> &str {
    content.split_once("](").unwrap().1.split_once(')').unwrap().0
}

#[test]
fn an_image_that_comes_inline_has_a_link_and_is_in_the_history() {
    let (world, _) = world(300, Fate::Inline);
    let made = post(&world, "/v1/images/generations", json!({"prompt": "by link", "response_format": "url"}));
    let waited = post(&world, "/v1/chat/completions", chat("a chat", false)).json();
    let (content, longest) = streamed(&post(&world, "/v1/chat/completions", chat("a stream", true)));
    assert!(longest < 64 << 10, "{longest}");
    let mut beside = chat("images", true);
    (beside["modalities"], beside["response_format"]) = (json!(["image", "text"]), json!("url"));
    let beside = post(&world, "/v1/chat/completions", beside);
    assert!(streamed(&beside).1 < 64 << 10);
    let images = events(beside.body.as_ref().unwrap());
    let images = images.iter().find_map(|(_, chunk)| chunk["choices"][0]["delta"].get("images").cloned()).unwrap();
    post(&world, "/v1/images/generations", json!({"prompt": "in base64"}));
    world.pass(Duration::from_secs(2));
    let mut urls = vec![
        made.json()["data"][0]["url"].as_str().unwrap().to_owned(),
        markdown_url(waited["choices"][0]["message"]["content"].as_str().unwrap()).to_owned(),
        markdown_url(&content).to_owned(),
        images[0]["image_url"]["url"].as_str().unwrap().to_owned(),
    ];
    let listed = get(&world, "/v1/images").json();
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|image| image["output_format"] == "png"));
    urls.extend(listed.iter().map(|image| image["url"].as_str().unwrap().to_owned()));
    for url in &urls {
        let answer = linked(&world, url, "");
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("image/png")), "{answer:?}");
        assert_eq!(answer.header("content-length"), Some("300000"));
        assert!(answer.body.unwrap() == inline_png());
    }
    let part = linked(&world, &urls[0], "bytes=299990-");
    assert_eq!((part.status.as_u16(), part.header("content-range")), (206, Some("bytes 299990-299999/300000")));
    assert_eq!(part.body.unwrap(), [7; 10]);
    assert_eq!(linked(&world, &urls[0], "bytes=300000-").status, 416);
    world.pass(Duration::from_secs(86_401));
    assert_eq!(linked(&world, &urls[0], "").status, 410);
}

#[test]
fn a_response_goes_on_from_an_image_that_came_inline() {
    let (world, _) = world(301, Fate::Inline);
    world.set_variable("spaces", &format!("z={SPACE}"));
    let tool = json!([{"type": "image_generation"}]);
    let first = post(&world, "/v1/responses", json!({"input": "a fox", "tools": tool})).json();
    world.pass(Duration::from_secs(2));
    let next = json!({"input": "bluer", "previous_response_id": first["id"], "tools": tool});
    let second = post(&world, "/v1/responses", next);
    // The Space can't edit, and is told both prompts.
    assert_eq!(second.json()["output"][0]["revised_prompt"], "a fox\nbluer");
    let link = post(&world, "/v1/images/generations", json!({"prompt": "x", "response_format": "url"})).json();
    let edit = json!({"prompt": "x", "image": link["data"][0]["url"]});
    let refused = answer(&world, request(Method::POST, "/v1/images/edits", edit.to_string()));
    assert_eq!(refused.error().2, "unsupported_by_model", "the image was read: {refused:?}");
}

#[test]
fn a_task_links_to_its_images_however_they_came() {
    let (world, _) = world(302, Fate::Inline);
    let task = submit(&world, json!({"prompt": "a fox", "n": 2, "async": true}));
    let task = ended(&world, &task);
    assert_eq!(task["status"], "succeeded", "{task}");
    let urls = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|image| image["url"].as_str().unwrap().to_owned()).collect()
    };
    let listed = urls(&task["images"]);
    assert_eq!(listed.len(), 2);
    assert_eq!((&urls(&task["data"]), &urls(&task["result"]["data"])), (&listed, &listed));
    assert_eq!(urls(&get(&world, "/v1/images").json()["data"]).len(), 2, "the history has them");
    for url in listed {
        assert!(linked(&world, &url, "").body.unwrap() == inline_png());
    }
}

#[test]
fn without_a_database_a_chat_has_the_image_in_short_lines() {
    let (world, _) = world(303, Fate::Inline);
    world.set_variable("database", "none");
    let (content, longest) = streamed(&post(&world, "/v1/chat/completions", chat("a stream", true)));
    assert!(longest < 64 << 10, "{longest}");
    let data = markdown_url(&content).strip_prefix("data:image/png;base64,").unwrap();
    assert!(STANDARD.decode(data).unwrap() == inline_png());
    let mut beside = chat("a stream", true);
    (beside["modalities"], beside["response_format"]) = (json!(["image"]), json!("url"));
    let (content, longest) = streamed(&post(&world, "/v1/chat/completions", beside));
    assert!(longest < 64 << 10, "{longest}");
    let data = markdown_url(&content).strip_prefix("data:image/png;base64,").unwrap();
    assert!(STANDARD.decode(data).unwrap() == inline_png(), "too long for a line of `images`, so it is in the text");
    let made = post(&world, "/v1/images/generations", json!({"prompt": "by link", "response_format": "url"})).json();
    assert!(made["data"][0]["url"].as_str().unwrap().starts_with("data:image/png;base64,"));
}
