//! Inputs to begin with: what real Gradio servers have said, as it is recorded in `tests/`, and short ones of what
//! clients and operators write.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use z_image_2api::generation::{Format, TargetFormat};
use z_image_2api::gradio::sse::Decoder;
use z_image_2api::media::transcode::Converter;

use crate::properties::world;

/// A PNG of 2 by 2 pixels with transparency.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAFklEQVR4nGP4z8DwHwgbGEC0oJIxAwA28QTj3TmxiQAAAABJRU5ErkJggg==";

/// Files below `tests/`, those of the kept corpora aside.
fn recorded(folder: &str, extension: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(folder);
    let mut paths: Vec<PathBuf> = Vec::new();
    for version in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        paths.extend(fs::read_dir(version).unwrap().map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The recorded streams, each as its events.
fn events() -> Vec<Vec<Vec<u8>>> {
    let events = |stream: Vec<u8>| {
        let mut decoder = Decoder::new(1 << 20);
        decoder.feed(&stream);
        std::iter::from_fn(|| decoder.next_event().unwrap()).collect()
    };
    recorded("transcripts", "sse").into_iter().map(events).collect()
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn values(all: impl IntoIterator<Item = Value>) -> Vec<Vec<u8>> {
    all.into_iter().map(|value| value.to_string().into_bytes()).collect()
}

/// Streams, with the byte that chooses the limit before them.
pub fn decoder() -> Vec<Vec<u8>> {
    let mut all = recorded("transcripts", "sse");
    all.extend(texts(&[
        "\u{feff}data: a\r\ndata:b\r\rid: 7\n: no\ndata\n\n",
        "data: 0123456789abcdef\n\nretry: 1\n\n",
    ]));
    all.iter().flat_map(|stream| (0..3).map(|limit| [&[limit], stream.as_slice()].concat())).collect()
}

/// The data of all recorded events.
pub fn messages() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = events().into_iter().flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Outputs that recorded generators yielded, and some edits of every kind.
pub fn diffs() -> Vec<Vec<u8>> {
    let outputs = |event: &Vec<u8>| {
        let message: Value = serde_json::from_slice(event).ok()?;
        (message["msg"] == "process_generating").then(|| message["output"]["data"].clone())
    };
    let yields = events().into_iter().map(|events| Value::Array(events.iter().filter_map(outputs).collect()));
    let mut all: Vec<_> = yields.filter(|yields| yields != &json!([])).collect();
    let first = json!([{"a": [1, 2], "b": "x"}, "text", 7]);
    all.push(json!([first, [[["replace", ["a", 0], 9]], [["append", [], "!"]], [["replace", [], null]]]]));
    all.push(json!([first, [[["add", ["a", 2], 3], ["add", ["c"], 4], ["delete", ["b"], null]], [], []]]));
    all.push(json!([[[1, 2, 3], "ab"], [[1], "abc"], [[], ""]]));
    values(all)
}

/// Descriptions of Spaces of all shapes by themselves.
pub fn config() -> Vec<Vec<u8>> {
    recorded("recorded", "json")
}

/// The components of those Spaces, with a request.
pub fn arguments() -> Vec<Vec<u8>> {
    let request = json!({
        "prompt": "a fox", "size": "1024x768", "steps": 9, "guidance_scale": 3.5, "sampler": "Euler", "n": 2,
        "strength": 0.5, "negative_prompt": "ugly", "output_format": "webp", "seed": 7, "Randomize seed": true,
    });
    let input = |recorded: Vec<u8>| {
        let recorded: Value = serde_json::from_slice(&recorded).unwrap();
        let components = recorded["config"]["components"].as_array().cloned().unwrap_or_default();
        let component = |component: &Value| json!({"type": component["type"], "props": component["props"]});
        json!({"components": components.iter().map(component).collect::<Vec<_>>(), "request": request})
    };
    let mut all: Vec<_> = recorded("recorded", "json").into_iter().map(input).collect();
    let slider = json!({"label": "Guidance scale", "minimum": -1e308, "maximum": 1e308, "step": 0.1, "value": 1});
    let steps = json!({"label": "Steps", "minimum": 1e-7, "maximum": 2e-7, "step": 1e-7});
    all.push(json!({
        "components": [{"type": "slider", "props": slider}, {"type": "number", "props": steps}], "request": {},
    }));
    values(all)
}

/// Results of recorded jobs, and outputs in every form.
pub fn results() -> Vec<Vec<u8>> {
    let outputs = |event: Vec<u8>| {
        let message: Value = serde_json::from_slice(&event).ok()?;
        let data = message["output"]["data"].as_array()?.clone();
        let kinds = json!(["image", "seed", "gallery", "text"]);
        Some(json!({"kinds": kinds, "data": data}))
    };
    let mut all: Vec<_> = events().into_iter().flatten().filter_map(outputs).collect();
    let file = |path: &str| json!({"path": path, "url": null, "meta": {"_type": "gradio.FileData"}});
    let pair = json!([[file("/a.png"), "caption"], {"image": file("/红 b.png"), "caption": null}]);
    all.push(json!({"kinds": ["gallery"], "data": [pair]}));
    all.push(json!({"kinds": ["other", "seed"], "data": [[file("/a"), file("/b c#?.png")], "42"]}));
    all.push(json!({"kinds": ["markup"], "data": [format!("<img src=\"data:image/png;base64,{PNG}\">")]}));
    all.push(json!({"kinds": ["text"], "data": [{"images": [{"src": "data:image/webp;base64,AAAA"}]}]}));
    all.push(json!({"kinds": ["image"], "data": [{"url": "http://127.0.0.1:7860/gradio_api/file=/tmp/a%20b.png"}]}));
    values(all)
}

/// Forms as the SDKs write them.
pub fn forms() -> Vec<Vec<u8>> {
    let part = |head: &str, body: &[u8]| {
        let head = format!("--x\r\ncontent-disposition: form-data; {head}\r\n\r\n");
        [head.as_bytes(), body, b"\r\n"].concat()
    };
    let png = STANDARD.decode(PNG).unwrap();
    let image = part("name=\"image[]\"; filename=\"a.png\"", &png);
    let text = part("name=\"prompt\"", "红色的狐狸".as_bytes());
    let end = b"--x--\r\n".as_slice();
    vec![
        [&text, &image, &image, &part("name=\"mask\"; filename=\"m.png\"", &png), end].concat(),
        [&part("name=\"n\"", b"2"), &part("name=markup; filename=m", b"\xff"), &image, &text, end].concat(),
        [&part("name=\"image\"; filename=\"a\"\r\ncontent-type: image/png", &png.repeat(7)), end].concat(),
        b"one|two\r\n--|three|\x89PNG".to_vec(),
    ]
}

/// Bodies of all endpoints, with the byte that chooses one before them.
pub fn requests() -> Vec<Vec<u8>> {
    let url = format!("data:image/png;base64,{PNG}");
    let image = json!({"type": "image_url", "image_url": {"url": url}});
    let bodies = [
        (0, json!({"prompt": "a fox", "model": "z", "n": 2, "size": "1024x768", "stream": true, "partial_images": 2})),
        (0, json!({"prompt": "a fox", "extra_body": {"seed": -1, "steps": 9, "guidance_scale": "3.5"}, "shift": 3})),
        (0, json!({"prompt": "a", "aspect_ratio": "16:9", "output_format": "jpeg", "output_compression": 80})),
        (0, json!({"prompt": "a", "async": true, "webhook_url": "https://h/x", "priority": "low", "quality": "hd"})),
        (1, json!({"prompt": "blue", "images": [url, {"image_url": url}], "mask": {"image_url": url}})),
        (1, json!({"prompt": "blue", "image": "https://127.0.0.1/v1/images/files/x.png"})),
        (2, json!({"model": "z", "messages": [{"role": "user", "content": "a fox --ar 16:9 --no blur --edit 2"}]})),
        (
            2,
            json!({"messages": [
            {"role": "system", "content": "be kind"},
            {"role": "assistant", "content": "![a fox](http://h/v1/images/files/T.png)", "images": [image]},
            {"role": "user", "content": [{"type": "text", "text": "make the last image blue"}, image]},
        ], "modalities": ["image"], "stream_options": {"include_usage": true}}),
        ),
        (2, json!({"messages": [{"role": "user", "content": "{\"prompt\": \"a fox\", \"edit\": 1, \"images\": []}"}]})),
        (2, json!({"messages": [{"role": "user", "content": "Make a concise, 3-5 word title: {\"title\""}]})),
        (
            3,
            json!({"input": "a fox", "tools": [{"type": "image_generation", "size": "512x512", "action": "edit",
            "input_image_mask": {"image_url": url}}], "instructions": "be kind", "previous_response_id": "resp_x"}),
        ),
        (
            3,
            json!({"input": [
            {"type": "image_generation_call", "id": "ig_1", "result": PNG},
            {"role": "user", "content": [{"type": "input_image", "image_url": url}]},
                {"role": "user", "content": [{"type": "input_text", "text": "上图变成蓝色"}]},
        ], "store": false, "metadata": {"a": "b"}, "tool_choice": "auto"}),
        ),
    ];
    bodies.iter().map(|(first, body)| [&[*first], body.to_string().as_bytes()].concat()).collect()
}

/// Catalogues, and variables.
pub fn catalog() -> Vec<Vec<u8>> {
    let built_in =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/catalog/built_in.toml")).unwrap();
    texts(&[
        &format!("\n{built_in}"),
        "z=a/b,other=http://127.0.0.1:7860/infer, z = c/d\n[models.flux]\nspaces = [\"a/b\", { space = \"c/d\", \
         endpoint = \"/infer\", tokens = [\"hf_x\"], token = \"hf_y\", slots = 3, weight = 0.5 }]\n\
         aliases = [\"f\"]\nsteps = 4\n\
         guidance = 3.5\nsize = \"512x768\"\nquality = \"high\"\n[models.flux.presets.wide]\nsize = \"1536x1024\"\n",
        "\napi_keys=sk-a,sk-b\nauth=open\nspaces=z=a/b\npublic_url=https://h/x\ncors_origins=https://chat.example\n\
         response_ttl=1d\nlink_secret=0123456789abcdef\nstagger_ms=1500-3500\ndatabase=postgres\nmax_image_bytes=1\n",
    ])
}

/// Tokens, paths and queries.
pub fn links() -> Vec<Vec<u8>> {
    texts(&[
        "/v1/images/files/AgAAAAAAAAPoAAAA.png",
        "//v1/v1/openai/deployments/a%2Fb/images//img_1/",
        "limit=20&after=task_x&status=running&q=a%20fox",
        "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}",
    ])
}

/// Heads and keys.
pub fn idempotency() -> Vec<Vec<u8>> {
    texts(&[
        "[[\"content-type\",\"application/json\"],[\"x\",\"a\\r\\nb\"]]\n\u{2b}{\"created\":1}",
        "content-type: text/event-stream\nx-request-id: req_1\ncontent-length: 7",
        "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n--\r\n--x--\r\n",
        "a key of 255 characters at most",
    ])
}

/// Data URLs.
pub fn data_urls() -> Vec<Vec<u8>> {
    let url = format!("data:image/png;base64,{PNG}");
    texts(&[
        &url,
        &format!("<img src=\"{url}\"> {url}"),
        "data:image/png;base64,",
        "data:image/é;base64,AAAA",
        "https://h/x",
    ])
}

/// An image in every format.
pub fn images() -> Vec<Vec<u8>> {
    let png = Bytes::from(STANDARD.decode(PNG).unwrap());
    let converted = |format| {
        let wanted = TargetFormat { format, quality: 80 };
        let (converter, png) = (Converter::new(&world().host()), png.clone());
        world().run(async move { converter.convert(png, Format::Png, wanted).await }).unwrap().1.to_vec()
    };
    vec![
        converted(Format::Webp),
        converted(Format::Jpeg),
        b"GIF89a\x02\0\x02\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x02\0\x02\0\0\x02\x02\x84Q\0;"
            .to_vec(),
        b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x14meta".to_vec(),
        b"RIFF\x2c\0\0\0WEBPVP8X\x0a\0\0\0\x12\0\0\0\x03\0\0\x03\0\0ANIM\x06\0\0\0\0\0\0\0\0\0".to_vec(),
        png.to_vec(),
    ]
}

/// JSON of every kind.
pub fn json() -> Vec<Vec<u8>> {
    texts(&[
        "{\"a\":[1,-2.5e3,true,null,\"x\\\"y\\u00e9\"],\"b\":{}}",
        "[[[[[[]]]]]]",
        "[{},{},{},[0,0,0]]",
        "\"[[[[,,,,::::\\\\\"",
        " [ ] ",
    ])
}

/// Texts that would like to get out of their place.
pub fn answers() -> Vec<Vec<u8>> {
    texts(&[
        "Prompt rejected: bad\r\nset-cookie: x=1",
        "\u{1b}[31mred\u{202e}\u{2028}data: x\n\n",
        "![x](http://evil.example/) <b>*_#|~&`\\",
        "You have exceeded your GPU quota. Try again in 0:05:12",
        "'quoted' <a href=\"https://x\">here</a>, 1 < 2",
        "红色的狐狸",
    ])
}
