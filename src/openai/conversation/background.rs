//! Requests that chat clients make for themselves: the title of a chat, tags, questions that could follow, a summary of
//! what was said.
//!
//! They go to the model that the user chats with, which here would draw a picture. Their prompts are recognised by
//! phrases of the clients' own templates, long enough that no picture is described so, and are answered with a text
//! that is made of the user's first message.
//!
//! Sources: Open WebUI `config.py` (`DEFAULT_…_PROMPT_TEMPLATE`), LibreChat `agents/src/utils/title.ts`, NextChat
//! `app/locales` (`Store.Prompt`), LobeHub `chains/summaryTitle`, Cherry Studio `config/prompts.ts`.

use serde_json::{Value, json};

use super::flags;
use super::wording::{Language, alternative};

use crate::bounded_json::JsonBounds;

/// Kind of a text that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Title,
    Tags,
    FollowUps,
    Queries,
    Completion,
    ImagePrompt,
    Emoji,
    Summary,
    ToolChoice,
    SearchRewrite,
}

/// Phrases of a task: all must be there, in any case.
const TEMPLATES: [(Task, &[&str]); 18] = [
    (Task::Title, &["5-word-or-less title for the conversation"]),
    (Task::Title, &["analyze this conversation and provide", "detected language"]),
    (Task::Title, &["concise title (max 40 characters) for a conversation"]),
    (Task::Title, &["concise, 3-5 word title"]),
    (Task::Title, &["four to five word title summarizing our conversation"]),
    (Task::Title, &["四到五个字直接返回这句话的简要主题"]),
    (Task::Title, &["总结为", "字以内的标题"]),
    (Task::Title, &["总结给出的会话", "标题"]),
    (Task::Title, &["summarize the user's conversation into a title"]),
    (Task::Title, &["summarize the given session", "title"]),
    (Task::Title, &["professional conversation summarizer", "title"]),
    (Task::Tags, &["broad tags categorizing"]),
    (Task::FollowUps, &["relevant follow-up questions"]),
    (Task::Summary, &["in 200 words or less to use as a prompt for future context"]),
    (Task::Summary, &["简要总结一下对话内容，用作后续的上下文提示"]),
    (Task::ToolChoice, &["your task is to choose and return the correct tool(s)"]),
    (Task::SearchRewrite, &["ai question rephraser"]),
    (Task::SearchRewrite, &["<websearch>", "not_needed"]),
];

/// Keys of the answer that Open WebUI's templates, which begin alike, ask for.
const KEYS: [(Task, &str); 6] = [
    (Task::FollowUps, "\"follow_ups\""),
    (Task::Queries, "\"queries\""),
    (Task::Tags, "\"tags\""),
    (Task::Title, "\"title\""),
    (Task::ImagePrompt, "\"prompt\""),
    (Task::Completion, "\"text\""),
];

/// Answer to a chat of those roles and texts, where a client makes it for itself.
pub(super) fn answer(messages: &[(&str, &str)]) -> Option<String> {
    let last = messages.iter().rposition(|(role, _)| *role == "user")?;
    let (_, asked) = messages.get(last)?;
    let system = messages.iter().filter(|(role, _)| matches!(*role, "system" | "developer"));
    let scaffold: Vec<&str> = system.map(|(_, text)| *text).chain([*asked]).collect();
    let scaffold = scaffold.join("\n").to_lowercase();
    let task = task(&scaffold)?;
    let others = messages.iter().take(last).filter(|(role, _)| *role == "user").map(|(_, text)| *text);
    let first = others.filter(|text| self::task(&text.to_lowercase()).is_none()).map(str::to_owned).next();
    let subject = first.or_else(|| embedded(asked)).or_else(|| {
        // Where the template is the system's message, the user's is what it is about.
        self::task(&asked.to_lowercase()).is_none().then(|| (*asked).to_owned())
    });
    Some(text(task, subject.as_deref().unwrap_or_default(), scaffold.contains("json")))
}

fn task(scaffold: &str) -> Option<Task> {
    let is_there = |phrases: &&[&str]| phrases.iter().all(|phrase| scaffold.contains(phrase));
    let templated = || TEMPLATES.iter().find(|(_, phrases)| is_there(phrases)).map(|(task, _)| *task);
    if scaffold.trim_start().starts_with("### task:") {
        let keyed = || KEYS.iter().find(|(_, key)| scaffold.contains(key)).map(|(task, _)| *task);
        let emoji = || scaffold.contains("emoji").then_some(Task::Emoji);
        return keyed().or_else(templated).or_else(emoji);
    }
    templated()
}

/// The user's first message in a chat that is written out inside a prompt: behind `USER:` on a line, in a tag, or in
/// JSON.
fn embedded(text: &str) -> Option<String> {
    let listed = text.find('[').and_then(|start| text.get(start..)).and_then(|json| {
        JsonBounds::REQUEST.hold(json.as_bytes()).then_some(())?;
        let messages = serde_json::Deserializer::from_str(json).into_iter::<Vec<Value>>().next()?.ok()?;
        let first = messages.iter().find(|message| message.get("role").is_some_and(|role| role == "user"))?;
        let said = first.get("mainText").or_else(|| first.get("content"))?;
        said.as_str().map(str::to_owned)
    });
    listed.or_else(|| {
        let said = |line: &str| {
            let (name, said) = line.trim().split_once([':', '：'])?;
            let is_user = matches!(name.trim().to_lowercase().as_str(), "user" | "human" | "用户");
            (is_user && !said.trim().is_empty()).then(|| said.trim().to_owned())
        };
        let tagged = || text.split_once("<user>")?.1.split_once("</user>").map(|(said, _)| said.trim().to_owned());
        tagged().or_else(|| text.lines().find_map(said))
    })
}

fn text(task: Task, subject: &str, as_json: bool) -> String {
    let language = Language::of(subject);
    let subject = alternative(&flags::read(subject).prompt);
    let title = || match (short(&subject), language) {
        (title, _) if !title.is_empty() => title,
        (_, Language::English) => "Image".to_owned(),
        (_, Language::Chinese) => "图片".to_owned(),
    };
    match task {
        Task::Title if as_json => json!({"title": title()}).to_string(),
        Task::Title => title(),
        Task::Tags => json!({"tags": ["Art", "Image Generation"]}).to_string(),
        Task::FollowUps => json!({"follow_ups": []}).to_string(),
        Task::Queries => json!({"queries": []}).to_string(),
        Task::Completion => json!({"text": ""}).to_string(),
        Task::ImagePrompt => json!({"prompt": subject}).to_string(),
        Task::Emoji => "🎨".to_owned(),
        Task::Summary if language == Language::Chinese => format!("用户请求生成图片：{subject}"),
        Task::Summary => format!("The user asked for images: {subject}"),
        Task::ToolChoice => json!({"tool_calls": []}).to_string(),
        Task::SearchRewrite => "<websearch><question>not_needed</question></websearch>".to_owned(),
    }
}

/// Five words, or ten characters of a language that puts no spaces between them.
fn short(subject: &str) -> String {
    if Language::of(subject) == Language::Chinese || !subject.contains(' ') {
        return subject.chars().take_while(|char| !matches!(char, '，' | '。' | ',' | '.')).take(10).collect();
    }
    let words: Vec<&str> = subject.split(' ').take(5).collect();
    words.join(" ").trim_end_matches([',', '.', ';', ':']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEBUI: &str = "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat \
        history.\n### Output:\nJSON format: { \"title\": \"your concise title here\" }\n### Chat History:\n\
        <chat_history>\nUSER: a red fox in the snow, oil painting\nASSISTANT: ![x](y)\n</chat_history>";

    #[test]
    fn what_clients_ask_for_themselves_is_answered_with_text() {
        assert_eq!(answer(&[("user", WEBUI)]).unwrap(), r#"{"title":"a red fox in the"}"#);
        let tags = WEBUI.replace("\"title\"", "\"tags\"");
        assert_eq!(answer(&[("user", &tags)]).unwrap(), r#"{"tags":["Art","Image Generation"]}"#);
        let next =
            "Please generate a four to five word title summarizing our conversation without any lead-in, punctuation";
        assert_eq!(
            answer(&[("user", "a red fox --seed 7"), ("assistant", "![x](y)"), ("user", next)]).unwrap(),
            "a red fox"
        );
        let topic = "使用四到五个字直接返回这句话的简要主题，不要解释、不要标点";
        assert_eq!(answer(&[("user", "一只红色的狐狸，雪地"), ("user", topic)]).unwrap(), "一只红色的狐狸");
        let lobe = "你是一名擅长会话的助理，你需要将用户的会话总结为 10 个字以内的标题";
        let asked = "user: 一只狐狸\nassistant: 好\n\n请总结上述对话为10个字以内的标题，不需要包含标点符号";
        assert_eq!(answer(&[("system", lobe), ("user", asked)]).unwrap(), "一只狐狸");
        let cherry = "You are an assistant skilled in conversation. You need to summarize the user's \
                      conversation into a title within 10 words.";
        let listed = r#"[{"role":"user","mainText":"a blue whale"},{"role":"assistant","mainText":"x"}]"#;
        assert_eq!(answer(&[("system", cherry), ("user", listed)]).unwrap(), "a blue whale");
        let libre = "Provide a concise, 5-word-or-less title for the conversation, using title case \
                     conventions. Only return the title itself.\n\nConversation:\nUser: a fox\nAI: x";
        assert_eq!(answer(&[("user", libre)]).unwrap(), "a fox");
        let summary = "Summarize the discussion briefly in 200 words or less to use as a prompt for future context.";
        assert!(answer(&[("user", "a fox"), ("system", summary), ("user", "x")]).unwrap().contains("a fox"));
    }

    #[test]
    fn pictures_are_no_background_tasks() {
        for prompt in [
            "a movie poster with the title 'Fox'",
            "生成一张图片，标题为“狐狸”",
            "### Task: draw a fox",
            "a cover for a summary of our conversation",
            "generate a concise logo",
            "{\"prompt\": \"a fox\", \"title\": \"x\"}",
        ] {
            assert_eq!(answer(&[("system", "You are an artist."), ("user", prompt)]), None, "{prompt}");
        }
        assert_eq!(answer(&[("assistant", WEBUI)]), None, "nobody asks");
    }
}
