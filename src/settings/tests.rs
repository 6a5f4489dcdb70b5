use super::*;

fn parse(set: &[(&'static str, &'static str)]) -> Settings {
    Settings::parse(|name| set.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value))
}

#[test]
fn nothing_set_is_the_defaults_without_a_complaint() {
    let settings = parse(&[]);
    assert_eq!(settings.problems, [""; 0]);
    assert!(matches!(&settings.auth, Auth::Keys(keys) if keys.is_empty()));
    assert_eq!(settings.catalog.find(None).unwrap().id, "z-image-turbo");
    assert_eq!(settings.limits, Limits { job: Duration::from_secs(300), idle: Duration::from_secs(45) });
    assert_eq!(settings.media.link_ttl, Duration::from_secs(86_400));
    assert_eq!(settings.media.max_image_bytes, 33_554_432);
}

#[test]
fn a_word_that_auth_does_not_know_lets_nobody_in() {
    let settings = parse(&[("auth", "opne")]);
    assert!(matches!(settings.auth, Auth::Keys(_)));
    assert_eq!(settings.problems.len(), 1);
    assert!(matches!(parse(&[("auth", "open")]).auth, Auth::Open));
}

#[test]
fn origins_are_read_as_browsers_write_them() {
    let origins = |text| parse(&[("cors_origins", text)]).cors_origins;
    assert_eq!((origins(""), origins("*")), (CorsOrigins::Any, CorsOrigins::Any));
    assert_eq!(origins("none"), CorsOrigins::Only(vec![]));
    let listed = vec!["https://a.example".to_owned(), "http://localhost:3210".to_owned()];
    assert_eq!(origins("https://A.example/, http://localhost:3210,"), CorsOrigins::Only(listed));
    let wrong = parse(&[("cors_origins", "chat.example")]);
    assert_eq!((wrong.cors_origins, wrong.problems.len()), (CorsOrigins::Only(vec![]), 1), "and lets nobody in");
}

#[test]
fn numbers_out_of_range_fall_back() {
    for wrong in ["0", "-1", "x", "1.5", "99999999999999999999"] {
        let settings = parse(&[("job_timeout", wrong)]);
        assert_eq!(settings.limits.job, Duration::from_secs(300), "{wrong}");
        assert_eq!(settings.problems.len(), 1, "{wrong}");
    }
    assert_eq!(parse(&[("requests_per_minute", "0"), ("jobs_per_key", "0")]).problems, [""; 0]);
    assert_eq!(parse(&[("requests_per_minute", "-1")]).problems.len(), 1);
    assert_eq!(parse(&[("idle_timeout", " 3 ")]).limits.idle, Duration::from_secs(3));
}

#[test]
fn the_public_url_keeps_its_path_and_loses_its_last_slash() {
    let public_url = |text| parse(&[("public_url", text)]).public_url;
    assert_eq!(public_url("https://img.example/api/").as_deref(), Some("https://img.example/api"));
    for wrong in ["img.example", "ftp://x", "https://x?y", "javascript:alert(1)"] {
        assert_eq!(public_url(wrong), None, "{wrong}");
    }
}

#[test]
fn every_default_can_be_read_and_every_boolean_takes_the_same_words() {
    for row in VARIABLES {
        let problems = parse(&[(row.name, row.default)]).problems;
        assert_eq!(problems, [""; 0], "{}", row.name);
    }
    for (word, expected) in [("true", true), ("on", true), (" off ", false), ("false", false)] {
        let settings = parse(&[("history", word), ("reveal_spaces", word)]);
        assert_eq!((settings.history, settings.reveal_spaces, settings.problems.len()), (expected, expected, 0));
    }
    let wrong = parse(&[("history", "yes"), ("auth", "opne"), ("link_secret", "short"), ("database", "x")]);
    assert_eq!(
        wrong.problems,
        [
            "link_secret must have 16 characters or more; the one in the database is used",
            "auth must be \"keys\" or \"open\"; \"keys\" is used",
            "history must be true or on, false or off; on is used",
            "database must be \"sqlite\", \"postgres\" or \"none\"; there is no database",
        ]
    );
}

#[test]
fn requests_go_to_the_origins_that_settings_name_and_nowhere_else() {
    let allowed = parse(&[
        ("spaces", "a=owner/name,b=http://10.0.0.7:7860/make"),
        ("image_hosts", "https://cdn.example:8443"),
        ("webhook_host", "https://hooks.example"),
        ("webhook_secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ])
    .allowed_origins();
    for url in [
        "https://owner-name.hf.space/config?x",
        "http://10.0.0.7:7860/gradio_api/queue/join",
        "https://CDN.example:8443/a.png",
        "https://hooks.example/end",
        "https://huggingface.co/api/spaces/owner/name",
    ] {
        assert!(allowed.has(&url.parse().unwrap()), "{url}");
    }
    for url in [
        "http://owner-name.hf.space/",
        "https://other.hf.space/",
        "http://10.0.0.7/",
        "https://10.0.0.7:7860/",
        "http://10.0.0.8:7860/",
        "https://cdn.example/a.png",
        "https://hooks.example:8443/",
        "https://hooks.example@evil.example/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "data:,x",
    ] {
        assert!(!allowed.has(&url.parse().unwrap()), "{url}");
    }
    assert!(!parse(&[]).allowed_origins().has(&"http://127.0.0.1/".parse().unwrap()));
}
