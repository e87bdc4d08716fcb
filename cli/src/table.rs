//! Tables: aligned columns without borders on a terminal, tab-separated rows without a header when piped.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table as Grid, presets};
use owo_colors::OwoColorize;

use crate::{
    error::CliError,
    output::{Output, harmless},
};

/// Rows under a header.
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    prose: bool,
    signs: bool,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            prose: false,
            signs: false,
        }
    }

    /// The first column says what becomes of things: `+`, `-`, `~` or `!`.
    #[must_use]
    pub fn with_signs(mut self) -> Self {
        self.signs = true;
        self
    }

    /// The last column is prose and may be wrapped. Everything else stays on one line, so that it can be copied.
    #[must_use]
    pub fn with_prose(mut self) -> Self {
        self.prose = true;
        self
    }

    /// Adds a row; its cells are made harmless.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| harmless(cell)).collect());
    }

    /// Writes it to stdout.
    pub fn print(self, out: &Output) -> Result<(), CliError> {
        if out.terminal {
            let text = self.grid().trim_fmt();
            return match text.split_once('\n').filter(|_| !self.header.is_empty()) {
                Some((header, rows)) => out.data(&format!("{}\n{rows}", header.trim_end().bold())),
                None => out.data(&text),
            };
        }
        self.rows.iter().try_for_each(|row| out.data(&row.join("\t")))
    }

    fn grid(&self) -> Grid {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Dynamic);
        if !self.header.is_empty() {
            grid.set_header(self.header.iter().map(Cell::new));
        }
        for row in &self.rows {
            let is_sign = |index| self.signs && index == 0;
            let cells = row.iter().enumerate();
            grid.add_row(cells.map(|(index, text)| if is_sign(index) { sign(text) } else { cell(text) }));
        }
        let last = grid.column_count().saturating_sub(1);
        for (index, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { 2 }));
            if index < last || !self.prose {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        grid
    }
}

/// A cell, coloured if it holds a state.
fn cell(text: &str) -> Cell {
    let cell = Cell::new(text);
    match text {
        "succeeded" | "live" | "healthy" | "passing" | "done" => cell.fg(Color::Green),
        "failed" | "crashed" | "crash-looping" | "unhealthy" | "failing" => cell.fg(Color::Red),
        "pending" | "running" | "deploying" | "starting" | "draining" | "deleting" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

fn sign(text: &str) -> Cell {
    let cell = Cell::new(text);
    match text {
        "+" => cell.fg(Color::Green),
        "-" | "!" => cell.fg(Color::Red),
        "~" | "?" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// Names and values below each other, for one thing.
pub fn facts(out: &Output, facts: &[(&'static str, String)]) -> Result<(), CliError> {
    let mut table = Table::new(&[]);
    for (name, value) in facts {
        table.row([name, value]);
    }
    table.print(out)
}
