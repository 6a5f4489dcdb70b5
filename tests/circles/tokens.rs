//! Rust source as tokens: without comments, contents of literals, and what is only compiled for tests.

use std::iter::Peekable;
use std::str::Chars;

/// A word, a number, `::`, or one character of punctuation; a literal is `"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphabetic() || first == '_')
    }
}

/// Tokens of a source file, without items behind `#[cfg(test)]`.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    without_tests(&Lexer { chars: source.chars().peekable(), line: 1 }.run())
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    fn run(mut self) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        while let Some(first) = self.next() {
            let line = self.line;
            let text = match first {
                '/' if self.takes('/') => {
                    while self.chars.next_if(|next| *next != '\n').is_some() {}
                    continue;
                }
                '/' if self.takes('*') => {
                    self.skip_block_comment();
                    continue;
                }
                _ if first.is_whitespace() => continue,
                '"' => self.string(),
                '\'' => self.character(),
                ':' if self.takes(':') => "::".to_owned(),
                _ if first.is_alphanumeric() || first == '_' => {
                    let mut word = String::from(first);
                    while let Some(next) = self.chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                        word.push(next);
                    }
                    let is_prefix = ["r", "b", "br"].contains(&word.as_str());
                    match self.chars.peek() {
                        Some('#') if is_prefix && word != "b" => self.raw_string(),
                        Some('"') if is_prefix && word != "b" => self.raw_string(),
                        _ => word,
                    }
                }
                _ => first.to_string(),
            };
            tokens.push(Token { text, line });
        }
        tokens
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next()?;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.chars.next_if_eq(&wanted).is_some()
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some('*') if self.takes('/') => depth -= 1,
                Some('/') if self.takes('*') => depth += 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The rest of a string whose opening quote has been read.
    fn string(&mut self) -> String {
        while let Some(next) = self.next() {
            match next {
                '\\' => drop(self.next()),
                '"' => break,
                _ => {}
            }
        }
        "\"".to_owned()
    }

    /// The rest of a raw string whose prefix has been read; or of a raw identifier.
    fn raw_string(&mut self) -> String {
        let mut hashes = 0;
        while self.takes('#') {
            hashes += 1;
        }
        if !self.takes('"') {
            return "r".to_owned();
        }
        let mut seen = None;
        while let Some(next) = self.next() {
            seen = match (next, seen) {
                ('"', _) => Some(0),
                ('#', Some(count)) => Some(count + 1),
                _ => None,
            };
            if seen == Some(hashes) {
                break;
            }
        }
        "\"".to_owned()
    }

    /// The rest of a character literal, or of a lifetime, whose quote has been read.
    fn character(&mut self) -> String {
        match self.next() {
            Some('\\') => {
                self.next();
                while self.next().is_some_and(|next| next != '\'') {}
            }
            Some(_) if self.chars.peek() == Some(&'\'') => drop(self.next()),
            _ => while self.chars.next_if(|next| next.is_alphanumeric() || *next == '_').is_some() {},
        }
        "\"".to_owned()
    }
}

/// Removes what stands behind `#[cfg(test)]`: an item, a variant, a field, an arm or a statement.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if is_attribute(tokens, at, &["cfg", "(", "test", ")"]) {
            at = end_of_item(tokens, at);
        } else {
            kept.push(token.clone());
            at += 1;
        }
    }
    kept
}

fn is_attribute(tokens: &[Token], at: usize, content: &[&str]) -> bool {
    let expected = ["#", "["].iter().chain(content).chain(&["]"]);
    expected.enumerate().all(|(index, text)| tokens.get(at + index).is_some_and(|token| token.is(text)))
}

/// Index behind what begins at `at` with attributes.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|token| token.is("#")) {
        at = end_of_group(tokens, at + 1);
    }
    let words = ["fn", "mod", "struct", "enum", "union", "impl", "trait", "use", "const", "static", "type", "let"];
    let introduces = |token: &&Token| words.contains(&token.text.as_str());
    let word = tokens.iter().skip(at).take(6).find(introduces).map_or("", |token| token.text.as_str());
    let has_body = ["fn", "mod", "struct", "enum", "union", "impl", "trait"].contains(&word);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if word.is_empty() => return at + 1,
            "}" | ")" | "]" => return at,
            "{" if has_body => return end_of_group(tokens, at),
            "{" | "(" | "[" => at = end_of_group(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Index behind the group whose opening bracket is at `at`.
pub(crate) fn end_of_group(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

#[test]
fn comments_literals_and_tests_are_left_out() {
    let source = r##"
        //! use a::b;
        /* { /* } */ */ use c::{d, e};
        fn f<'a>(x: &'a str) -> char { let _ = (r#"mod "x" {"#, b"y::z", '\'', '{'); 'b' }
        #[cfg(test)]
        #[path = "x"]
        mod tests { use super::*; }
        enum E { #[cfg(test)] A(u8), B }
        #[cfg(test)]
        pub(crate) use x::{y, z};
        const L: u8 = 0;
    "##;
    let text: Vec<String> = tokens(source).into_iter().map(|token| token.text).collect();
    assert_eq!(
        text.join(" "),
        "use c :: { d , e } ; fn f < \" > ( x : & \" str ) - > char \
         { let _ = ( \" , b \" , \" , \" ) ; \" } enum E { B } const L : u8 = 0 ;"
    );
}
