//! Changes of an input that keep most of its form.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// Pieces of text that something outside has a meaning for.
const WORDS: [&[u8]; 30] = [
    b"\r\n",
    b"\n\n",
    b"\r",
    b"data: ",
    b"data:",
    b"\xef\xbb\xbf",
    b"--x",
    b"--x--",
    b"\r\n--x\r\n",
    b"\0",
    b"\xff",
    b"\"",
    b"\\",
    b"{}",
    b"[]",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e308",
    b"0.1",
    b"data:image/png;base64,",
    b"..",
    b"/../",
    b"%2e",
    b"\xe2\x80\xa8",
    b"\x1b[31m",
    b"<script>",
    b"'; DROP TABLE tasks; --",
    b"18446744073709551616",
];

/// Texts that some reader has a meaning for.
const TEXTS: [&str; 24] = [
    "",
    "x",
    "replace",
    "append",
    "add",
    "delete",
    "16:9",
    "1024x1024",
    "data:image/png;base64,AAAA",
    "true",
    "-1",
    "/tmp/a.png",
    "..",
    "a\r\nb",
    "\u{2028}",
    "\u{202e}",
    "<b>",
    "红色",
    "image",
    "slider",
    "textbox",
    "dropdown",
    "Seed",
    "4-Step",
];

/// One change, or some, of an input: of a value where it is JSON, of bytes where it isn't. The first byte may be no
/// part of the JSON.
pub fn mutate(data: &[u8], chance: &mut Chance) -> Vec<u8> {
    for skipped in [0, 1] {
        let (head, text) = data.split_at(skipped.min(data.len()));
        if chance.below(8) != 0
            && let Ok(mut value) = serde_json::from_slice::<Value>(text)
        {
            for _ in 0..=chance.below(4) {
                change_value(&mut value, chance, 0);
            }
            return [head, value.to_string().as_bytes()].concat();
        }
    }
    let mut bytes = data.to_vec();
    for _ in 0..=chance.below(6) {
        change_bytes(&mut bytes, chance);
    }
    bytes
}

fn change_bytes(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(bytes.len() + 1);
    let end = (at + chance.below(16)).min(bytes.len());
    match chance.below(7) {
        0 => drop(bytes.drain(at..end)),
        1 => drop(bytes.splice(at..at, chance.one_of(&WORDS).iter().copied())),
        2 => drop(bytes.splice(at..end, chance.one_of(&WORDS).iter().copied())),
        3 => {
            let part = bytes[at..end].to_vec();
            let times = 1 + chance.below(40);
            drop(bytes.splice(at..at, part.repeat(times)));
        }
        4 => bytes.truncate(at),
        5 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        _ => bytes.insert(at, chance.draw().to_le_bytes()[0]),
    }
}

fn change_value(value: &mut Value, chance: &mut Chance, depth: usize) {
    let goes_in = depth < 40 && chance.below(6) != 0;
    match value {
        Value::Array(items) if goes_in && !items.is_empty() => {
            let index = chance.below(items.len());
            match chance.below(8) {
                0 => drop(items.remove(index)),
                1 => items.insert(index, items[index].clone()),
                2 => {
                    let other = chance.below(items.len());
                    items.swap(index, other);
                }
                _ => change_value(&mut items[index], chance, depth + 1),
            }
        }
        Value::Object(fields) if goes_in && !fields.is_empty() => {
            let index = chance.below(fields.len());
            let name = fields.keys().nth(index).cloned().unwrap_or_default();
            match chance.below(8) {
                0 => drop(fields.remove(&name)),
                1 => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert((*chance.one_of(&TEXTS)).to_owned(), moved);
                }
                _ => {
                    if let Some(inner) = fields.get_mut(&name) {
                        change_value(inner, chance, depth + 1);
                    }
                }
            }
        }
        other => *other = another(other, chance),
    }
}

fn another(old: &Value, chance: &mut Chance) -> Value {
    let float = f64::from_bits(chance.draw());
    match chance.below(14) {
        0 => Value::Null,
        1 => json!(chance.below(2) == 0),
        2 => json!(chance.below(20)),
        3 => json!(chance.draw()),
        4 => json!(-i64::try_from(chance.below(1000)).unwrap_or_default()),
        5 => json!(float),
        6 => chance.one_of(&[json!(0.1), json!(1e308), json!(-1e308), json!(5e-324), json!(1e-7), json!(0.5)]).clone(),
        7 | 8 => json!(chance.one_of(&TEXTS)),
        9 => json!([old]),
        10 => Value::Object(Map::from_iter([((*chance.one_of(&TEXTS)).to_owned(), old.clone())])),
        11 => json!([]),
        12 => json!({}),
        _ => match old {
            Value::String(text) => {
                let mut bytes = text.clone().into_bytes();
                change_bytes(&mut bytes, chance);
                Value::String(String::from_utf8_lossy(&bytes).into_owned())
            }
            Value::Number(number) => json!(number.as_f64().unwrap_or_default() * float),
            other => json!([other, other]),
        },
    }
}
