//! Tables as Markdown, on standard output and in `docs/benchmarks.md`.

use std::fs;

use anyhow::{Context as _, Result};

use crate::engines::Engine;
use crate::setting::{Dirs, Setting};
use crate::stats::Ratio;
use crate::{plot, versions};

const PAGE: &str = "docs/benchmarks.md";
const PLOT: &str = "docs/benchmarks.svg";
/// What `--write` replaces lies between these lines of the page.
const BEGIN: &str = "<!-- written by `cargo xtask bench --write`: -->";
const END: &str = "<!-- end of what is written -->";

/// Rows under a head; the first columns are text, numbers are aligned to the right.
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// The answer of one suite.
pub struct Section {
    pub title: String,
    pub text: String,
    pub tables: Vec<Table>,
    /// Names and ratios for the plot.
    pub bars: Vec<(String, f64)>,
}

pub struct Report {
    head: String,
    sections: Vec<Section>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Table {
        Table { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    fn markdown(&self) -> String {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let is_number = |column: usize| {
            let mut cells =
                self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty());
            cells.all(|cell| cell.starts_with(|c: char| c.is_ascii_digit() || c == '*'))
        };
        let rule: Vec<String> = (0..self.columns.len())
            .map(|column| if is_number(column) { "--:" } else { "---" }.to_owned())
            .collect();
        let rows: String = self.rows.iter().map(|cells| row(cells)).collect();
        format!("{}|{}|\n{rows}", row(&self.columns), rule.join("|"))
    }
}

impl Section {
    pub fn new(title: impl Into<String>) -> Section {
        Section { title: title.into(), text: String::new(), tables: Vec::new(), bars: Vec::new() }
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n{}", self.title, self.text);
        for table in &self.tables {
            text += &format!("\n{}", table.markdown());
        }
        text
    }
}

/// A ratio and how far it went, for a cell.
pub fn cell(ratio: Ratio) -> String {
    let digits = if ratio.median < 10.0 { 2 } else { 1 };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", ratio.median, ratio.low, ratio.high)
}

impl Report {
    pub fn new(setting: &Setting, engines: &[Box<dyn Engine>]) -> Report {
        let engines = engines.iter().map(|engine| format!("{}: {}", engine.name(), engine.about()));
        let lines = versions::describe(setting).into_iter().chain(engines);
        Report { head: lines.map(|line| format!("- {line}\n")).collect(), sections: Vec::new() }
    }

    pub fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    pub fn markdown(&self) -> String {
        let mut text = self.head.clone();
        for section in &self.sections {
            text += &section.markdown();
        }
        text
    }

    /// Puts the tables into the page, and writes the plot beside it. Tables of suites that did not run stay.
    ///
    /// # Errors
    /// The page isn't there or has no place for the tables, or a file can't be written.
    pub fn write(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.root.join(PAGE);
        let page = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
        let titles: Vec<&str> = self.sections.iter().map(|section| section.title.as_str()).collect();
        let text = self.markdown() + &other_sections(&page, &titles);
        let page = replace(&page, &text).with_context(|| format!("{PAGE} lacks `{BEGIN}` or `{END}`"))?;
        fs::write(&path, page).with_context(|| format!("can't write {PAGE}"))?;
        eprintln!("wrote {PAGE}");
        self.write_plot(dirs)
    }

    /// Draws what the sections have bars of; nothing if they have none.
    fn write_plot(&self, dirs: &Dirs) -> Result<()> {
        let bars: Vec<_> = self.sections.iter().flat_map(|section| section.bars.iter().cloned()).collect();
        if !bars.is_empty() {
            fs::write(dirs.root.join(PLOT), plot::bars(&bars))
                .with_context(|| format!("can't write {PLOT}"))?;
            eprintln!("wrote {PLOT}");
        }
        Ok(())
    }

    /// Puts the tables of these sections in place of those that the page has of them, and leaves the others alone. The
    /// machine that the page names has to be this one.
    ///
    /// # Errors
    /// As [`Report::write`].
    pub fn write_sections(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.root.join(PAGE);
        let mut page = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
        for section in &self.sections {
            page = replace_section(&page, section)
                .with_context(|| format!("{PAGE} lacks `{BEGIN}` or `{END}`"))?;
        }
        fs::write(&path, page).with_context(|| format!("can't write {PAGE}"))?;
        eprintln!("wrote {PAGE}");
        self.write_plot(dirs)
    }
}

/// The page with a section in place of the one with its title, or after the others.
fn replace_section(page: &str, section: &Section) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (written, after) = rest.split_once(END)?;
    let head = format!("\n## {}\n", section.title);
    let (kept, following) = match written.split_once(&head) {
        Some((kept, old)) => (kept, old.find("\n## ").map_or("", |end| &old[end..])),
        None => (written.trim_end_matches('\n'), ""),
    };
    let kept = kept.trim_end_matches('\n');
    let text = section.markdown();
    let separator = if following.is_empty() { "\n" } else { "" };
    Some(format!("{before}{BEGIN}{kept}\n{text}{separator}{following}{END}{after}"))
}

/// What is written on the page under other titles than these.
fn other_sections(page: &str, titles: &[&str]) -> String {
    let written =
        page.split_once(BEGIN).and_then(|(_, rest)| Some(rest.split_once(END)?.0)).unwrap_or_default();
    let sections = written.split("\n## ").skip(1);
    let others = sections.filter(|section| !titles.contains(&section.lines().next().unwrap_or_default()));
    others.map(|section| format!("\n## {}\n", section.trim_end())).collect()
}

fn replace(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut table = Table::new(&["name", "ratio"]);
        table.rows.push(vec!["fib".to_owned(), "0.87 (0.85–0.90)".to_owned()]);
        assert_eq!(table.markdown(), "| name | ratio |\n|---|--:|\n| fib | 0.87 (0.85–0.90) |\n");
    }

    #[test]
    fn only_the_written_part_of_the_page_changes() {
        let page = format!("head\n{BEGIN}\nold\n{END}\ntail\n");
        let expected = format!("head\n{BEGIN}\n\nnew\n{END}\ntail\n");
        assert_eq!(replace(&page, "new").unwrap(), expected);
        assert!(replace("head", "new").is_none());
    }

    #[test]
    fn sections_of_other_titles_are_found() {
        let page = format!("## head\n{BEGIN}\n\nmachine\n\n## A\n\na\n\n## B\n\nb\n\n{END}\n\n## tail\n");
        assert_eq!(other_sections(&page, &["A"]), "\n## B\n\nb\n");
        assert_eq!(other_sections(&page, &["B"]), "\n## A\n\na\n");
        assert_eq!(other_sections(&page, &["A", "B"]), "");
    }

    #[test]
    fn sections_are_replaced_one_by_one() {
        let page = |middle: &str| format!("head\n{BEGIN}\n\nmachine\n{middle}\n{END}\ntail\n");
        let mut section = Section::new("B");
        section.text = "new\n".to_owned();
        let check = |old: &str, new: &str| {
            assert_eq!(replace_section(&page(old), &section).unwrap(), page(new));
        };
        check("\n## A\n\na\n\n## B\n\nold\n", "\n## A\n\na\n\n## B\n\nnew\n");
        check("\n## B\n\nold\n\n## C\n\nc\n", "\n## B\n\nnew\n\n## C\n\nc\n");
        check("\n## A\n\na\n", "\n## A\n\na\n\n## B\n\nnew\n");
    }
}
