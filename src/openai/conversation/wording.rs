//! Texts of a chat, in the user's language.

use crate::generation::Size;
use crate::pipeline::ImageProgress;

/// Languages that there are texts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Chinese, in simplified characters.
    Chinese,
}

impl Language {
    /// Language of a text.
    pub fn of(text: &str) -> Self {
        let is_han = |char: char| matches!(char, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}');
        // Japanese has such characters too, and others beside them.
        let is_kana = |char: char| matches!(char, '\u{3040}'..='\u{30ff}');
        if text.chars().any(is_han) && !text.chars().any(is_kana) { Self::Chinese } else { Self::English }
    }

    /// Line of an image that waits for a Space with room, `which` of `count`, with `before` others before it.
    pub fn waiting(self, which: u32, count: u32, before: usize) -> String {
        let what = match (self, before) {
            (Self::English, 0) => "Waiting for a free Space".to_owned(),
            (Self::English, _) => format!("Waiting for a free Space: {before} ahead"),
            (Self::Chinese, 0) => "等待空闲的 Space".to_owned(),
            (Self::Chinese, _) => format!("等待空闲的 Space：前面还有 {before} 个"),
        };
        self.of_several(which, count, what)
    }

    /// Line of the progress of an image; `which` of `count`, counted from 0. `None` where there is nothing to say.
    pub fn progress(self, which: u32, count: u32, progress: &ImageProgress) -> Option<String> {
        let what = match (self, progress) {
            (Self::English, ImageProgress::Queued(position)) => {
                let eta = position.eta.filter(is_noticed).map(|eta| format!(", about {eta:.0} s")).unwrap_or_default();
                match position.rank {
                    0 => format!("Queued: next in line{eta}"),
                    rank => format!("Queued: {rank} ahead{eta}"),
                }
            }
            (Self::Chinese, ImageProgress::Queued(position)) => {
                let eta = position.eta.filter(is_noticed).map(|eta| format!("，约 {eta:.0} 秒")).unwrap_or_default();
                match position.rank {
                    0 => format!("排队中：下一个就是{eta}"),
                    rank => format!("排队中：前面还有 {rank} 个{eta}"),
                }
            }
            (Self::English, ImageProgress::Started(_)) => "Drawing".to_owned(),
            (Self::Chinese, ImageProgress::Started(_)) => "开始绘制".to_owned(),
            (_, ImageProgress::Step(step)) => match (step.index, step.length, step.done()) {
                (Some(index), Some(length), _) if self == Self::English => format!("Step {index} of {length}"),
                (Some(index), Some(length), _) => format!("第 {index}/{length} 步"),
                (_, _, Some(done)) => format!("{:.0}%", done * 100.0),
                _ => return None,
            },
            (_, ImageProgress::Joined(_)) => return None,
        };
        Some(self.of_several(which, count, what))
    }

    /// Adds the number of an image where there are several.
    fn of_several(self, which: u32, count: u32, what: String) -> String {
        match (self, count) {
            (_, 1) => what,
            (Self::English, _) => format!("Image {} of {count}: {what}", which + 1),
            (Self::Chinese, _) => format!("第 {}/{count} 张：{what}", which + 1),
        }
    }

    /// Caption of an image.
    pub fn caption(self, seed: u32, size: Option<Size>, seconds: f64) -> String {
        let size = size.map(|size| format!(" · {size}")).unwrap_or_default();
        match self {
            Self::English => format!("Seed {seed}{size} · {seconds:.1} s"),
            Self::Chinese => format!("种子 {seed}{size} · {seconds:.1} 秒"),
        }
    }

    /// Text of an image, `which` of `count`, that could not be made. `why` comes from elsewhere and is escaped.
    pub fn failure(self, which: u32, count: u32, why: &str) -> String {
        let why = escaped(why);
        match (self, count) {
            (Self::English, 1) => format!("**The image could not be made.** {why}"),
            (Self::Chinese, 1) => format!("**图片生成失败。** {why}"),
            (Self::English, _) => format!("**Image {} of {count} could not be made.** {why}", which + 1),
            (Self::Chinese, _) => format!("**第 {}/{count} 张图片生成失败。** {why}", which + 1),
        }
    }
}

/// True for a wait that people notice.
fn is_noticed(seconds: &f64) -> bool {
    *seconds >= 1.0
}

/// An image in Markdown. Its alternative text is the beginning of its prompt.
pub fn image(prompt: &str, url: &str) -> String {
    let (before, behind) = around_image(prompt);
    format!("{before}{url}{behind}")
}

/// Markdown before and behind the URL of an image.
pub fn around_image(prompt: &str) -> (String, &'static str) {
    (format!("![{}](", alternative(prompt)), ")")
}

/// The beginning of a prompt, without anything that Markdown would take for its own.
pub fn alternative(prompt: &str) -> String {
    let plain = |char: char| match char {
        '[' | ']' | '(' | ')' | '!' | '<' | '>' | '`' | '\\' | '*' | '_' | '#' | '|' => ' ',
        char if char.is_control() => ' ',
        char => char,
    };
    let text: String = prompt.chars().take(80).map(plain).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` escaped for Markdown, so that no link or image of a third party gets into a chat.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        if matches!(char, '[' | ']' | '(' | ')' | '!' | '<' | '>' | '`' | '\\' | '*' | '_' | '#' | '|' | '~' | '&') {
            escaped.push('\\');
        }
        escaped.push(if char.is_control() { ' ' } else { char });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::{QueuePosition, StepProgress};

    #[test]
    fn the_language_is_the_users() {
        assert_eq!(Language::of("a red fox"), Language::English);
        assert_eq!(Language::of("一只红色的狐狸, cinematic"), Language::Chinese);
        assert_eq!(Language::of("赤いキツネ"), Language::English);
    }

    #[test]
    fn progress_is_a_line() {
        let queued = ImageProgress::Queued(QueuePosition { rank: 3, size: 4, eta: Some(20.4) });
        assert_eq!(Language::English.progress(0, 1, &queued).unwrap(), "Queued: 3 ahead, about 20 s");
        assert_eq!(Language::Chinese.progress(1, 4, &queued).unwrap(), "第 2/4 张：排队中：前面还有 3 个，约 20 秒");
        let step = StepProgress { index: Some(4), length: Some(9), fraction: None };
        assert_eq!(Language::English.progress(1, 2, &ImageProgress::Step(step)).unwrap(), "Image 2 of 2: Step 4 of 9");
        let part = StepProgress { index: None, length: None, fraction: Some(0.5) };
        assert_eq!(Language::Chinese.progress(0, 1, &ImageProgress::Step(part)).unwrap(), "50%");
        assert_eq!(Language::English.progress(0, 1, &ImageProgress::Step(StepProgress::default())), None);
    }

    #[test]
    fn nothing_of_a_text_is_taken_for_markdown() {
        assert_eq!(image("a [red](x) fox\n![y", "https://z"), "![a red x fox y](https://z)");
        let text = Language::English.failure(0, 1, "![x](http://evil.example/) <b>\n");
        assert_eq!(text, r"**The image could not be made.** \!\[x\]\(http://evil.example/\) \<b\> ");
    }
}
