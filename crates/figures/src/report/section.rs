//! The parts of a page, and how each is written as HTML.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::equation::{equation_html, escape, text_html};
use crate::figure::{Figure, Table};
use crate::report::push;
use crate::report::slider::Slider;

/// The width in pixels from which a picture is wide: on a phone it scrolls in its box instead of shrinking to the
/// screen.
const WIDE: u32 = 1000;
/// Pixels below which a picture is shown in its own size.
const SMALL: u32 = 700;

/// A part of the page with a heading of its own and a line in the contents.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The target of links: letters, digits and `-`.
    pub name: String,
    /// The heading.
    pub title: String,
    /// Number of a figure; empty for none.
    pub number: String,
    /// What it shows, from top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of a [`Section`]. Every text is plain; it is escaped where HTML needs it. In paragraphs, commands are
/// written between backquotes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A warning.
    Note(String),
    /// Equations, one a line, in the plain notation of [`crate::equation_html`].
    Equation(String),
    /// A PNG with the text below it.
    Picture {
        /// What the picture shows, for readers who cannot see it.
        alt: String,
        /// The text below it; empty for none.
        caption: String,
        /// The file.
        png: Vec<u8>,
        /// The file for dark pages; without one the picture is shown a little darker there.
        dark: Option<Vec<u8>>,
    },
    /// How a figure was made, in a line.
    About(String),
    /// Pictures to be stepped through.
    Slider(Slider),
    /// Names and values side by side.
    Facts(Vec<(String, String)>),
    /// Rows and columns.
    Table(Table),
    /// Blocks that the reader can fold away.
    Folded {
        /// The line that stays visible.
        title: String,
        /// Whether it is open at first.
        open: bool,
        /// What is folded.
        blocks: Vec<Block>,
    },
    /// Text in lines, as in a file.
    Listing(String),
}

impl Section {
    /// A section without a number.
    #[must_use]
    pub fn new(name: &str, title: &str, blocks: Vec<Block>) -> Self {
        Self { name: name.into(), title: title.into(), number: String::new(), blocks }
    }

    pub(super) fn push_html(&self, html: &mut String) {
        let (name, title) = (escape(&self.name), escape(&self.title));
        let number =
            if self.number.is_empty() { String::new() } else { format!("{}. ", escape(&self.number)) };
        push(
            html,
            format_args!(
                "<section id=\"{name}\" aria-labelledby=\"{name}-title\">\n\
                 <h2 id=\"{name}-title\">{number}{title}</h2>\n"
            ),
        );
        self.blocks.iter().for_each(|block| block.push_html(html));
        html.push_str("</section>\n");
    }
}

impl From<Figure> for Section {
    /// Equation, picture, caption, how it was made, and the numbers if there are any.
    fn from(figure: Figure) -> Self {
        let (number, name, title) = (figure.number().to_owned(), figure.name, figure.title);
        let mut blocks = Vec::new();
        if !figure.equation.is_empty() {
            blocks.push(Block::Equation(figure.equation));
        }
        let (alt, caption, png, dark) = (figure.alt, figure.caption, figure.png, Some(figure.dark));
        blocks.push(Block::Picture { alt, caption, png, dark });
        if !figure.about.is_empty() {
            blocks.push(Block::About(figure.about));
        }
        if let Some(table) = figure.table {
            let blocks_inside = vec![Block::Table(table)];
            blocks.push(Block::Folded { title: "Numbers".into(), open: true, blocks: blocks_inside });
        }
        Self { name: name.into(), title: title.into(), number, blocks }
    }
}

impl Block {
    pub(super) fn push_html(&self, html: &mut String) {
        match self {
            Self::Text(text) => push(html, format_args!("<p>{}</p>\n", text_html(text))),
            Self::Note(text) => push(html, format_args!("<p class=\"note\">{}</p>\n", text_html(text))),
            Self::Equation(text) => {
                push(html, format_args!("<p class=\"equation\">{}</p>\n", equation_html(text)));
            }
            Self::Picture { alt, caption, png, dark } => {
                push_picture(html, alt, caption, (png, dark.as_deref()));
            }
            Self::About(text) => {
                push(html, format_args!("<p class=\"about\">About this figure: {}</p>\n", text_html(text)));
            }
            Self::Slider(slider) => slider.push_html(html),
            Self::Facts(facts) => push_facts(html, facts),
            Self::Table(table) => push_table(html, table),
            Self::Folded { title, open, blocks } => {
                let open = if *open { " open" } else { "" };
                push(html, format_args!("<details{open}><summary>{}</summary>\n", escape(title)));
                blocks.iter().for_each(|block| block.push_html(html));
                html.push_str("</details>\n");
            }
            Self::Listing(text) => push(html, format_args!("<pre>{}</pre>\n", escape(text))),
        }
    }
}

/// A picture; one for a light and one for a dark page if there are two, of which the style shows one.
fn push_picture(html: &mut String, alt: &str, caption: &str, (png, dark): (&[u8], Option<&[u8]>)) {
    let alt = escape(alt);
    html.push_str("<figure>\n<div class=\"picture\" role=\"group\" aria-label=\"Picture\" tabindex=\"0\">");
    let theme = if dark.is_some() { "light" } else { "both" };
    for (theme, png) in std::iter::once((theme, png)).chain(dark.map(|dark| ("dark", dark))) {
        let (size, width) = match png_size(png) {
            Some((width, height)) if width < SMALL => {
                (format!(" width=\"{width}\" height=\"{height}\""), " small")
            }
            Some((width, height)) if width < WIDE => (format!(" width=\"{width}\" height=\"{height}\""), ""),
            Some((width, height)) => (format!(" width=\"{width}\" height=\"{height}\""), " large"),
            None => (String::new(), ""),
        };
        let source = data_uri(png);
        push(html, format_args!("<img class=\"{theme}{width}\" alt=\"{alt}\"{size} src=\"{source}\">"));
    }
    html.push_str("</div>\n");
    if !caption.is_empty() {
        push(html, format_args!("<figcaption>{}</figcaption>\n", escape(caption)));
    }
    html.push_str("</figure>\n");
}

fn push_facts(html: &mut String, facts: &[(String, String)]) {
    html.push_str("<dl class=\"facts\">\n");
    for (name, value) in facts {
        push(html, format_args!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value)));
    }
    html.push_str("</dl>\n");
}

fn push_table(html: &mut String, table: &Table) {
    html.push_str("<div class=\"wide\" tabindex=\"0\"><table>\n<tr>");
    for cell in &table.header {
        push(html, format_args!("<th scope=\"col\">{}</th>", escape(cell)));
    }
    html.push_str("</tr>\n");
    for row in &table.rows {
        html.push_str("<tr>");
        for cell in row {
            push(html, format_args!("<td>{}</td>", escape(cell)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table></div>\n");
}

/// A PNG as a data URI.
pub(super) fn data_uri(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// Width and height from the header of a PNG, so that the page does not jump while it loads.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

#[cfg(test)]
mod tests {
    use super::{Block, Section};
    use crate::{Canvas, Table};

    fn html(block: Block) -> String {
        let mut html = String::new();
        block.push_html(&mut html);
        html
    }

    /// Text from a run's files stays text on the page, in every block.
    #[test]
    fn no_block_lets_tags_through() {
        let evil = || "</pre><script>alert('x')</script>".to_owned();
        let png = Canvas::new(5, 4).unwrap().png().unwrap();
        let table = Table { header: vec![evil()], rows: vec![vec![evil()]] };
        let blocks = vec![
            Block::Text(evil()),
            Block::Note(evil()),
            Block::Equation(evil()),
            Block::Picture { alt: evil(), caption: evil(), png: png.clone(), dark: Some(png) },
            Block::About(evil()),
            Block::Facts(vec![(evil(), evil())]),
            Block::Table(table),
            Block::Listing(evil()),
        ];
        let all = Block::Folded { title: evil(), open: false, blocks };
        let section = Section { name: evil(), title: evil(), number: evil(), blocks: vec![all] };
        let mut html = String::new();
        section.push_html(&mut html);
        assert!(!html.contains("<script") && !html.contains("('x')"), "{html}");
        assert_eq!(html.matches("</pre>").count(), 1);
        assert!(html.matches("script").count() >= 28, "{html}");
    }

    #[test]
    fn wide_pictures_may_scroll_and_small_ones_keep_their_size() {
        for (width, class) in [(300, "both small"), (800, "both"), (1900, "both large")] {
            let png = Canvas::new(width, 10).unwrap().png().unwrap();
            let html = html(Block::Picture { alt: "t".into(), caption: String::new(), png, dark: None });
            assert!(
                html.contains(&format!("<img class=\"{class}\" alt=\"t\" width=\"{width}\" height=\"10\"")),
                "{html}"
            );
            assert!(!html.contains("figcaption") && html.matches("<img").count() == 1);
        }
    }

    /// Both are described, since the style hides one of them from every reader.
    #[test]
    fn pictures_are_light_and_dark() {
        let png = |height| Canvas::new(900, height).unwrap().png().unwrap();
        let picture =
            Block::Picture { alt: "a < b".into(), caption: "c".into(), png: png(5), dark: Some(png(6)) };
        let html = html(picture);
        for (theme, height) in [("light", 5), ("dark", 6)] {
            let tag =
                format!("<img class=\"{theme}\" alt=\"a &lt; b\" width=\"900\" height=\"{height}\" src=");
            assert!(html.contains(&tag), "{tag} is not in {html}");
        }
    }

    #[test]
    fn a_figure_says_how_it_was_made() {
        let said = html(Block::About("`ddpm figures --only 1`; seed 0 & more".into()));
        let expected = "About this figure: <code>ddpm figures --only 1</code>; seed 0 &amp; more</p>";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn folded_blocks_are_open_or_not() {
        let folded = |open| {
            let blocks = vec![Block::Listing("a\nb".into())];
            html(Block::Folded { title: "more".into(), open, blocks })
        };
        assert!(folded(true).starts_with("<details open><summary>more</summary>"));
        assert!(folded(false).starts_with("<details><summary>more</summary>"));
        assert!(folded(false).contains("<pre>a\nb</pre>"));
    }
}
