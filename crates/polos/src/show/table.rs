//! Tables: columns as wide as their widest cell, the last one cut to what is left of the line.

use crate::show::paint::{Paint, Tone};
use crate::show::text;

/// The space between columns.
const GAP: usize = 2;

/// Rows of cells under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A cell, with the tone in which it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A cell in a tone.
    pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: text::plain(text.as_ref()), tone: Some(tone) }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text::plain(text.as_ref()), tone: None }
    }
}

impl Table {
    /// An empty table.
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The whole table, for a terminal of so many columns; nothing of it is cut if there is no
    /// limit.
    pub(crate) fn render(&self, columns: Option<usize>, paint: Paint) -> String {
        let widths = self.widths();
        let heading: Vec<_> =
            self.heading.iter().map(|name| Cell::toned(name, Tone::Dim)).collect();
        let mut text = String::new();
        for row in std::iter::once(&heading).chain(&self.rows) {
            text.push_str(&line(row, &widths, columns, paint));
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |place: usize| {
            let of_rows = self.rows.iter().filter_map(move |row| row.get(place));
            of_rows.map(|cell| text::width(&cell.text)).max().unwrap_or(0)
        };
        self.heading.iter().enumerate().map(|(place, name)| cells(place).max(name.len())).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], columns: Option<usize>, paint: Paint) -> String {
    let mut line = String::new();
    let mut taken = 0;
    for (place, cell) in row.iter().enumerate() {
        let is_last = place + 1 == row.len();
        let width = widths.get(place).copied().unwrap_or(0);
        let shown = match columns {
            Some(columns) if is_last => text::cut(&cell.text, columns.saturating_sub(taken)),
            _ => cell.text.clone(),
        };
        let filled = if is_last { shown.clone() } else { text::pad(&shown, width + GAP) };
        let painted = cell.tone.map(|tone| paint.tone(tone, &shown));
        line.push_str(&painted.map_or_else(|| filled.clone(), |p| filled.replacen(&shown, &p, 1)));
        taken += width + GAP;
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal_for_the_last_column() {
        let mut table = Table::new(&["ID", "WHY"]);
        table.push(vec!["abcdefgh".into(), "it waits".into()]);
        insta::assert_snapshot!(table.render(Some(13), Paint::OFF), @"
        ID        WHY
        abcdefgh  it…
        ");
        insta::assert_snapshot!(table.render(Some(9), Paint::OFF), @"
        ID
        abcdefgh
        ");
    }

    #[test]
    fn columns_line_up_and_the_last_is_cut() {
        let mut table = Table::new(&["ID", "STATE", "WHY"]);
        table.push(vec!["a".into(), "waiting".into(), "it waits for a person to answer".into()]);
        table.push(vec!["漢字".into(), "ok".into(), "".into()]);
        insta::assert_snapshot!(table.render(Some(36), Paint::OFF), @r#"
        ID    STATE    WHY
        a     waiting  it waits for a perso…
        漢字  ok
        "#);
    }
}
