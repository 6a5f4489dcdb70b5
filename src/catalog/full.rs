//! The full form, in TOML:
//!
//! ```toml
//! [models.flux]
//! spaces = [
//!     "black-forest-labs/FLUX.1-schnell",
//!     { space = "me/My-FLUX", endpoint = "infer", token = "hf_…", slots = 1, weight = 0.5 },
//! ]
//! aliases = ["flux.1"]
//! steps = 4                          # defaults: size, steps, quality, guidance, negative_prompt, sampler,
//!                                    # response_format
//!
//! [models.flux.choices.Turbo]        # a choice of the Spaces' own, which is the model flux/Turbo
//! steps = 4
//!
//! [models.flux.presets.flux-wide]    # a model of its own, with defaults of its own
//! size = "1536x1024"
//! ```
//!
//! Every mistake is reported with its line and key, and costs no more than the entry that it is in.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::{Defaults, Model, PoolMember, SLOTS};
use crate::generation::{Quality, ResponseFormat, Size};
use crate::gradio::space::{Space, Token};

type Key<'a> = Spanned<Cow<'a, str>>;
type Entry<'a> = Spanned<DeValue<'a>>;

/// Reads it. What is wrong goes to `problems`.
pub fn parse(text: &str, problems: &mut Vec<String>) -> Vec<Model> {
    let mut reader = Reader { text, problems };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        // The message alone: the whole shows the line, and with it perhaps a token.
        reader.report(at, "", &error.message().replace('\n', " "));
    }
    let mut models = Vec::new();
    for (key, entry) in table.get_ref() {
        match (key.get_ref().as_ref(), entry.get_ref()) {
            ("models", DeValue::Table(entries)) => {
                for (id, entry) in entries {
                    models.extend(reader.model(id, entry));
                }
            }
            (other, _) => reader.report(key.span().start, other, "is not known here; there is [models.NAME]"),
        }
    }
    // A table has no order of its own, but a reader expects the order of the lines.
    models.sort_by_key(|(line, _)| *line);
    models.into_iter().map(|(_, model)| model).collect()
}

struct Reader<'a> {
    text: &'a str,
    problems: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn report(&mut self, at: usize, key: &str, what: &str) {
        let line = self.line(at);
        let key = if key.is_empty() { String::new() } else { format!(" `{key}`") };
        self.problems.push(format!("catalog: line {line}:{key} {what}"));
    }

    /// A model and its presets, each with its line.
    fn model(&mut self, id: &Key<'_>, entry: &Entry<'_>) -> Vec<(usize, Model)> {
        let DeValue::Table(fields) = entry.get_ref() else {
            self.report(id.span().start, id.get_ref(), "must be a table: [models.NAME]");
            return Vec::new();
        };
        let mut pool = Vec::new();
        let mut aliases = Vec::new();
        let mut presets = Vec::new();
        let mut choices = Vec::new();
        let mut defaults = Defaults::default();
        for (key, entry) in fields {
            match (key.get_ref().as_ref(), entry.get_ref()) {
                ("spaces", DeValue::Array(entries)) => {
                    pool = entries.iter().filter_map(|entry| self.member(entry)).collect()
                }
                ("aliases", DeValue::Array(entries)) => {
                    aliases = entries.iter().filter_map(|entry| self.string(key, entry)).collect();
                }
                ("presets", DeValue::Table(entries)) => presets.extend(entries.iter()),
                ("choices", DeValue::Table(entries)) => choices = self.choices(entries),
                (name @ ("spaces" | "aliases"), _) => {
                    self.report(key.span().start, name, "must be a list: [\"…\", \"…\"]")
                }
                _ => self.default(&mut defaults, key, entry),
            }
        }
        if pool.is_empty() {
            self.report(id.span().start, id.get_ref(), "has no Space that can be used, and is left out");
            return Vec::new();
        }
        let mut models = Vec::new();
        for (preset, entry) in presets {
            let DeValue::Table(fields) = entry.get_ref() else {
                self.report(preset.span().start, preset.get_ref(), "must be a table: [models.NAME.presets.NAME]");
                continue;
            };
            let own = self.defaults(fields);
            let model = Model {
                id: preset.get_ref().to_string(),
                aliases: Vec::new(),
                pool: pool.clone(),
                defaults: own.over(&defaults),
                preset_of: Some(id.get_ref().to_string()),
                choices: choices.clone(),
                choice: None,
            };
            models.push((self.line(preset.span().start), model));
        }
        let model = Model { aliases, defaults, choices, ..Model::new(id.get_ref().to_string(), pool) };
        models.push((self.line(id.span().start), model));
        models
    }

    /// Defaults of the choices that a model's Spaces have.
    fn choices(&mut self, entries: &DeTable<'_>) -> Vec<(String, Defaults)> {
        let mut choices = Vec::new();
        for (name, entry) in entries {
            let DeValue::Table(fields) = entry.get_ref() else {
                self.report(name.span().start, name.get_ref(), "must be a table: [models.NAME.choices.CHOICE]");
                continue;
            };
            choices.push((name.get_ref().to_string(), self.defaults(fields)));
        }
        choices
    }

    /// Defaults of a table that holds nothing else.
    fn defaults(&mut self, fields: &DeTable<'_>) -> Defaults {
        let mut defaults = Defaults::default();
        for (key, entry) in fields {
            self.default(&mut defaults, key, entry);
        }
        defaults
    }

    fn member(&mut self, entry: &Entry<'_>) -> Option<PoolMember> {
        let at = entry.span().start;
        match entry.get_ref() {
            DeValue::String(text) => self.space(at, text).map(PoolMember::new),
            DeValue::Table(fields) => {
                let mut space = None;
                let (mut endpoint, mut tokens) = (None, Vec::new());
                let (mut slots, mut weight) = (SLOTS, 1.0);
                for (key, entry) in fields {
                    match key.get_ref().as_ref() {
                        "space" => {
                            space = self.string(key, entry).and_then(|text| self.space(entry.span().start, &text))
                        }
                        "endpoint" => {
                            endpoint = self.string(key, entry).map(|name| name.trim_start_matches('/').to_owned())
                        }
                        "token" => tokens.extend(self.token(key, entry)),
                        "tokens" => match entry.get_ref() {
                            DeValue::Array(entries) => {
                                tokens.extend(entries.iter().filter_map(|entry| self.token(key, entry)));
                            }
                            _ => self.report(key.span().start, "tokens", "must be a list: [\"…\", \"…\"]"),
                        },
                        "slots" => {
                            slots = self
                                .whole(key, entry, 1, 100)
                                .and_then(|slots| usize::try_from(slots).ok())
                                .unwrap_or(slots)
                        }
                        "weight" => weight = self.number(key, entry).filter(|weight| *weight > 0.0).unwrap_or(weight),
                        other => self.report(
                            key.span().start,
                            other,
                            "is not known; there are space, endpoint, token, tokens, slots, weight",
                        ),
                    }
                }
                if space.is_none() {
                    self.report(at, "space", "is missing");
                }
                Some(PoolMember { space: space?.with_endpoint(endpoint).with_tokens(tokens), slots, weight })
            }
            _ => {
                self.report(at, "spaces", "has an entry that is neither a text nor a table");
                None
            }
        }
    }

    fn token(&mut self, key: &Key<'_>, entry: &Entry<'_>) -> Option<Token> {
        let token = self.string(key, entry).and_then(|text| Token::new(&text));
        if token.is_none() {
            self.report(entry.span().start, key.get_ref(), "is no token");
        }
        token
    }

    fn space(&mut self, at: usize, text: &str) -> Option<Space> {
        match Space::parse(text) {
            Ok(space) => Some(space),
            Err(error) => {
                self.report(at, "", &error.to_string());
                None
            }
        }
    }

    fn default(&mut self, defaults: &mut Defaults, key: &Key<'_>, entry: &Entry<'_>) {
        let at = key.span().start;
        match key.get_ref().as_ref() {
            "size" => {
                defaults.size = self.string(key, entry).and_then(|text| Size::parse(&text));
                if defaults.size.is_none() {
                    self.report(at, "size", "must be like \"1024x1024\"");
                }
            }
            "quality" => {
                defaults.quality = self.string(key, entry).and_then(|text| Quality::parse(&text));
                if defaults.quality.is_none() {
                    self.report(at, "quality", "must be \"low\", \"medium\", \"high\" or \"max\"");
                }
            }
            "steps" => defaults.steps = self.whole(key, entry, 1, 1000).and_then(|steps| u32::try_from(steps).ok()),
            "guidance" => defaults.guidance = self.number(key, entry),
            "negative_prompt" => defaults.negative_prompt = self.string(key, entry),
            "sampler" => defaults.sampler = self.string(key, entry),
            "response_format" => {
                let named = self.string(key, entry);
                defaults.response_format = named.and_then(|text| ResponseFormat::parse(&text));
                if defaults.response_format.is_none() {
                    self.report(at, "response_format", "must be \"url\" or \"b64_json\"");
                }
            }
            other => self.report(
                at,
                other,
                "is not known; there are spaces, aliases, presets, choices, size, steps, quality, \
                 guidance, negative_prompt, sampler, response_format",
            ),
        }
    }

    fn string(&mut self, key: &Key<'_>, entry: &Entry<'_>) -> Option<String> {
        match entry.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.report(entry.span().start, key.get_ref(), "must be a text, in quotation marks");
                None
            }
        }
    }

    fn whole(&mut self, key: &Key<'_>, entry: &Entry<'_>, least: i64, greatest: i64) -> Option<i64> {
        let read = match entry.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        let value = read.filter(|value| (least..=greatest).contains(value));
        if value.is_none() {
            self.report(
                entry.span().start,
                key.get_ref(),
                &format!("must be a whole number from {least} to {greatest}"),
            );
        }
        value
    }

    fn number(&mut self, key: &Key<'_>, entry: &Entry<'_>) -> Option<f64> {
        let read: Option<f64> = match entry.get_ref() {
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => None,
        };
        let value = read.filter(|value| value.is_finite() && *value >= 0.0);
        if value.is_none() {
            self.report(entry.span().start, key.get_ref(), "must be a number, 0 or greater");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Model>, Vec<String>) {
        let mut problems = Vec::new();
        (parse(text, &mut problems), problems)
    }

    #[test]
    fn everything_is_read() {
        let (models, problems) = read(
            "[models.flux]\nspaces = [\"a/b\", { space = \"c/d\", endpoint = \"/infer\", \
             tokens = [\"hf_x\", \"hf_y\"], slots = 1, weight = 0.5 }]\n\
             aliases = [\"f\"]\nsteps = 4\nguidance = 3.5\nnegative_prompt = \"blur\"\nsampler = \"Euler\"\n\
             size = \"512x768\"\n\
             [models.flux.presets.flux-hq]\nquality = \"high\"\n\
             [models.flux.choices.\"Turbo, 8 steps\"]\nsteps = 8\n",
        );
        assert_eq!(problems, [""; 0]);
        let flux = models.iter().find(|model| model.id == "flux").unwrap();
        let member = &flux.pool[1];
        assert_eq!((member.space.endpoint(), member.slots, member.weight), (Some("infer"), 1, 0.5));
        assert_eq!((member.space.tokens().len(), flux.pool[0].space.tokens().len()), (2, 0));
        assert_eq!(
            (flux.defaults.steps, flux.defaults.guidance, flux.aliases.as_slice()),
            (Some(4), Some(3.5), ["f".to_owned()].as_slice())
        );
        let turbo = flux.with_choice("turbo, 8 steps");
        assert_eq!((turbo.id.as_str(), turbo.defaults.steps), ("flux/turbo, 8 steps", Some(8)));
        assert_eq!((turbo.defaults.guidance, flux.with_choice("x").defaults.steps), (Some(3.5), Some(4)));
        let preset = models.iter().find(|model| model.id == "flux-hq").unwrap();
        assert_eq!(
            (preset.preset_of.as_deref(), preset.defaults.quality, preset.defaults.size),
            (Some("flux"), Some(Quality::High), Size::new(512, 768))
        );
    }

    #[test]
    fn a_mistake_is_told_with_line_and_key_and_costs_no_more_than_its_entry() {
        let (models, problems) = read(
            "[models.good]\nspaces = [\"a/b\", \"nonsense\", 7]\nsteps = 0\ncolour = 1\n\n[models.bad]\n\
             spaces = [\"x\"]\n\n[other]\n",
        );
        assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["good"]);
        assert_eq!(models[0].pool.len(), 1);
        for (line, word) in
            [(2, "nonsense"), (2, "neither"), (3, "`steps`"), (4, "`colour`"), (7, "`x`"), (6, "`bad`"), (9, "`other`")]
        {
            let is_reported = problems
                .iter()
                .any(|problem| problem.starts_with(&format!("catalog: line {line}:")) && problem.contains(word));
            assert!(is_reported, "{line} {word}: {problems:?}");
        }
    }

    #[test]
    fn what_is_no_toml_is_told_without_the_line_itself() {
        let (models, problems) =
            read("[models.a]\nspaces = [\"a/b\"]\nsampler = \"hf_secret\n[models.b]\nspaces = [\"c/d\"]\n");
        assert!(
            problems[0].starts_with("catalog: line 3:") && problems.iter().all(|problem| !problem.contains("secret")),
            "{problems:?}"
        );
        assert_eq!(models.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["a", "b"], "the rest is used");
    }
}
