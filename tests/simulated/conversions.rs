//! Links to images in another format than their Space made.

use super::*;

/// An image that can be read.
fn readable() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 64, 64);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..64 * 64 * 3_u32).map(|number| (number * 7 % 251) as u8).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    file
}

/// A world with a Space, and the path of a link to its image `file` as a JPEG.
fn linked(seed: u64, file: Vec<u8>) -> (World, SimSpace, String) {
    let (world, space) = world(seed, Fate::Succeeds);
    space.set_image(file);
    let answer = generate(&world, json!({"prompt": "x", "response_format": "url", "output_format": "jpeg"}));
    let url = answer.json()["data"][0]["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("http://img.example").unwrap().to_owned();
    assert!(path.ends_with(".jpeg") && space.fetches().is_empty());
    (world, space, path)
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, "")
}

fn is_jpeg(answer: &Reply) -> bool {
    answer.status == 200 && answer.header("content-type") == Some("image/jpeg")
}

#[test]
fn many_requests_of_many_instances_are_one_conversion() {
    for seed in 0..20 {
        let (world, space, path) = linked(seed, readable());
        world.slow_store(Duration::from_millis(50));
        let (asking, link) = (world.clone(), path.clone());
        let answers = world.run(async move {
            let instances = futures::future::join_all((0..3).map(|_| instance(asking.clone()))).await;
            let all = instances.iter().flat_map(|app| (0..5).map(|_| ask_of(Rc::clone(app), get(&link))));
            futures::future::join_all(all.collect::<Vec<_>>()).await
        });
        let first = answers[0].body.clone().unwrap();
        for answer in &answers {
            assert!(is_jpeg(answer), "seed {seed}: {answer:?}");
            assert_eq!(answer.body.as_ref(), Ok(&first), "seed {seed}");
        }
        assert_eq!(space.fetches().len(), 1, "seed {seed}");
        world.pass(Duration::from_secs(3600));
        assert!(is_jpeg(&answer(&world, get(&path))));
        assert_eq!(space.fetches().len(), 1, "seed {seed}: it is kept as long as its link works");
    }
}

#[test]
fn a_part_of_a_converted_image_is_answered() {
    let (world, _, path) = linked(1, readable());
    let whole = answer(&world, get(&path));
    let all = whole.body.as_ref().unwrap();
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    for (range, status, part) in [
        ("bytes=0-9", 206, &all[..10]),
        ("bytes=-5", 206, &all[all.len() - 5..]),
        ("bytes=10-", 206, &all[10..]),
        ("bytes=5-2", 200, &all[..]),
    ] {
        let mut asked = get(&path);
        asked.headers_mut().insert("range", range.parse().unwrap());
        let got = answer(&world, asked);
        assert_eq!((got.status.as_u16(), got.body.as_deref()), (status, Ok(part)), "{range}");
        assert_eq!(got.header("content-range").is_some(), status == 206);
    }
    let mut beyond = get(&path);
    beyond.headers_mut().insert("range", "bytes=9999999-".parse().unwrap());
    assert_eq!(answer(&world, beyond).status, 416);
    let mut known = get(&path);
    known.headers_mut().insert("if-none-match", whole.header("etag").unwrap().parse().unwrap());
    assert_eq!(answer(&world, known).status, 304);
}

#[test]
fn what_cannot_be_kept_is_converted_a_few_times_a_minute() {
    // It begins as an image does, and can't be read.
    let (world, space, path) = linked(1, png());
    for _ in 0..6 {
        assert_eq!(answer(&world, get(&path)).error().2, "space_unreadable");
    }
    let refused = answer(&world, get(&path));
    assert_eq!((refused.error().0, refused.error().2), (429, json!("too_many_conversions")));
    assert_eq!(refused.header("retry-after"), Some("10"));
    assert_eq!(space.fetches().len(), 6, "over all instances");
    world.pass(Duration::from_secs(10));
    assert_eq!(answer(&world, get(&path)).status, 502);
}

#[test]
fn an_image_that_stays_as_it_is_is_found_out_once_and_passed_on() {
    let gif = [b"GIF89a".to_vec(), vec![7; 5000]].concat();
    let (world, space, path) = linked(1, gif.clone());
    for count in 1..10 {
        let got = answer(&world, get(&path));
        assert_eq!((got.status.as_u16(), got.header("content-type")), (200, Some("image/gif")));
        assert_eq!(got.body.as_ref(), Ok(&gif));
        // Each time for the answer, and the first time to see what it is.
        assert_eq!(space.fetches().len(), count + 1);
    }
}

#[test]
fn without_a_database_an_instance_keeps_what_it_made() {
    let (world, space, path) = linked(1, readable());
    world.set_variable("database", "none");
    let (asking, link) = (world.clone(), path.clone());
    world.run(async move {
        let app = instance(asking).await;
        for _ in 0..20 {
            assert!(is_jpeg(&ask_of(Rc::clone(&app), get(&link)).await));
        }
    });
    assert_eq!(space.fetches().len(), 1);
    assert!(is_jpeg(&answer(&world, get(&path))), "another instance makes it again");
    assert_eq!(space.fetches().len(), 2);
}

#[test]
fn a_database_that_fails_stops_no_conversion() {
    let (world, space, path) = linked(1, readable());
    world.break_store();
    assert!(is_jpeg(&answer(&world, get(&path))));
    assert_eq!(space.fetches().len(), 1);
    let (world, _, path) = linked(1, readable());
    world.hang_database(true);
    assert!(is_jpeg(&answer(&world, get(&path))));
}

#[test]
fn an_instance_that_dies_in_mid_conversion_holds_it_up_for_a_while_only() {
    let (world, space, path) = linked(1, readable());
    // It claims the conversion, and dies before the file is there.
    let dying = z_image_2api::platform::sim::instance::Instance::new(&world, u64::MAX);
    let (host, link, killed, watched) = (dying.host(), path.clone(), dying.clone(), space.clone());
    let waiting = world.clone();
    dying.host().spawn(Box::pin(async move { drop(ask_at(host, get(&link)).await) }));
    world.run(async move {
        while watched.fetches().is_empty() {
            z_image_2api::platform::Platform::sleep(&waiting, Duration::from_millis(1)).await;
        }
        killed.kill();
    });
    let died = z_image_2api::platform::Platform::now(&world);
    assert!(is_jpeg(&answer(&world, get(&path))));
    let took = z_image_2api::platform::Platform::now(&world) - died;
    assert!((Duration::from_secs(40)..Duration::from_secs(50)).contains(&took), "{took:?}");
    assert_eq!(space.fetches().len(), 2);
}
