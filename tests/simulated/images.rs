//! Images from text, links to them, and the routes.

use super::pools::for_each_seed;
use super::*;
use z_image_2api::platform::Platform as _;

#[test]
fn a_prompt_becomes_an_image() {
    let (world, space) = world(1, Fate::Succeeds);
    let made = generate(&world, json!({"prompt": "a red fox", "size": "512x768", "seed": 41, "steps": 4}));
    assert_eq!(made.status, 200, "{made:?}");
    let json = made.json();
    assert_eq!(STANDARD.decode(json["data"][0]["b64_json"].as_str().unwrap()).unwrap(), png());
    assert_eq!(json["data"][0]["seed"], 41);
    assert_eq!((&json["size"], &json["output_format"]), (&json!("512x768"), &json!("png")));
    assert!(json.get("errors").is_none() && json["created"].as_u64() >= Some(1_800_000_000));
    assert_eq!(space.jobs()[0].data, [json!("a red fox"), json!(768), json!(512), json!(4), json!(41), json!(false)]);
}

#[test]
fn several_images_have_seeds_in_a_row_and_stay_in_order() {
    let (world, space) = world(2, Fate::Succeeds);
    let made =
        generate(&world, json!({"prompt": "x", "n": 5, "seed": 2_147_483_646, "extra_body": {"steps": 3}})).json();
    let seeds: Vec<_> = made["data"].as_array().unwrap().iter().map(|item| item["seed"].clone()).collect();
    assert_eq!(seeds, [json!(2_147_483_646), json!(2_147_483_647), json!(0), json!(1), json!(2)]);
    assert!(space.jobs().iter().all(|job| job.data[3] == 3));
    let configs = world.contacted().len() - space.jobs().len() * 3;
    assert_eq!(configs, 2, "the Space is asked for its two descriptions once");
}

#[test]
fn a_link_leads_to_the_image_and_is_all_it_takes() {
    let (world, space) = world(3, Fate::Succeeds);
    let made = generate(&world, json!({"prompt": "x", "response_format": "url"})).json();
    let url = made["data"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://img.example").unwrap();
    assert!(path.starts_with("/v1/images/files/") && path.ends_with(".png"), "{url}");
    assert_eq!(space.fetches().len(), 0, "nothing is fetched before somebody wants it");

    let plain = |method: Method, name: &'static str, value: String| {
        let request = Request::builder().method(method).uri(path).header(name, value).body(body("")).unwrap();
        answer(&world, request)
    };
    let image = plain(Method::GET, "accept", "*/*".into());
    assert_eq!((image.status.as_u16(), image.body.as_ref().unwrap()), (200, &png()));
    assert_eq!(image.header("content-type"), Some("image/png"));
    assert_eq!(image.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(image.header("content-security-policy"), Some("default-src 'none'; sandbox"));
    assert!(image.header("cache-control").unwrap().ends_with(", immutable"));

    let tag = image.header("etag").unwrap().to_owned();
    let fetched = space.fetches().len();
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let unchanged = plain(Method::GET, "if-none-match", known);
        assert_eq!((unchanged.status.as_u16(), unchanged.body.unwrap().len()), (304, 0));
    }
    assert_eq!(space.fetches().len(), fetched, "a known image costs the Space nothing");
    let head = plain(Method::HEAD, "accept", "*/*".into());
    assert_eq!((head.status.as_u16(), head.body.as_ref().unwrap().len()), (200, 0));
    assert_eq!(head.header("content-type"), Some("image/png"));
}

#[test]
fn a_link_that_is_not_ours_leads_nowhere() {
    let (world, space) = world(4, Fate::Succeeds);
    world.set_variable("link_ttl", "60");
    let made = generate(&world, json!({"prompt": "x", "response_format": "url"})).json();
    let path = made["data"][0]["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap().to_owned();
    let get = |path: &str| answer(&world, Request::get(path).body(body("")).unwrap());
    for forged in [
        path.replacen("files/A", "files/B", 1),
        path.replace(".png", "A.png"),
        "/v1/images/files/".to_owned(),
        "/v1/images/files/http:%2F%2Fevil.example%2F.png".to_owned(),
        "/v1/images/files/..%2F..%2Fconfig".to_owned(),
    ] {
        let refused = get(&forged);
        assert_eq!(
            refused.error(),
            (403, json!("invalid_request_error"), json!("invalid_link"), Value::Null),
            "{forged}"
        );
    }
    assert_eq!(get(&path).status, 200);
    world.pass(Duration::from_secs(61));
    assert_eq!(get(&path).error().0, 410);
    world.set_variable("link_secret", "another-secret-of-some-length");
    assert_eq!(get(&path).error().0, 403);
    assert_eq!(space.fetches().len(), 1);
    let token = path.rsplit_once('/').unwrap().1.trim_end_matches(".png");
    assert!(world.log_lines().iter().all(|line| !line.contains(token)), "links are permissions, not log lines");
}

#[test]
fn without_a_configured_secret_links_are_signed_with_a_stored_one() {
    let (world, _) = world(5, Fate::Succeeds);
    world.set_variable("link_secret", "");
    let made = generate(&world, json!({"prompt": "x", "response_format": "url"})).json();
    let path = made["data"][0]["url"].as_str().unwrap().strip_prefix("http://img.example").unwrap().to_owned();
    // Each request of this test meets an instance of its own: the secret has to come from the store.
    assert_eq!(answer(&world, Request::get(&path).body(body("")).unwrap()).status, 200);
    world.break_store();
    let broken = generate(&world, json!({"prompt": "x", "response_format": "url"}));
    assert_eq!((broken.error().0, broken.error().2), (503, json!("store_unavailable")));
    assert!(broken.json()["error"]["message"].as_str().unwrap().contains("the database fails"));
    assert_eq!(generate(&world, json!({"prompt": "x"})).status, 200, "base64 needs no secret");
    world.set_variable("database", "none");
    let none = generate(&world, json!({"prompt": "x", "response_format": "url"}));
    assert_eq!(none.error().0, 500);
    assert!(none.json()["error"]["message"].as_str().unwrap().contains("link_secret nor a database"));
    assert_eq!(generate(&world, json!({"prompt": "x"})).status, 200);
}

#[test]
fn links_begin_with_the_public_url_or_with_what_the_host_says() {
    let (world, _) = world(6, Fate::Succeeds);
    let url = |header: Option<(&'static str, &'static str)>| {
        let mut request = request(Method::POST, "/v1/images/generations", r#"{"prompt":"x","response_format":"url"}"#);
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        answer(&world, request).json()["data"][0]["url"].as_str().unwrap().to_owned()
    };
    assert!(url(None).starts_with("http://img.example/v1/"));
    assert!(
        url(Some(("spin-full-url", "https://seen.example:8443/v1/x?y"))).starts_with("https://seen.example:8443/v1/")
    );
    assert!(url(Some(("host", "a b"))).starts_with("/v1/"), "what is no host is left out");
    world.set_variable("public_url", "https://pub.example/api/");
    assert!(url(Some(("spin-full-url", "https://seen.example/"))).starts_with("https://pub.example/api/v1/"));
}

#[test]
fn every_bad_field_is_named() {
    let (world, space) = world(7, Fate::Succeeds);
    for (fields, param) in [
        (json!({}), "prompt"),
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": 7}), "prompt"),
        (json!({"prompt": " "}), "prompt"),
        (json!({"prompt": "x".repeat(32_001)}), "prompt"),
        (json!({"prompt": "x", "n": 0}), "n"),
        (json!({"prompt": "x", "n": 11}), "n"),
        (json!({"prompt": "x", "n": 1.5}), "n"),
        (json!({"prompt": "x", "n": "many"}), "n"),
        (json!({"prompt": "x", "n": [1]}), "n"),
        (json!({"prompt": "x", "size": "big"}), "size"),
        (json!({"prompt": "x", "size": "1024x"}), "size"),
        (json!({"prompt": "x", "size": "63x64"}), "size"),
        (json!({"prompt": "x", "size": 1024}), "size"),
        (json!({"prompt": "x", "width": 5000}), "width"),
        (json!({"prompt": "x", "height": "tall"}), "height"),
        (json!({"prompt": "x", "seed": -2}), "seed"),
        (json!({"prompt": "x", "seed": 2_147_483_648_u64}), "seed"),
        (json!({"prompt": "x", "steps": 0}), "steps"),
        (json!({"prompt": "x", "model": 3}), "model"),
        (json!({"prompt": "x", "partial_images": 4}), "partial_images"),
        (json!({"prompt": "x", "aspect_ratio": "wide"}), "aspect_ratio"),
        (json!({"prompt": "x", "progress": "yes"}), "progress"),
        (json!({"prompt": "x", "stream": "no"}), "stream"),
    ] {
        let refused = generate(&world, fields.clone());
        let (status, kind, _, named) = refused.error();
        assert_eq!((status, kind, named), (400, json!("invalid_request_error"), json!(param)), "{fields}");
        assert_eq!(refused.header("x-should-retry"), Some("false"));
    }
    for text in ["", "{", "[]", "\"x\"", "nul", "{\"prompt\":\"\u{0}\"}"] {
        let refused = answer(&world, request(Method::POST, "/v1/images/generations", text));
        assert_eq!(refused.error().0, 400, "{text}");
    }
    assert_eq!(space.jobs().len(), 0, "nothing of that reaches the Space");
    let made = generate(
        &world,
        json!({
            "prompt": "x", "n": null, "size": "auto", "seed": -1, "quality": "hd", "style": "vivid", "user": "u",
            "stream": false, "response_format": "jpeg", "background": "auto", "model": "z-image-turbo",
            "unknown": {"deep": []},
        }),
    );
    assert_eq!(made.status, 200, "what clients send besides is taken: {made:?}");
}

#[test]
fn routes_methods_types_and_sizes_are_kept_to() {
    let (world, _) = world(8, Fate::Succeeds);
    let status = |method: Method, path: &str| answer(&world, request(method, path, "")).error().0;
    assert_eq!(status(Method::GET, "/v1/images/generations"), 405);
    assert_eq!(status(Method::POST, "/v1/models"), 405);
    assert_eq!(status(Method::DELETE, "/healthz"), 405);
    assert_eq!(status(Method::GET, "/v1/nothing"), 404);
    assert_eq!(status(Method::GET, "/v1/models/gpt-4"), 404);
    assert_eq!(answer(&world, request(Method::PUT, "/v1/images/generations", "")).header("allow"), Some("POST"));
    let mut typed = request(Method::POST, "/v1/images/generations", "prompt=x");
    typed.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(answer(&world, typed).status, 200);
    let mut typed = request(Method::POST, "/v1/images/generations", "prompt=x");
    typed.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(answer(&world, typed).error().0, 415);
    let large = json!({"prompt": "x", "padding": "x".repeat(9 << 20)});
    assert_eq!(generate(&world, large).error().0, 413);
    let mut announced = request(Method::POST, "/v1/images/generations", "{}");
    announced.headers_mut().insert("content-length", "99999999".parse().unwrap());
    assert_eq!(answer(&world, announced).error().0, 413, "before it has come");
    let mut silent = request(Method::POST, "/v1/images/generations", "");
    *silent.body_mut() = Box::pin(futures::stream::pending());
    assert_eq!(answer(&world, silent).error().0, 408);
    let models = answer(&world, request(Method::GET, "/v1/models", "")).json();
    assert_eq!(models["data"][0]["id"], "z-image-turbo");
}

#[test]
fn a_key_is_asked_for_where_it_must_be() {
    let (world, space) = world(9, Fate::Succeeds);
    let bare = |method: Method, path: &str| {
        Request::builder().method(method).uri(path).body(body(r#"{"prompt":"x"}"#)).unwrap()
    };
    for (method, path) in [
        (Method::POST, "/v1/images/generations"),
        (Method::GET, "/v1/models"),
        (Method::GET, "/v1/models/z-image-turbo"),
    ] {
        assert_eq!(answer(&world, bare(method.clone(), path)).error().0, 401, "{path}");
        let mut wrong = bare(method, path);
        wrong.headers_mut().insert("x-api-key", "sk-wrong".parse().unwrap());
        assert_eq!(answer(&world, wrong).error().2, json!("invalid_api_key"), "{path}");
    }
    assert_eq!(space.jobs().len(), 0);
    assert_eq!(answer(&world, bare(Method::GET, "/healthz")).status, 200);
    world.set_variable("api_keys", "");
    let refused = answer(&world, bare(Method::GET, "/v1/models"));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("api_keys"));
    world.set_variable("auth", "open");
    assert_eq!(answer(&world, bare(Method::POST, "/v1/images/generations")).status, 200);
}

/// Error of each fate of a lone job: the status, the code, and whether it may be tried again.
fn outcome(fate: Fate) -> (u16, &'static str, &'static str) {
    match fate {
        Fate::Succeeds | Fate::Chatters | Fate::Inline => (200, "", ""),
        Fate::Rejected => (400, "rejected_by_space", "false"),
        Fate::Crashes => (422, "space_error", "false"),
        Fate::MakesNothing => (422, "no_image", "false"),
        Fate::QueueFull => (503, "server_is_overloaded", "true"),
        Fate::JoinBreaks => (502, "space_error", "true"),
        Fate::JoinHangs | Fate::Stalls => (504, "space_stalled", "true"),
        Fate::Cut | Fate::EndsEarly | Fate::ImageCut => (502, "space_connection_lost", "true"),
        Fate::NeverEnds | Fate::ImageDrips => (504, "space_timeout", "false"),
        Fate::Cancelled => (502, "space_cancelled", "true"),
        Fate::Closes => (502, "space_queue_failed", "true"),
        Fate::Babbles | Fate::Lies | Fate::ImageHuge => (502, "space_unreadable", "false"),
        Fate::ImageGone => (502, "space_forbidden", "false"),
        Fate::ImageRedirects => (502, "space_redirects", "false"),
        Fate::TooMany => (503, "server_is_overloaded", "true"),
        Fate::Hosted => (422, "image_elsewhere", "false"),
    }
}

#[test]
fn every_way_to_fail_is_told_as_what_it_is_and_in_time() {
    for fate in Fate::ALL {
        let (world, space) = world(10, fate);
        let answer = generate(&world, json!({"prompt": "x"}));
        let (status, code, retry) = outcome(fate);
        assert_eq!(answer.status.as_u16(), status, "{fate:?}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.error().2, code, "{fate:?}");
            assert_eq!(answer.header("x-should-retry"), Some(retry), "{fate:?}");
            assert_eq!(problems(&world).len(), 1, "{fate:?} is logged once");
        }
        assert!(world.now() < Duration::from_secs(301), "{fate:?}");
        world.settle();
        check_jobs(0, &space);
        assert!(world.contacted().iter().all(|origin| origin == SPACE), "{fate:?} leads nowhere else");
    }
}

#[test]
fn a_space_that_is_not_there_is_told() {
    let (world, _) = world(11, Fate::Succeeds);
    world.set_variable("spaces", "z=http://127.0.0.1:1");
    let answer = generate(&world, json!({"prompt": "x"}));
    assert_eq!(answer.error().2, "space_unreachable");
}

#[test]
fn whatever_happens_the_invariants_hold() {
    for_each_seed(3000, |seed| {
        // Half of the jobs go well.
        let (world, space) = world_of(seed, |world, _| {
            let all = Fate::ALL;
            let choice = usize::try_from(world.random_below(2 * all.len() as u64)).unwrap();
            all.get(choice).copied().unwrap_or(Fate::Succeeds)
        });
        let n = 1 + world.random_below(4);
        let url = world.random_below(2) == 0;
        let (streams, progress) = (world.random_below(2) == 0, world.random_below(2) == 0);
        let fields = json!({
            "prompt": "x", "n": n, "response_format": if url { "url" } else { "b64_json" }, "stream": streams,
            "progress": progress,
        });
        let asked = request(Method::POST, "/v1/images/generations", fields.to_string());
        let leaves = (world.random_below(3) == 0).then(|| world.random_ms(1, 60_000));
        let answer = match leaves {
            Some(after) => world.run_for(after, ask(world.clone(), asked)),
            None => Some(world.run(ask(world.clone(), asked))),
        };
        let took = world.now();
        assert!(took < Duration::from_secs(4 * 400), "seed {seed}: took {took:?}");

        if let Some(answer) = &answer {
            let good = |fate: Fate| match fate {
                Fate::Succeeds => true,
                Fate::Lies | Fate::ImageCut | Fate::ImageGone => url,
                Fate::ImageRedirects | Fate::ImageHuge | Fate::ImageDrips => url,
                _ => false,
            };
            let made = space.jobs().iter().filter(|job| good(job.fate)).count();
            if answer.status == 200 && streams {
                let events = streams::events(answer.body.as_ref().unwrap());
                let count =
                    |what: &str| events.iter().filter(|(name, _)| name.as_deref().unwrap().ends_with(what)).count();
                assert_eq!(count(".completed"), made, "seed {seed}: no finished image is lost");
                assert_eq!(count("error"), usize::from(made == 0), "seed {seed}: an error only where nothing was made");
                let failed = if progress && n > 1 { usize::try_from(n).unwrap() - made } else { 0 };
                assert_eq!(count(".failed"), failed, "seed {seed}: each image has an outcome");
            } else if answer.status == 200 {
                let json = answer.json();
                let errors = json["errors"].as_array().map_or(0, Vec::len);
                assert_eq!(json["data"].as_array().unwrap().len(), made, "seed {seed}: no finished image is lost");
                assert_eq!((made + errors) as u64, n, "seed {seed}: each image has an outcome");
            } else {
                assert_eq!(made, 0, "seed {seed}: an error only where nothing was made: {answer:?}");
                answer.error();
            }
        }
        world.settle();
        check_jobs(seed, &space);
        let log = world.log_lines().join("\n");
        for secret in [KEY, SECRET] {
            assert!(!log.contains(secret), "seed {seed}: a secret in the log");
            let shown = answer.as_ref().is_some_and(|answer| format!("{answer:?}").contains(secret));
            assert!(!shown, "seed {seed}: a secret in the answer");
        }
        assert!(world.contacted().iter().all(|origin| origin == SPACE), "seed {seed}: led elsewhere");
    });
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    let form = "multipart/form-data; boundary=x";
    for (path, kind, seconds) in [
        ("/v1/images/generations", "application/json", 120),
        ("/v1/images/edits", "application/json", 120),
        ("/v1/images/edits", form, 120),
        ("/v1/chat/completions", "application/json", 120),
    ] {
        let (world, space) = world(12, Fate::Succeeds);
        let clock = world.clone();
        let text =
            if kind == form { "--x\r\ncontent-disposition: form-data; name=a\r\n\r\n" } else { "{\"prompt\": \"" };
        let bytes = text.bytes().chain(std::iter::repeat(b'a'));
        let drops = futures::stream::unfold(bytes, move |mut bytes| {
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(1)).await;
                Some((Ok(bytes::Bytes::copy_from_slice(&[bytes.next()?])), bytes))
            }
        });
        let mut asked = request(Method::POST, path, "");
        asked.headers_mut().insert("content-type", kind.parse().unwrap());
        *asked.body_mut() = Box::pin(drops);
        let begun = world.now();
        let reply = answer(&world, asked);
        assert_eq!(reply.status.as_u16(), 408, "{path} {kind}: {reply:?}");
        let took = world.now() - begun;
        assert!(took <= Duration::from_secs(seconds + 1), "{path} {kind}: {took:?}");
        assert!(space.jobs().is_empty());
    }
}
