//! The layout of the page at the widths of phones, tablets and desktops, in both colour schemes, on paper, and with keys only.

use anyhow::ensure;
use serde_json::{Value, json};
use tests::browser::Page;

use super::{opened, place};

/// Windows in pixels: phones, a tablet, desktops.
const WINDOWS: [(u32, u32); 5] = [(320, 568), (500, 800), (768, 1024), (1280, 800), (1920, 1080)];

/// What is wrong with the contents and the width of the page. Two boxes overlap by more than half a pixel.
const LAYOUT: &str = "(() => {
    const wrong = [];
    const root = document.scrollingElement;
    if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} wide`);
    const menu = document.getElementById('menu');
    const closed = getComputedStyle(menu).display !== 'none';
    if (closed) menu.click();
    const links = [...document.querySelectorAll('#contents a')];
    const boxes = links.map(link => [link.textContent, link.getBoundingClientRect()]);
    if (boxes.length < 8) wrong.push(`${boxes.length} entries`);
    const apart = (a, b) => a.right <= b.left + .5 || b.right <= a.left + .5 || a.bottom <= b.top + .5 || b.bottom <= a.top + .5;
    boxes.forEach(([name, box], index) => {
        if (box.height < 15 || box.width < 50) wrong.push(`${name} is ${box.width} x ${box.height}`);
        for (const [other, second] of boxes.slice(index + 1)) if (!apart(box, second)) wrong.push(`${name} and ${other}`);
    });
    for (const link of links) {
        const box = link.getBoundingClientRect();
        for (const part of link.children) {
            const inner = part.getBoundingClientRect();
            const outside = inner.right > box.right + .5 || inner.bottom > box.bottom + .5 || inner.left < box.left - .5;
            if (inner.width > 0 && outside) wrong.push(`${part.textContent} leaves its entry`);
        }
    }
    if (root.scrollWidth > innerWidth) wrong.push(`with its contents the page is ${root.scrollWidth} wide`);
    if (closed) menu.click();
    return wrong;
})()";

/// Texts with a contrast below 4.5 (WCAG 2.2, success criterion 1.4.3), and how many texts were looked at.
const CONTRAST: &str = "(() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const luminance = colour => {
        const [r, g, b] = numbers(colour).map(part => part / 255).map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const paper = element => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            const [, , , opacity = 1] = numbers(colour);
            if (opacity > 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const faint = [];
    let count = 0;
    for (const element of document.body.querySelectorAll('*')) {
        const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!own || !element.getClientRects().length) continue;
        count += 1;
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(paper(element))];
        const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (contrast < 4.5) faint.push(`${element.tagName} ${element.textContent.slice(0, 30)}: ${contrast.toFixed(2)}`);
    }
    return [count, faint];
})()";

/// The pictures shown: the sum of the colour parts of their corners, of 765, and how many there are.
const CORNERS: &str = "(async () => {
    await Promise.all([...document.images].map(image => image.decode()));
    const shown = [...document.querySelectorAll('.picture img:not(.both)')].filter(image => image.getClientRects().length);
    const corner = image => {
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [1, 1];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, 1, 1).data.slice(0, 3).reduce((sum, part) => sum + part, 0);
    };
    return shown.map(corner);
})()";

/// The corners of the five figures: all light, or all dark.
fn has_pictures(page: &mut Page, dark: bool) -> anyhow::Result<()> {
    let corners = page.value(CORNERS)?;
    let right = |corner: &Value| corner.as_u64().is_some_and(|sum| if dark { sum < 150 } else { sum == 765 });
    let corners = corners.as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(corners.len() == 5 && corners.iter().all(right), "dark {dark}: {corners:?}");
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_overlaps_or_overflows_at_any_width() -> anyhow::Result<()> {
    let mut page = opened()?;
    for (width, height) in WINDOWS {
        for dark in [false, true] {
            page.window(width, height, false)?;
            page.system_colours(dark)?;
            page.open(&place().at("report/report.html"))?;
            let wrong = page.value(LAYOUT)?;
            ensure!(wrong == json!([]), "{width} x {height}, dark {dark}: {wrong}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn every_text_stands_out_from_its_background() -> anyhow::Result<()> {
    let mut page = opened()?;
    for (width, height) in [WINDOWS[0], WINDOWS[3]] {
        for dark in [false, true] {
            page.window(width, height, false)?;
            page.system_colours(dark)?;
            page.open(&place().at("report/report.html"))?;
            page.value("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")?;
            let found = page.value(CONTRAST)?;
            ensure!(found[0].as_u64() > Some(100), "only {} texts", found[0]);
            ensure!(found[1] == json!([]), "{width} x {height}, dark {dark}: {}", found[1]);
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn a_dark_page_has_dark_pictures() -> anyhow::Result<()> {
    let mut page = opened()?;
    has_pictures(&mut page, false)?;
    page.system_colours(true)?;
    has_pictures(&mut page, true)?;
    // The reader's choice counts more than the system's.
    page.click("#theme")?;
    has_pictures(&mut page, false)?;
    page.click("#theme")?;
    has_pictures(&mut page, true)
}

/// Paper is white, and has no buttons.
#[test]
#[ignore = "needs Chromium"]
fn a_printed_page_is_light_and_without_controls() -> anyhow::Result<()> {
    let mut page = opened()?;
    let dark = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
    page.call("Emulation.setEmulatedMedia", json!({ "media": "print", "features": dark }))?;
    has_pictures(&mut page, false)?;
    ensure!(page.value("getComputedStyle(document.body).backgroundColor")? == "rgb(255, 255, 255)");
    let shown = "['.bar', '#contents', '.controls'].filter(name => document.querySelector(name).getClientRects().length)";
    ensure!(page.value(shown)? == json!([]), "controls on paper");
    Ok(())
}

#[test]
#[ignore = "needs Chromium"]
fn keys_and_screen_readers_reach_everything() -> anyhow::Result<()> {
    let mut page = opened()?;
    for expected in ["skip", "theme"] {
        page.press("Tab", 9)?;
        let focused = page.value("document.activeElement.id || document.activeElement.className")?;
        ensure!(focused == expected, "the focus is on {focused}, expected {expected}");
    }
    let nameless = "[...document.querySelectorAll('button, input, canvas, nav')].filter(part => \
                    !(part.getAttribute('aria-label') || part.textContent.trim())).map(part => part.outerHTML)";
    ensure!(page.value(nameless)? == json!([]), "parts without a name");
    let told =
        "[...document.querySelectorAll('.slider input')].map(part => part.getAttribute('aria-valuetext'))";
    let told = page.value(told)?;
    ensure!(told[0].as_str().is_some_and(|text| text.starts_with("t = ")), "{told}");
    let pressed = "document.getElementById('theme').getAttribute('aria-pressed')";
    ensure!(page.value(pressed)? == "false");
    page.click("#theme")?;
    ensure!(page.value(pressed)? == "true");
    Ok(())
}

/// The interval between two pictures of a playing slider follows the system's preference.
#[test]
#[ignore = "needs Chromium"]
fn little_motion_where_the_system_wants_little() -> anyhow::Result<()> {
    let mut page = opened()?;
    for (wish, pause) in [("no-preference", 120), ("reduce", 1000)] {
        let feature = json!([{ "name": "prefers-reduced-motion", "value": wish }]);
        page.call("Emulation.setEmulatedMedia", json!({ "features": feature }))?;
        page.open(&place().at("report/report.html"))?;
        let record = "(() => { window.pauses = []; const usual = setInterval; \
                      window.setInterval = (act, pause) => { pauses.push(pause); return usual(act, pause); }; })()";
        page.value(record)?;
        page.click(".slider button")?;
        page.click(".slider button")?;
        ensure!(page.value("pauses")? == json!([pause]), "{wish}");
    }
    Ok(())
}
