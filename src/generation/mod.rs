//! Domain values: what is to be made, in terms that name no wire.

pub mod aspect;
pub mod format;
#[allow(clippy::module_inception, reason = "the value that the room is named after")]
pub mod generation;
pub mod kind;
pub mod priority;
pub mod progress;
pub mod purpose;
pub mod quality;
pub mod response_format;
pub mod seed;
pub mod size;
pub mod source;

pub use self::aspect::Aspect;
pub use self::format::{Format, TargetFormat};
pub use self::generation::Generation;
pub use self::kind::RequestKind;
pub use self::priority::Priority;
pub use self::progress::{QueuePosition, StepProgress};
pub use self::purpose::Purpose;
pub use self::quality::Quality;
pub use self::response_format::ResponseFormat;
pub use self::seed::Seed;
pub use self::size::Size;
pub use self::source::SourceImage;
