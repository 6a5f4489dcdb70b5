//! The short form: `[model=]space`, separated by commas. Several with one model's name are its pool.

use super::model::PoolMember;
use crate::gradio::space::Space;

/// Reads it: the models in the order of their first mention, each with its pool. What is wrong goes to `problems` and
/// is passed over.
pub fn parse(text: &str, problems: &mut Vec<String>) -> Vec<(String, Vec<PoolMember>)> {
    let mut models: Vec<(String, Vec<PoolMember>)> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (id, space) = match entry.split_once('=') {
            Some((id, space)) => (Some(id.trim()), space.trim()),
            None => (None, entry),
        };
        let space = match Space::parse(space) {
            Ok(space) => space,
            Err(error) => {
                problems.push(format!("spaces: {error}"));
                continue;
            }
        };
        let id = id.unwrap_or_else(|| space.name()).to_owned();
        if id.is_empty() {
            problems.push("spaces: a model's name is missing before `=`".to_owned());
            continue;
        }
        match models.iter_mut().find(|(known, _)| *known == id) {
            Some((_, pool)) if pool.iter().any(|member| member.space == space) => {
                problems.push(format!("spaces: the model `{id}` has the Space {} twice", space.name()));
            }
            Some((_, pool)) => pool.push(PoolMember::new(space)),
            None => models.push((id, vec![PoolMember::new(space)])),
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_and_passed_over() {
        let mut problems = Vec::new();
        let models = parse("z=a/b/infer, http://127.0.0.1:7860 ,q=,=a/b,z=c/d,z=c/d,x=nonsense", &mut problems);
        let read: Vec<_> = models
            .iter()
            .map(|(id, pool)| {
                (
                    id.as_str(),
                    pool.iter().map(|member| (member.space.name(), member.space.endpoint())).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            read,
            [
                ("z", vec![("a/b", Some("infer")), ("c/d", None)]),
                ("http://127.0.0.1:7860", vec![("http://127.0.0.1:7860", None)])
            ]
        );
        assert_eq!(problems.len(), 4, "{problems:?}");
    }
}
