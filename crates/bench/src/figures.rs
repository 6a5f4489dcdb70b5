//! Figures, and the goals that they are held to.

use anyhow::Result;
use serde_json::{Value, json};

/// The better of two values of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
    /// Others' figures say what the machine does, and are compared with no earlier run's.
    Neither,
}

/// A value that was measured.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// Name, unique in its part.
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Unit; empty for a ratio.
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// Value that it should at least have, or at most.
    pub(crate) goal: Option<f64>,
}

impl Figure {
    /// A figure that is the better the higher it is.
    pub(crate) fn higher(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, better: Better::Higher, goal: None }
    }

    /// A figure that is the better the lower it is.
    pub(crate) fn lower(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { better: Better::Lower, ..Self::higher(name, value, unit) }
    }

    /// A figure of somebody else.
    pub(crate) fn others(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { better: Better::Neither, ..Self::higher(name, value, unit) }
    }

    /// The figure, held to a goal.
    pub(crate) fn goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// Row of the table of goals; `None` without a goal.
    pub(crate) fn row(&self) -> Option<String> {
        let goal = self.goal?;
        let (bound, is_met) = match self.better {
            Better::Higher => ("≥", self.value >= goal),
            Better::Lower => ("≤", self.value <= goal),
            Better::Neither => return None,
        };
        let met = if is_met { "yes" } else { "**no**" };
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let (name, value, part) = (&self.name, shown(self.value), self.value / goal);
        Some(format!("| {name} | {bound} {goal}{unit} | {value}{unit} | {part:.2} | {met} |"))
    }

    pub(crate) fn to_json(&self) -> Value {
        let better = match self.better {
            Better::Higher => Some("higher"),
            Better::Lower => Some("lower"),
            Better::Neither => None,
        };
        json!({"name": self.name, "value": self.value, "unit": self.unit, "better": better, "goal": self.goal})
    }
}

/// Three digits that count.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Outcome of a part: Markdown, and its figures.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) text: String,
    pub(crate) figures: Vec<Figure>,
    /// Figures in a form of the part's own.
    pub(crate) details: Value,
}

impl Section {
    /// A section that begins with a table of those columns.
    pub(crate) fn table(columns: &[&str]) -> Self {
        let mut section = Self::default();
        section.begin_table(columns);
        section
    }

    /// Adds the head of a table.
    pub(crate) fn begin_table(&mut self, columns: &[&str]) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.row(columns);
        self.text.push_str(&format!("|{}\n", "---|".repeat(columns.len())));
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[impl AsRef<str>]) {
        let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    /// Adds a paragraph.
    pub(crate) fn say(&mut self, paragraph: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > 118 {
                self.text.push('\n');
                column = 0;
            } else if column > 0 {
                self.text.push(' ');
                column += 1;
            }
            self.text.push_str(word);
            column += length;
        }
        self.text.push('\n');
    }
}

/// Lines about the figures of `now` that are worse than those of `before`, a file of an earlier run, by more than a
/// tenth.
pub(crate) fn slower(before: &Value, now: &Value) -> Result<Vec<String>> {
    let figures = |run: &Value| run.get("figures").and_then(Value::as_array).cloned().unwrap_or_default();
    let earlier = figures(before);
    anyhow::ensure!(!earlier.is_empty(), "the earlier run has no figures");
    let key = |figure: &Value| (figure.get("part").cloned(), figure.get("name").cloned());
    let value = |figure: &Value| figure.get("value").and_then(Value::as_f64);
    let mut lines = Vec::new();
    for figure in figures(now) {
        let same = earlier.iter().find(|earlier| key(earlier) == key(&figure));
        let (Some(now), Some(before)) = (value(&figure), same.and_then(value)) else { continue };
        let worse = match figure.get("better").and_then(Value::as_str) {
            Some("higher") => before / now,
            Some("lower") => now / before,
            _ => continue,
        };
        if worse > 1.1 {
            let text = |name: &str| figure.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (part, name, unit) = (text("part"), text("name"), text("unit"));
            let now = format!("{} {unit}", shown(now));
            let percent = (worse - 1.0) * 100.0;
            lines.push(format!("{part}: {name}: {} → {}, {percent:.0} % worse", shown(before), now.trim_end()));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(figures: &[Figure]) -> Value {
        let figures: Vec<Value> = figures.iter().map(Figure::to_json).collect();
        json!({"figures": figures})
    }

    #[test]
    fn what_got_worse_by_more_than_a_tenth_is_named() {
        let before = run(&[Figure::higher("rate", 100.0, "/s"), Figure::lower("p50", 2.0, "ms")]);
        let same = run(&[Figure::higher("rate", 92.0, "/s"), Figure::lower("p50", 2.1, "ms")]);
        assert_eq!(slower(&before, &same).unwrap(), [""; 0]);
        let worse = run(&[Figure::higher("rate", 80.0, "/s"), Figure::lower("p50", 3.0, "ms")]);
        let expected = [": rate: 100 → 80.0 /s, 25 % worse", ": p50: 2.00 → 3.00 ms, 50 % worse"];
        assert_eq!(slower(&before, &worse).unwrap(), expected);
        let better = run(&[Figure::higher("rate", 200.0, "/s"), Figure::lower("new", 3.0, "ms")]);
        let others = |value| run(&[Figure::others("rate", value, "/s")]);
        assert_eq!(slower(&others(2.0), &others(1.0)).unwrap(), [""; 0]);
        assert_eq!(slower(&before, &better).unwrap(), [""; 0]);
        assert!(slower(&json!({}), &better).is_err());
    }

    #[test]
    fn goals_are_bounds() {
        let row = |figure: Figure| figure.row().unwrap();
        assert_eq!(row(Figure::higher("rate", 2.5, "").goal(3.0)), "| rate | ≥ 3 | 2.50 | 0.83 | **no** |");
        assert_eq!(row(Figure::lower("p50", 0.25, "ms").goal(0.5)), "| p50 | ≤ 0.5 ms | 0.25 ms | 0.50 | yes |");
        assert!(Figure::lower("p50", 0.25, "ms").row().is_none());
    }

    #[test]
    fn paragraphs_are_broken_into_lines() {
        let mut section = Section::table(&["a", "b"]);
        section.row(&["1", "2"]);
        section.say(&"word ".repeat(60));
        assert!(section.text.starts_with("| a | b |\n|---|---|\n| 1 | 2 |\n\nword word"));
        assert!(section.text.lines().all(|line| line.len() <= 118) && section.text.ends_with("word\n"));
    }
}
