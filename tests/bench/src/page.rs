//! What a part adds to docs/performance.md.

/// Markdown, and the plots that it shows by their names.
pub struct Section {
    pub markdown: String,
    pub plots: Vec<Plot>,
}

/// An image in SVG, beside the page as `<name>.svg`.
pub struct Plot {
    pub name: &'static str,
    pub svg: String,
}
