//! Takes screenshots of a report for the README: `cargo run -p tests --bin screenshots -- out/figures/report.html
//! assets/report`.
#![allow(clippy::print_stdout)] // A command-line program.

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use tests::browser::Page;

/// Takes screenshots of a report in headless Chromium: desktop.png, dark.png and phone.png.
#[derive(Debug, Parser)]
struct Args {
    /// The page, report.html of `ddpm figures`
    report: PathBuf,
    /// Folder for the pictures
    folder: PathBuf,
}

/// A screenshot: its name, the window size, the element at the top, and whether it is dark.
struct Shot {
    name: &'static str,
    window: (u32, u32, bool),
    at: &'static str,
    dark: bool,
}

const SHOTS: [Shot; 3] = [
    Shot { name: "desktop.png", window: (1180, 820, false), at: "body", dark: false },
    Shot { name: "dark.png", window: (1180, 820, false), at: "#watch-denoising", dark: true },
    Shot { name: "phone.png", window: (390, 820, true), at: "#watch-forward", dark: false },
];

fn main() -> anyhow::Result<()> {
    let Args { report, folder } = Args::parse();
    files::make_folder(&folder).with_context(|| folder.display().to_string())?;
    let mut page = Page::start()?;
    for Shot { name, window: (width, height, phone), at, dark } in SHOTS {
        page.window(width, height, phone)?;
        page.system_colours(dark)?;
        page.open(&report)?;
        page.value("Promise.all([...document.images].map(image => image.decode()))")?;
        page.value(&format!("document.querySelector({at:?}).scrollIntoView()"))?;
        let path = folder.join(name);
        let png = page.screenshot()?;
        files::write_output(&path, &png).with_context(|| path.display().to_string())?;
        println!("{}: {} kB", path.display(), png.len() / 1000);
    }
    Ok(())
}
