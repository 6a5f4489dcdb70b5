//! Z-Image-Turbo's endpoint: the one signature that is known without asking.
//!
//! `generate_image(prompt, height, width, num_inference_steps, seed, randomize_seed) -> (image, seed)`, as the Space
//! `mrfakename/Z-Image-Turbo` has it. Height comes before width.

use serde_json::{Value, json};

use crate::generation::{Seed, Size};

/// The endpoint's `api_name`.
pub const API_NAME: &str = "generate_image";

/// The Space's own default.
const STEPS: u32 = 9;

/// What one image is made from.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// What it shows.
    pub prompt: &'a str,
    /// How large.
    pub size: Size,
    /// The randomness it starts from.
    pub seed: Seed,
    /// How many denoising steps; `None` for the Space's default, 9.
    pub steps: Option<u32>,
}

impl Arguments<'_> {
    /// In the function's order.
    pub fn data(&self) -> [Value; 6] {
        [
            json!(self.prompt),
            json!(self.size.height()),
            json!(self.size.width()),
            json!(self.steps.unwrap_or(STEPS)),
            json!(self.seed.get()),
            json!(false),
        ]
    }
}

/// The seed that the Space says it used, from the outputs.
pub fn used_seed(outputs: &[Value]) -> Option<Seed> {
    let seed = outputs.get(1)?;
    let seed = seed.as_u64().or_else(|| seed.as_str()?.parse().ok())?;
    Seed::new(u32::try_from(seed).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn height_comes_before_width() {
        let arguments =
            Arguments { prompt: "a", size: Size::new(512, 768).unwrap(), seed: Seed::new(7).unwrap(), steps: None };
        assert_eq!(arguments.data().to_vec(), [json!("a"), json!(768), json!(512), json!(9), json!(7), json!(false)]);
    }

    #[test]
    fn reads_the_used_seed() {
        assert_eq!(used_seed(&[Value::Null, json!(42)]), Seed::new(42));
        assert_eq!(used_seed(&[Value::Null, json!("42")]), Seed::new(42));
        assert_eq!(used_seed(&[Value::Null, json!(-1)]), None);
        assert_eq!(used_seed(&[Value::Null]), None);
    }
}
