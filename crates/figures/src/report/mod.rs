//! The report: sections under a heading in one self-contained HTML file.

mod room;
mod section;
mod slider;

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::equation::escape;
use crate::error::FiguresError;

pub use room::SliderRoom;
pub use section::{Block, Section};
pub use slider::{Frame, Slider, SliderText};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What goes into the report. Every text is plain; it is escaped where HTML needs it.
///
/// ```
/// let summary = [("dataset".to_owned(), "images <28 x 28>".to_owned())];
/// let report = figures::Report { title: "A run", introduction: "", summary: &summary, sections: &[] };
/// assert!(report.html().contains("images &lt;28 x 28&gt;"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Heading of the page.
    pub title: &'a str,
    /// A paragraph below it; empty for none.
    pub introduction: &'a str,
    /// Names and values that describe the run, in this order.
    pub summary: &'a [(String, String)],
    /// The sections, in this order. Their names must differ.
    pub sections: &'a [Section],
}

impl Report<'_> {
    /// The page, with pictures, style and script inside. Its Content-Security-Policy keeps a browser from loading
    /// anything else and running any other script, whatever the texts are.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escape(self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
             style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<script>{SCRIPT}</script>\n</head>\n<body>\n\
             <a class=\"skip\" href=\"#report\">Skip to the report</a>\n\
             <header class=\"bar\"><button id=\"menu\" type=\"button\" aria-controls=\"contents\" \
             aria-expanded=\"false\">Contents</button><span>{title}</span>\
             <button id=\"theme\" type=\"button\" aria-label=\"Dark page\">◐</button></header>\n\
             <div class=\"columns\">\n",
            source_hash(STYLE),
            source_hash(SCRIPT),
        );
        self.push_contents(&mut html);
        push(&mut html, format_args!("<main id=\"report\" tabindex=\"-1\">\n<h1>{title}</h1>\n"));
        if !self.introduction.is_empty() {
            push(&mut html, format_args!("<p>{}</p>\n", escape(self.introduction)));
        }
        if !self.summary.is_empty() {
            Block::Facts(self.summary.to_vec()).push_html(&mut html);
        }
        self.sections.iter().for_each(|section| section.push_html(&mut html));
        html.push_str("</main>\n</div>\n</body>\n</html>\n");
        html
    }

    fn push_contents(&self, html: &mut String) {
        html.push_str("<nav id=\"contents\" aria-label=\"Contents\"><ul>\n");
        // Number and title are cells of a grid, so that a long title wraps beside its number.
        for Section { name, title, number, .. } in self.sections {
            let number = if number.is_empty() { String::new() } else { format!("{}.", escape(number)) };
            let (name, title) = (escape(name), escape(title));
            push(
                html,
                format_args!("<li><a href=\"#{name}\"><span>{number}</span> <span>{title}</span></a></li>\n"),
            );
        }
        html.push_str("</ul></nav>\n");
    }

    /// Writes the page, through a temporary file.
    ///
    /// # Errors
    /// [`FiguresError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), FiguresError> {
        FiguresError::writing(path, files::write_output(path, self.html().as_bytes()))
    }
}

/// How a policy names the one text that it allows (Content Security Policy Level 3, section 2.3.1): by its hash.
fn source_hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn push(html: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = html.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::{Block, Report, STANDARD, Section};
    use crate::figure::{Figure, Table};
    use crate::{Canvas, FiguresError};
    use base64::Engine;

    fn figure(name: &'static str, side: usize) -> Figure {
        Figure {
            name,
            title: "A & B",
            alt: "A & B. Columns: a < b".into(),
            caption: "if a < b & \"c\"".into(),
            equation: "x_0 < 1".into(),
            png: Canvas::new(side, 7).unwrap().png().unwrap(),
            dark: Canvas::new(side, 8).unwrap().png().unwrap(),
            about: "`ddpm figures`".into(),
            smallest_text: None,
            table: Some(Table { header: vec!["<t>".into()], rows: vec![vec!["1 & 2".into()]] }),
        }
    }

    #[test]
    fn holds_every_figure_in_order_and_escapes_text() {
        let figures = [figure("01-first", 11), figure("02-second", 12)];
        let mut sections: Vec<Section> = figures.iter().cloned().map(Section::from).collect();
        sections.push(Section::new("end", "The <end>", vec![Block::Text("a > b".into())]));
        let summary = [("data".to_owned(), "<script>alert('x')</script>".to_owned())];
        let report =
            Report { title: "Run <7>", introduction: "a > b", summary: &summary, sections: &sections };
        let html = report.html();
        assert_eq!(html, report.html());

        let mut from = 0;
        for figure in &figures {
            for part in [
                format!("<section id=\"{}\"", figure.name),
                STANDARD.encode(&figure.png),
                STANDARD.encode(&figure.dark),
            ] {
                from += html[from..].find(&part).unwrap_or_else(|| panic!("no {part} after {from}"));
            }
        }
        for part in [
            "<title>Run &lt;7&gt;</title>",
            "<p>a &gt; b</p>",
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
            "<h2 id=\"02-second-title\">2. A &amp; B</h2>",
            "<a href=\"#02-second\"><span>2.</span> <span>A &amp; B</span></a>",
            "<a href=\"#end\"><span></span> <span>The &lt;end&gt;</span></a>",
            "alt=\"A &amp; B. Columns: a &lt; b\"",
            "<p class=\"about\">About this figure: <code>ddpm figures</code></p>",
            "<i>x</i><sub>0</sub> &lt; 1",
            "<figcaption>if a &lt; b &amp; &quot;c&quot;</figcaption>",
            "<th scope=\"col\">&lt;t&gt;</th>",
            "<td>1 &amp; 2</td>",
            "width=\"12\" height=\"7\"",
        ] {
            assert!(html.contains(part), "{part}");
        }
    }

    /// The cards and the pictures on them have one colour.
    #[test]
    fn dark_pictures_lie_on_dark_cards() {
        let card = format!("--card: {};", crate::plot::css(crate::dark::DARK));
        assert_eq!(super::STYLE.matches(&card).count(), 2, "{card}");
    }

    /// One script, which the policy names; nothing that a browser would fetch.
    #[test]
    fn needs_nothing_from_outside() {
        let sections = [Section::from(figure("01-first", 11))];
        let html = Report { title: "Run", introduction: "", summary: &[], sections: &sections }.html();
        assert_eq!(html.matches("<script").count(), 1);
        for foreign in ["http:", "https:", "//cdn", "@import", "url(", "<link", "<iframe", "srcset", "fetch("]
        {
            assert!(!html.contains(foreign), "{foreign}");
        }
        let sources = html.matches(" src=\"").count();
        assert_eq!(sources, html.matches(" src=\"data:image/png;base64,").count());
        // Styles and handlers of single elements are not in the policy, so they would not work.
        let body = &html[html.find("<body>").unwrap()..];
        assert!(!body.contains(" style=") && !body.contains(" onclick="));
        // The text between the tags is what is hashed.
        for (tag, text) in [("style", super::STYLE), ("script", super::SCRIPT)] {
            assert!(html.contains(&format!("<{tag}>{text}</{tag}>")), "{tag}");
            assert!(html.contains(&format!("{tag}-src '{}'", super::source_hash(text))), "{tag}");
        }
        // The hash of "alert('Hello, world.');" in the standard's own example.
        let example = super::source_hash("alert('Hello, world.');");
        assert_eq!(example, "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn saves_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let figure = figure("01-first", 11);
        let sections = [Section::from(figure.clone())];
        let report = Report { title: "Run", introduction: "", summary: &[], sections: &sections };
        let path = dir.path().join("report.html");
        report.save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report.html());
        let picture = figure.save(dir.path()).unwrap();
        assert_eq!(picture, dir.path().join("01-first.png"));
        assert_eq!(std::fs::read(picture).unwrap(), figure.png);
        // A missing folder is created; a file in its place is not replaced.
        let below_a_file = report.save(&path.join("report.html"));
        assert!(matches!(below_a_file, Err(FiguresError::Write { .. })));
    }
}
