//! Models, and the Spaces that make their images.
//!
//! The variable `spaces` names them shortly ([`spaces`]), the variable `catalog` in full ([`full`]). Where neither says
//! otherwise, there is a built-in catalogue: `z-image-turbo`, and the model ids of the Worker that this project
//! succeeds as presets of it. What can't be read is reported, and what can is used.

pub mod full;
pub mod model;
pub mod spaces;

use std::borrow::Cow;

pub use self::model::{Defaults, Model, ModelChoice, PoolMember};
use crate::gradio::space::{Origin, Space};

/// The catalogue that is built in.
const BUILT_IN: &str = include_str!("built_in.toml");

/// Names of OpenAI's that clients have built in: they mean the default model.
const CLIENT_NAMES: [&str; 9] = [
    "dall-e-2",
    "dall-e-3",
    "gpt-image-1",
    "gpt-image-1-mini",
    "gpt-image-1.5",
    "gpt-image-2",
    "gpt-image-2.5",
    "gpt-image-2.6",
    "chatgpt-image-latest",
];

/// The models. Never empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// In the order in which they were named: the first is the default.
    models: Vec<Model>,
}

impl Catalog {
    /// The models that both variables name, or the built-in ones. What is wrong goes to `problems`.
    pub fn parse(spaces: &str, catalog: &str, problems: &mut Vec<String>) -> Self {
        let mut built_in_problems = Vec::new();
        let built_in = full::parse(BUILT_IN, &mut built_in_problems);
        let mut models = if catalog.trim().is_empty() { Vec::new() } else { full::parse(catalog, problems) };
        let named = spaces::parse(spaces, problems);
        // A short name takes the place of a pool, and keeps what the catalogue says of the model beside it.
        let known = if models.is_empty() { built_in.as_slice() } else { &[] };
        let mut first: Vec<Model> = Vec::new();
        for (id, pool) in named {
            let is_it = |model: &Model| model.id == id || model.preset_of.as_deref() == Some(id.as_str());
            let mut about: Vec<Model> = known.iter().chain(&models).filter(|model| is_it(model)).cloned().collect();
            for model in &mut about {
                model.pool.clone_from(&pool);
            }
            models.retain(|model| !is_it(model));
            if about.is_empty() {
                about.push(Model::new(id, pool));
            }
            first.extend(about);
        }
        first.extend(models);
        let models = if first.is_empty() { built_in } else { first };
        // Presets come after all models, so that a list begins with what there is.
        let (presets, mut models): (Vec<_>, Vec<_>) = models.into_iter().partition(|model| model.preset_of.is_some());
        models.extend(presets);
        Self { models }
    }

    /// All models, the default first, presets last.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of that id or alias, or the default where none is named. Behind a model's id or alias and a slash may
    /// stand a choice of its Spaces: which they have, only they know.
    pub fn find(&self, id: Option<&str>) -> Option<Cow<'_, Model>> {
        let Some(id) = id else { return self.models.first().map(Cow::Borrowed) };
        let by_client = || self.models.first().filter(|_| CLIENT_NAMES.contains(&id));
        let known = self.named(id).or_else(by_client).map(Cow::Borrowed);
        // The longest name goes first: it may hold slashes.
        known.or_else(|| {
            id.rmatch_indices('/').find_map(|(at, _)| {
                let choice = id.get(at + 1..).filter(|choice| !choice.trim().is_empty())?;
                Some(Cow::Owned(self.named(id.get(..at)?)?.with_choice(choice)))
            })
        })
    }

    /// The model of that id, or else of that alias.
    fn named(&self, id: &str) -> Option<&Model> {
        let by_id = self.models.iter().find(|model| model.id == id);
        by_id.or_else(|| self.models.iter().find(|model| model.aliases.iter().any(|alias| alias == id)))
    }

    /// The Space at that origin.
    pub fn space_at(&self, origin: &Origin) -> Option<&Space> {
        self.spaces().find(|space| space.origin() == origin)
    }

    /// All Spaces; one that is in several pools comes several times.
    pub fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.models.iter().flat_map(|model| &model.pool).map(|member| &member.space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Size;

    fn parse(spaces: &str, catalog: &str) -> (Catalog, Vec<String>) {
        let mut problems = Vec::new();
        (Catalog::parse(spaces, catalog, &mut problems), problems)
    }

    fn ids(catalog: &Catalog) -> Vec<&str> {
        catalog.models().iter().map(|model| model.id.as_str()).collect()
    }

    const BUILT_IN_IDS: [&str; 5] =
        ["z-image-turbo", "z-image-turbo-2048", "z-image-turbo-1024", "z-image-pro-1024", "z-image-quality"];

    #[test]
    fn nothing_said_is_the_built_in_catalogue() {
        let mut problems = Vec::new();
        full::parse(BUILT_IN, &mut problems);
        assert_eq!(problems, [""; 0]);
        let (catalog, problems) = parse("", "");
        assert_eq!((ids(&catalog), problems.len()), (BUILT_IN_IDS.to_vec(), 0));
        let preset = catalog.find(Some("z-image-turbo-2048")).unwrap();
        assert_eq!(preset.defaults.size, Size::new(2048, 2048));
        assert_eq!(preset.pool, catalog.find(None).unwrap().pool);
    }

    #[test]
    fn a_short_name_takes_the_place_of_a_pool_and_keeps_the_presets() {
        let (catalog, problems) = parse("z-image-turbo=http://127.0.0.1:7860, other=a/b, z-image-turbo=c/d", "");
        assert_eq!(problems, [""; 0]);
        assert_eq!(ids(&catalog)[..2], ["z-image-turbo", "other"]);
        assert_eq!(ids(&catalog)[2..], BUILT_IN_IDS[1..]);
        for id in ["z-image-turbo", "z-image-quality"] {
            let model = catalog.find(Some(id)).unwrap();
            let pool: Vec<_> = model.pool.iter().map(|member| member.space.name()).collect();
            assert_eq!(pool, ["http://127.0.0.1:7860", "c/d"], "{id}");
        }
        assert_eq!(ids(&parse("flux=a/b", "").0), ["flux"], "presets of a model that isn't there aren't either");
    }

    #[test]
    fn clients_names_mean_the_default_unless_somebody_else_has_them() {
        let (catalog, _) = parse("flux=a/b,dall-e-2=c/d", "");
        assert_eq!(catalog.find(Some("dall-e-3")).unwrap().id, "flux");
        assert_eq!(catalog.find(Some("dall-e-2")).unwrap().id, "dall-e-2");
        assert_eq!(catalog.find(Some("gpt-5")), None);
    }

    #[test]
    fn behind_a_models_name_may_stand_a_choice_of_its_spaces() {
        let (catalog, _) = parse("", "[models.\"o/flux\"]\nspaces = [\"a/b\"]\naliases = [\"f\"]\n");
        let find = |id| catalog.find(Some(id)).map(|model| (model.id.clone(), model.choice.clone()));
        let choice = |name: &str| Some(ModelChoice { of: "o/flux".to_owned(), name: name.to_owned() });
        assert_eq!(find("o/flux"), Some(("o/flux".to_owned(), None)));
        assert_eq!(find("o/flux/org/turbo"), Some(("o/flux/org/turbo".to_owned(), choice("org/turbo"))));
        assert_eq!(find("f/Ink"), Some(("o/flux/Ink".to_owned(), choice("Ink"))));
        for unknown in ["o/flux/", "o/flux/ ", "o", "x/y", "/", "flux/Ink", ""] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_catalogue_in_full_takes_the_place_of_the_built_in_one() {
        let (catalog, problems) = parse(
            "second=e/f",
            "[models.first]\nspaces = [\"a/b\"]\naliases = [\"one\"]\n[models.second]\nspaces = [\"c/d\"]\nsteps = 4\n",
        );
        assert_eq!(problems, [""; 0]);
        assert_eq!(ids(&catalog), ["second", "first"]);
        assert_eq!(catalog.find(Some("one")).unwrap().id, "first");
        let second = catalog.find(Some("second")).unwrap();
        assert_eq!((second.pool[0].space.name(), second.defaults.steps), ("e/f", Some(4)));
    }
}
