//! A table, as markdown that is readable in a terminal too.

use std::fmt;

/// Rows under headers; the first column is text, all others are figures.
pub(crate) struct Table {
    title: String,
    note: String,
    headers: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. `note` says under the title what was measured.
    pub(crate) fn new<const N: usize>(title: &str, note: &str, headers: [&str; N]) -> Self {
        let headers = headers.map(str::to_owned).to_vec();
        Self { title: title.to_owned(), note: note.to_owned(), headers, rows: Vec::new() }
    }

    /// Adds a row; cells that are missing stay empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().collect();
        row.resize(self.headers.len(), String::new());
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.headers]).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(2)
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let line = |f: &mut fmt::Formatter<'_>, row: &[String]| {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")
        };
        writeln!(f, "### {}\n\n{}\n", self.title, self.note)?;
        line(f, &self.headers)?;
        for (column, width) in widths.iter().enumerate() {
            let dashes = "-".repeat(if column == 0 { width + 2 } else { width + 1 });
            write!(f, "|{dashes}{}", if column == 0 { "" } else { ":" })?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// A whole number with commas between thousands.
pub(crate) fn whole(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Milliseconds, with three significant digits below 100.
pub(crate) fn milliseconds(time: std::time::Duration) -> String {
    let value = time.as_secs_f64() * 1e3;
    match value {
        _ if value < 1.0 => format!("{value:.3}"),
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => whole(value),
    }
}
