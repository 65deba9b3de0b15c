//! docs/performance.md, from what the parts found.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use crate::{deploys, functions, load};

/// What a part adds: Markdown, and the plots that it shows by their names.
pub struct Section {
    pub markdown: String,
    pub plots: Vec<Plot>,
}

/// An image in SVG, `performance/<name>.svg` beside the page.
pub struct Plot {
    pub name: &'static str,
    pub svg: String,
}

const HEAD: &str = "\
# Performance

Measured by `cargo xtask bench`, which writes this page; nothing here is edited by hand. What it rests on, the goals and how
each figure is counted are said with the figures. Real AWS has not been measured.

";

/// A table in Markdown.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let ruler = vec!["---".to_owned(); head.len()];
    let mut text = line(&head) + &line(&ruler);
    for row in rows {
        text += &line(&row);
    }
    text
}

/// A goal, what was measured, and whether that is good enough.
pub(crate) fn goal(what: &str, wanted: &str, measured: String, met: bool) -> Vec<String> {
    let met = if met { "yes" } else { "**no**" };
    vec![what.to_owned(), wanted.to_owned(), measured, met.to_owned()]
}

/// The head of a table of these.
pub(crate) const GOALS: [&str; 4] = ["", "goal", "measured", "met?"];

/// Writes the page and its plots. What was not measured yet is left out.
pub fn write(found: &Path, output: &Path) -> Result<()> {
    let mut sections = Vec::new();
    if let Some(found) = read(&found.join("deploys.json"))? {
        sections.push(deploys::page::section(&found)?);
    }
    if let Some(found) = read(&found.join("functions.json"))? {
        sections.push(functions::page::section(&found)?);
    }
    if let Some(found) = read(&found.join("load.json"))? {
        sections.push(load::page::section(&found));
    }
    let plots = output.join("performance");
    fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    let mut page = HEAD.to_owned();
    for section in sections {
        page.push_str(section.markdown.trim_end());
        page.push_str("\n\n");
        for plot in section.plots {
            put(&plots.join(format!("{}.svg", plot.name)), &plot.svg)?;
        }
    }
    put(
        &output.join("performance.md"),
        &(page.trim_end().to_owned() + "\n"),
    )
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = serde_json::from_slice(&text);
    found.map(Some).with_context(|| {
        format!(
            "{} is not what this version measures: measure again",
            path.display()
        )
    })
}
