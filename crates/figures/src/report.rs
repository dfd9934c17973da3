//! The report: every figure with its equation in one HTML file that needs nothing else.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::equation::{equation_html, escape};
use crate::error::FiguresError;
use crate::figure::{Figure, Table};

const STYLE: &str = include_str!("report.css");

/// What goes into the report. Every text is plain; it is escaped where HTML needs it.
///
/// ```
/// let summary = [("dataset".to_owned(), "images <28 x 28>".to_owned())];
/// let report = figures::Report { title: "A run", introduction: "", summary: &summary, figures: &[] };
/// assert!(report.html().contains("images &lt;28 x 28&gt;"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// Heading of the page.
    pub title: &'a str,
    /// A paragraph below it; empty for none.
    pub introduction: &'a str,
    /// The run in names and values, in this order.
    pub summary: &'a [(String, String)],
    /// The figures, in this order.
    pub figures: &'a [Figure],
}

impl Report<'_> {
    /// The page: pictures inside, no script, nothing from the network.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escape(self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        );
        if !self.introduction.is_empty() {
            push(&mut html, format_args!("<p>{}</p>\n", escape(self.introduction)));
        }
        if !self.summary.is_empty() {
            html.push_str("<table>\n");
            for (name, value) in self.summary {
                let (name, value) = (escape(name), escape(value));
                push(&mut html, format_args!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n"));
            }
            html.push_str("</table>\n");
        }
        html.push_str("<nav aria-label=\"Figures\"><ol>\n");
        for figure in self.figures {
            let (name, title, number) = (escape(figure.name), escape(figure.title), figure.number());
            push(&mut html, format_args!("<li value=\"{number}\"><a href=\"#{name}\">{title}</a></li>\n"));
        }
        html.push_str("</ol></nav>\n");
        for figure in self.figures {
            section(&mut html, figure);
        }
        html.push_str("</body>\n</html>\n");
        html
    }

    /// Writes the page, by way of a temporary file.
    ///
    /// # Errors
    /// [`FiguresError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), FiguresError> {
        FiguresError::writing(path, files::write_output(path, self.html().as_bytes()))
    }
}

fn section(html: &mut String, figure: &Figure) {
    let (name, title, number) = (escape(figure.name), escape(figure.title), figure.number());
    push(html, format_args!("<section id=\"{name}\">\n<h2>{number}. {title}</h2>\n"));
    if !figure.equation.is_empty() {
        push(html, format_args!("<p class=\"equation\">{}</p>\n", equation_html(&figure.equation)));
    }
    let size = match png_size(&figure.png) {
        Some((width, height)) => format!(" width=\"{width}\" height=\"{height}\""),
        None => String::new(),
    };
    push(
        html,
        format_args!(
            "<figure>\n<img alt=\"{title}\"{size} src=\"data:image/png;base64,{}\">\n\
             <figcaption>{}</figcaption>\n</figure>\n",
            STANDARD.encode(&figure.png),
            escape(&figure.caption),
        ),
    );
    if let Some(table) = &figure.table {
        push_table(html, table);
    }
    html.push_str("</section>\n");
}

fn push_table(html: &mut String, table: &Table) {
    html.push_str("<details open><summary>Numbers</summary>\n<div class=\"wide\"><table>\n<tr>");
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
    html.push_str("</table></div></details>\n");
}

/// Width and height from the header of a PNG, so that the page does not jump while it loads.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

fn push(html: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = html.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::{Report, STANDARD};
    use crate::figure::{Figure, Table};
    use crate::{Canvas, FiguresError};
    use base64::Engine;

    fn figure(name: &'static str, side: usize) -> Figure {
        Figure {
            name,
            title: "A & B",
            caption: "if a < b & \"c\"".into(),
            equation: "x_0 < 1".into(),
            png: Canvas::new(side, 7).unwrap().png().unwrap(),
            table: Some(Table { header: vec!["<t>".into()], rows: vec![vec!["1 & 2".into()]] }),
        }
    }

    #[test]
    fn holds_every_figure_in_order_and_escapes_text() {
        let figures = [figure("01-first", 11), figure("02-second", 12)];
        let summary = [("data".to_owned(), "<script>alert('x')</script>".to_owned())];
        let report = Report { title: "Run <7>", introduction: "a > b", summary: &summary, figures: &figures };
        let html = report.html();
        assert_eq!(html, report.html());

        let mut from = 0;
        for figure in &figures {
            for part in [format!("<section id=\"{}\">", figure.name), STANDARD.encode(&figure.png)] {
                from += html[from..].find(&part).unwrap_or_else(|| panic!("no {part} after {from}"));
            }
        }
        for part in [
            "<title>Run &lt;7&gt;</title>",
            "<p>a &gt; b</p>",
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
            "<h2>2. A &amp; B</h2>",
            "<i>x</i><sub>0</sub> &lt; 1",
            "<figcaption>if a &lt; b &amp; &quot;c&quot;</figcaption>",
            "<th scope=\"col\">&lt;t&gt;</th>",
            "<td>1 &amp; 2</td>",
            "width=\"12\" height=\"7\"",
        ] {
            assert!(html.contains(part), "{part}");
        }
        assert!(!html.contains("<script") && !html.contains("http:") && !html.contains("https:"));
    }

    #[test]
    fn saves_whole_files() {
        let dir = tempfile::tempdir().unwrap();
        let figures = [figure("01-first", 11)];
        let report = Report { title: "Run", introduction: "", summary: &[], figures: &figures };
        let path = dir.path().join("report.html");
        report.save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report.html());
        let picture = figures[0].save(dir.path()).unwrap();
        assert_eq!(picture, dir.path().join("01-first.png"));
        assert_eq!(std::fs::read(picture).unwrap(), figures[0].png);
        // A folder that is missing is made; a file in its place is not replaced.
        let below_a_file = report.save(&path.join("report.html"));
        assert!(matches!(below_a_file, Err(FiguresError::Write { .. })));
    }
}
