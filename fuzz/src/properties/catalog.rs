//! Catalogues, as operators write them.

use z_image_2api::catalog::Catalog;
use z_image_2api::settings::Settings;

/// The catalogue in both its forms, and variables of any text: there is always a model to answer with, every Space is
/// an origin and nothing more, and problems are told. The first line is the short form.
pub fn catalog(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (spaces, full) = text.split_once('\n').unwrap_or((&text, ""));
    let mut problems = Vec::new();
    let catalog = Catalog::parse(spaces, full, &mut problems);
    assert!(problems.len() <= text.len() + 1);
    let default = catalog.find(None).expect("a default model");
    assert_eq!(*default, catalog.models()[0]);
    for model in catalog.models() {
        assert!(!model.pool.is_empty(), "{}", model.id);
        assert!(catalog.find(Some(&model.id)).is_some());
        for member in &model.pool {
            assert!((1..=100).contains(&member.slots) && member.weight > 0.0 && member.weight.is_finite());
            let url = member.space.origin().url("/config");
            assert!(matches!(url.scheme(), "http" | "https") && url.path() == "/config", "{url}");
            assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none(), "{url}");
            assert!(catalog.space_at(member.space.origin()).is_some());
            for token in member.space.tokens() {
                assert!(token.bearer().is_some(), "a header can hold it");
            }
        }
    }
    let variables: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let settings =
        Settings::parse(|name| variables.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| *value));
    assert!(!settings.catalog.models().is_empty());
}
