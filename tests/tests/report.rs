//! The report page: its content, and in headless Chromium what a reader can do with it. The browser tests are marked
//! `#[ignore]`, since most machines have no Chromium; `cargo xtask test` runs them where there is one, and reports
//! where there is not.

#[path = "report/layout.rs"]
mod layout;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::browser::Page;
use tests::{Place, trained};

/// A run with an evaluation, and the report of some of its figures.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = trained(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("report"));
        place.write("run/evaluations/step-00000006.json", evaluation().to_string()).expect("an evaluation");
        let png = tests::data::grey_file(1, (120, 60), image::ImageFormat::Png).expect("a picture");
        place.write("run/evaluations/nearest-step-00000006.png", png).expect("a picture");
        let said = place.ddpm("figures --run run --quick --only 1,2,6,8,20 --out report --json");
        let said = said.expect("the built program").json();
        assert_eq!(said["skipped"], json!([]), "{said}");
        place
    })
}

/// What `ddpm evaluate` writes.
fn evaluation() -> Value {
    let by_t: Vec<(usize, f64)> = (0..1000).map(|t| (t, 2.0 / f64::from(t as u32 + 1).powi(2))).collect();
    let total: f64 = by_t.iter().map(|term| term.1).sum();
    json!({
        "what": "run, step 6, ema", "run": "run", "step": 6, "weights": "ema", "n": 5000, "seed": 11,
        "sampler": "ddim", "steps": 30, "guidance": null,
        "features": {"name": "fashion <features>", "width": 128, "sha256": "ab".repeat(32), "resize": "none (28x28)"},
        "references": [{"part": "train", "data": "embedded", "count": 10000, "sha256": "cd".repeat(32)}],
        "metrics": [
            {"name": "fd", "title": "FD (fashion features)", "reference": "train", "value": 12.3, "low": 11.9,
             "high": 12.7, "better": "lower"},
            {"name": "recall", "title": "recall", "reference": "train", "value": 0.5, "low": null, "high": null,
             "better": "higher"},
        ],
        "bits": {"reference": "test", "n": 500, "prior": 1e-5, "decoder": 2.0, "total": total, "by_t": by_t},
        "copying": {"flagged": false, "share": 0.51, "p_value": 0.4, "alpha": 0.001},
        "seconds": 123.4, "machine": "Some CPU, 2 threads",
    })
}

#[test]
fn the_page_shows_metrics_cost_and_configuration() -> anyhow::Result<()> {
    let html = String::from_utf8(place().read("report/report.html")?)?;
    ensure!(html.len() < 8 << 20, "{} bytes", html.len());
    for part in [
        // The value, its interval, and what makes it comparable.
        "<td>FD (fashion features)</td><td>train</td><td>12.3</td><td>11.9 to 12.7</td><td>lower</td>",
        "<dt>samples</dt><dd>5,000</dd>",
        "<dt>seed</dt><dd>11</dd>",
        "<dt>resize</dt><dd>none (28x28)</dd>",
        "<dd>embedded, 10,000 images, sha256 cdcdcdcdcdcd…</dd>",
        "fashion &lt;features&gt;",
        "<section id=\"nearest\" aria-labelledby=\"nearest-title\">",
        "<section id=\"20-bits\" ",
        "<section id=\"watch-forward\" ",
        "<section id=\"watch-denoising\" ",
        "<dt>run</dt><dd>run</dd>",
        // What a point of the loss is, and what the error by t is.
        "a point for every 2 training steps, their mean (faint)",
        "from the newest evaluation of step 6, seed 11; no further network calls.",
        "<dt>images seen</dt><dd>48</dd>",
        "<dt>arithmetic of training</dt>",
        "checkpoint_every = 3",
    ] {
        ensure!(html.contains(part), "{part} is not in the page");
    }
    for foreign in ["http:", "https:", "@import", "<link", "<iframe"] {
        ensure!(!html.contains(foreign), "the report has {foreign}");
    }
    ensure!(html.matches("<script").count() == 1, "expected one script");
    ensure!(html.matches("<img").count() == html.matches(" alt=\"").count(), "a picture without a text");
    ensure!(!html.contains(" alt=\"\""), "a picture with an empty text");
    // A report must not show the user's folders.
    ensure!(
        !html.contains(&place().path().display().to_string()),
        "the page contains a path of this machine"
    );
    Ok(())
}

#[test]
fn an_invalid_evaluation_is_named_and_left_out() -> anyhow::Result<()> {
    let place = Place::new()?;
    let run = place_with_run(&place)?;
    place.write("run/evaluations/step-00000006.json", "{\"n\": -1}")?;
    let output = place.ddpm(&format!("figures --run {run} --only 1,20 --out out --json"))?;
    let warned = output.stderr.lines().find(|line| line.contains("step-00000006.json"));
    ensure!(warned.is_some_and(|line| line.contains("WARN")), "{}", output.stderr);
    let said = output.json();
    ensure!(said["figures"] == json!(["01-schedules.png"]), "{said}");
    let html = String::from_utf8(place.read("out/report.html")?)?;
    ensure!(html.contains("The newest evaluation of the run cannot be read."));
    Ok(())
}

/// A copy of the run, as someone else may have changed it.
fn place_with_run(place: &Place) -> anyhow::Result<String> {
    let from = self::place().at("run");
    let status = std::process::Command::new("cp").arg("-r").arg(from).arg(place.at("run")).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok("run".to_owned())
}

fn opened() -> anyhow::Result<Page> {
    let report = place().at("report/report.html");
    let mut page = Page::start()?;
    page.window(1200, 900, false)?;
    page.system_colours(false)?;
    page.open(&report)?;
    Ok(page)
}

/// The pixels and the text of a slider.
fn shown(page: &mut Page, slider: usize) -> anyhow::Result<(String, String)> {
    let value = page.value(&format!(
        "(() => {{ const s = document.querySelectorAll('.slider')[{slider}]; \
         return [s.querySelector('canvas').toDataURL(), s.querySelector('.told').textContent]; }})()"
    ))?;
    let text = |index: usize| value[index].as_str().map(str::to_owned).context("no text");
    Ok((text(0)?, text(1)?))
}

#[test]
#[ignore = "needs Chromium"]
fn keys_move_the_sliders() -> anyhow::Result<()> {
    let mut page = opened()?;
    ensure!(page.value("document.querySelectorAll('.slider').length")? == 2);
    for (slider, words) in [(0, "x"), (1, "steps")] {
        page.value(&format!("document.querySelectorAll('.slider input')[{slider}].focus()"))?;
        page.press("Home", 36)?;
        let last =
            page.value(&format!("Number(document.querySelectorAll('.slider input')[{slider}].max)"))?;
        let last = last.as_u64().context("no end")?;
        ensure!((15..60).contains(&last), "{last} steps");
        let other = shown(&mut page, 1 - slider)?;
        let mut seen = BTreeSet::new();
        let mut told = BTreeSet::new();
        for _ in 0..=last {
            let (pixels, text) = shown(&mut page, slider)?;
            ensure!(text.contains(words), "{text}");
            seen.insert(pixels);
            told.insert(text);
            page.press("ArrowRight", 39)?;
        }
        ensure!(seen.len() as u64 == last + 1, "{} pictures at {} positions", seen.len(), last + 1);
        ensure!(told.len() as u64 == last + 1, "{} texts at {} positions", told.len(), last + 1);
        ensure!(shown(&mut page, 1 - slider)? == other, "the other slider has moved");
    }
    ensure!(page.complaints()?.is_empty(), "{:?}", page.complaints()?);
    // At the end no step is left: x_t equals the predicted x_0.
    let rows_are_equal = "(() => { const c = document.querySelectorAll('.slider canvas')[1]; \
                          const g = c.getContext('2d'), h = Math.floor(c.height / 2); \
                          const d = y => g.getImageData(0, y, c.width, h).data.join(); \
                          return d(0) === d(c.height - h); })()";
    ensure!(page.value(rows_are_equal)? == true, "the rows differ at the end");
    page.press("Home", 36)?;
    ensure!(page.value(rows_are_equal)? == false, "the rows are equal at the start");
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn a_click_plays_and_stops() -> anyhow::Result<()> {
    let mut page = opened()?;
    let position = "Number(document.querySelector('.slider input').value)";
    page.value("document.querySelector('.slider input').focus()")?;
    page.press("End", 35)?;
    let end = page.value(position)?;
    page.click(".slider button")?;
    // From the end it starts over.
    let moved = "new Promise(done => { const look = () => { const at = Number(document.querySelector('.slider \
                 input').value); at > 1 && at < 20 ? done(at) : setTimeout(look, 5); }; look(); })";
    let at = page.value(moved)?;
    ensure!(at.as_u64() < end.as_u64(), "{at} of {end}");
    page.click(".slider button")?;
    ensure!(page.value("document.querySelector('.slider button').textContent")? == "Play");
    ensure!(page.complaints()?.is_empty(), "{:?}", page.complaints()?);
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn light_and_dark_follow_the_system_and_the_reader() -> anyhow::Result<()> {
    let mut page = opened()?;
    // Of 765.
    let brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3) \
                      .reduce((sum, part) => sum + Number(part), 0)";
    let is_light = |page: &mut Page| anyhow::Ok(page.value(brightness)?.as_u64().context("no colour")? > 600);
    let is_dark = |page: &mut Page| anyhow::Ok(page.value(brightness)?.as_u64().context("no colour")? < 150);
    ensure!(is_light(&mut page)?);
    page.system_colours(true)?;
    ensure!(is_dark(&mut page)?, "the page should follow the dark system");
    page.click("#theme")?;
    ensure!(is_light(&mut page)?, "the page should follow the reader's choice of light");
    page.open(&place().at("report/report.html"))?;
    ensure!(is_light(&mut page)?, "the choice should persist");
    page.click("#theme")?;
    ensure!(is_dark(&mut page)?);
    page.system_colours(false)?;
    ensure!(is_light(&mut page)?, "the page should follow the system again");
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn a_phone_shows_the_page_without_scrolling_sideways() -> anyhow::Result<()> {
    let mut page = opened()?;
    for (width, height) in [(390, 844), (320, 568)] {
        page.window(width, height, true)?;
        page.open(&place().at("report/report.html"))?;
        let widths = page.value("[innerWidth, document.documentElement.scrollWidth]")?;
        ensure!(widths == json!([width, width]), "{widths}");
        // Six images in two rows.
        let bands = page.value("(c => c.height / c.width)(document.querySelector('.slider canvas'))")?;
        ensure!(bands.as_f64().is_some_and(|ratio| ratio > 0.6), "{bands}");
        let contents = "getComputedStyle(document.getElementById('contents')).display";
        ensure!(page.value(contents)? == "none", "the table of contents should be closed");
        page.click("#menu")?;
        ensure!(page.value(contents)? == "block", "the table of contents does not open");
        page.click("#contents a[href='#cost']")?;
        ensure!(page.value(contents)? == "none", "the table of contents stays open");
        let top = page.value("document.getElementById('cost').getBoundingClientRect().top")?;
        ensure!(top.as_f64().is_some_and(|top| top.abs() < f64::from(height)), "{top}");
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn the_page_asks_for_nothing_and_runs_no_other_script() -> anyhow::Result<()> {
    let mut page = opened()?;
    ensure!(page.requests().len() == 1, "{:?}", page.requests());
    ensure!(page.complaints()?.is_empty(), "{:?}", page.complaints()?);
    // The policy blocks whatever got into the page.
    let attempt = "(async () => { window.broken = 0; const tag = document.createElement('script'); \
                   tag.textContent = 'window.broken = 1'; document.body.append(tag); \
                   const asked = await fetch('data:text/plain,x').then(() => 2, () => 0); \
                   return window.broken + asked; })()";
    ensure!(page.value(attempt)? == 0);
    ensure!(!page.complaints()?.is_empty(), "the console should report the refusals");
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn without_a_script_the_sheets_are_shown() -> anyhow::Result<()> {
    let mut page = opened()?;
    page.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }))?;
    page.open(&place().at("report/report.html"))?;
    let found = page.call("DOM.getDocument", json!({}))?;
    let boxed = |page: &mut Page, selector: &str| {
        let node = page
            .call("DOM.querySelector", json!({ "nodeId": found["root"]["nodeId"], "selector": selector }))?;
        let size = page.call("DOM.getBoxModel", json!({ "nodeId": node["nodeId"] }))?;
        Ok::<_, anyhow::Error>((size["model"]["width"].as_u64(), size["model"]["height"].as_u64()))
    };
    for selector in [".sheet img", ".frames summary", "#contents a"] {
        let (width, height) = boxed(&mut page, selector)?;
        ensure!(width > Some(50) && height > Some(10), "{selector}: {width:?} x {height:?}");
    }
    Ok(())
}
