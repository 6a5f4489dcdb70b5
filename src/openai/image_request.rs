//! A request for images, read from fields.

use serde_json::Value;

use super::fields::Fields;
use crate::error::Error;
use crate::generation::{Generation, Purpose, Quality, RequestKind, ResponseFormat, Seed, TargetFormat};
use crate::pipeline::RunRequest;
use crate::platform::{Host, random_bytes};

/// The most bytes of all fields as JSON, images left out: they are held for as long as the images are made.
const MAX_FIELDS: usize = 256 << 10;
/// The most images of one request, as at OpenAI.
const MAX_IMAGES: u32 = 10;
/// The most partial images of one image, as at OpenAI.
const MAX_PARTIAL_IMAGES: u32 = 3;
/// The most denoising steps that may be asked for; Spaces have limits of their own.
const MAX_STEPS: u32 = 1000;
/// The greatest guidance scale that may be asked for; Spaces have limits of their own.
const MAX_GUIDANCE: f64 = 100.0;

/// A request for images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRequest {
    /// The model's id; `None` for the default.
    pub model: Option<String>,
    /// Images that are to be made.
    pub generation: Generation,
    /// Images from text, or from images.
    pub purpose: Purpose,
    /// Form in which they are delivered; `None` where the request doesn't say.
    pub format: Option<ResponseFormat>,
    /// File format that they are converted to; `None` for the Space's own.
    pub wanted: Option<TargetFormat>,
    /// `stream`: the answer is a stream of events.
    pub stream: bool,
    /// Contents of that stream.
    pub streaming: Streaming,
    /// Fields that change nothing here, and that events must repeat.
    pub echo: Echo,
    /// Marks a variation: an edit without words of its own.
    pub is_variation: bool,
    /// `async`: the answer is a task, which outlives the request.
    pub is_task: bool,
    /// URL that the end of the task is sent to.
    pub webhook_url: Option<String>,
}

/// Contents of a streaming answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// Number of partial images of each image, at most.
    pub partial_images: u32,
    /// `progress`: queue position and steps, which no SDK has types for.
    pub progress: bool,
}

/// Quality and background of a request, in words that OpenAI's events know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// One of `low`, `medium`, `high`, `xhigh`, `max` and `auto`.
    pub quality: &'static str,
    /// `opaque` or `auto`: no Space says that it makes transparent images.
    pub background: &'static str,
}

impl ImageRequest {
    /// Form in which the images are delivered.
    pub fn form(&self) -> ResponseFormat {
        self.format.unwrap_or(ResponseFormat::Base64)
    }

    /// Kind of the request.
    pub fn kind(&self) -> RequestKind {
        match self.purpose {
            Purpose::Generate => RequestKind::Generation,
            Purpose::Edit if self.is_variation => RequestKind::Variation,
            Purpose::Edit => RequestKind::Edit,
        }
    }

    /// Parses the fields of a request for images from text. Without a seed, `host` gives one.
    ///
    /// # Errors
    /// 400 that names the parameter, its value and what it may be.
    pub fn read(fields: &Fields, host: &Host) -> Result<Self, Error> {
        if !fields.fit(MAX_FIELDS) {
            return Err(Error::text_too_large(MAX_FIELDS));
        }
        let count = fields.integer("n", 1, MAX_IMAGES)?.unwrap_or(1);
        let seed = match fields.seed()? {
            Some(seed) => seed,
            None => Seed::of_bits(random_bytes(host)),
        };
        let wanted = fields.wanted()?;
        let generation = Generation {
            prompt: fields.prompt()?,
            negative_prompt: fields.text("negative_prompt")?.map(str::to_owned),
            size: fields.size()?,
            aspect: fields.aspect()?,
            seed,
            count,
            steps: fields.first_integer(["steps", "num_inference_steps"], 1, MAX_STEPS)?,
            quality: fields.text("quality")?.and_then(Quality::parse),
            guidance: fields.first_number(["guidance_scale", "guidance", "cfg_scale", "cfg"], 0.0, MAX_GUIDANCE)?,
            sampler: fields.first_text(["sampler", "scheduler"])?.map(str::to_owned),
            choice: None,
            images: Vec::new(),
            mask: None,
            strength: fields.first_number(["strength", "image_strength"], 0.0, 1.0)?,
            format: wanted.map(|wanted| wanted.format),
            priority: fields.priority()?,
            extras: fields.extras(),
        };
        let partial_images = fields.integer("partial_images", 0, MAX_PARTIAL_IMAGES)?.unwrap_or(0);
        let progress = fields.flag("progress")?;
        let (stream, streaming) = (fields.flag("stream")?, Streaming { partial_images, progress });
        let echo = Echo {
            quality: match fields.text("quality")? {
                Some("low") => "low",
                Some("medium" | "standard") => "medium",
                Some("high" | "hd") => "high",
                Some("xhigh") => "xhigh",
                Some("max") => "max",
                _ => "auto",
            },
            background: if fields.text("background")? == Some("opaque") { "opaque" } else { "auto" },
        };
        // Any other value is taken for none: some clients send names of their own.
        let format = fields.get("response_format").and_then(Value::as_str).and_then(ResponseFormat::parse);
        let model = fields.text("model")?.map(str::to_owned).filter(|model| !model.is_empty());
        let (is_task, webhook_url) = (fields.flag("async")?, fields.text("webhook_url")?.map(str::to_owned));
        Ok(Self {
            model,
            generation,
            purpose: Purpose::Generate,
            format,
            wanted,
            stream,
            streaming,
            echo,
            is_variation: false,
            is_task,
            webhook_url: webhook_url.filter(|url| !url.is_empty()),
        })
    }
}

impl From<ImageRequest> for RunRequest {
    fn from(request: ImageRequest) -> Self {
        Self {
            is_followed: request.stream,
            partial_images: if request.stream { request.streaming.partial_images } else { 0 },
            format: request.form(),
            generation: request.generation,
            purpose: request.purpose,
            wanted: request.wanted,
        }
    }
}
