//! Drives a page in headless Chromium as a reader would: keys, clicks, the width of the window. It speaks the DevTools
//! protocol over two pipes (`--remote-debugging-pipe`), in JSON messages that end with a zero byte.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Names of Chromium on Linux and macOS.
const NAMES: [&str; 5] =
    ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "Chromium"];
/// Flags that avoid the network and any existing profile. `--no-sandbox` is needed for root, and the pages are our own.
const FLAGS: [&str; 13] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--mute-audio",
    "--remote-debugging-pipe",
];
/// An answer takes milliseconds; the first one may take seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser: `DDPM_CHROMIUM`, or one of the usual names on the path.
#[must_use]
pub fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("DDPM_CHROMIUM") {
        return Some(PathBuf::from(path));
    }
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// One window with one page. Dropping it closes the browser.
#[derive(Debug)]
pub struct Page {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    /// Messages that are not answers and have not been read yet.
    events: Vec<Value>,
    session: String,
    count: u64,
    _profile: TempDir,
}

impl Page {
    /// Starts the browser with an empty profile and an empty page.
    ///
    /// # Errors
    /// When there is no browser, or it does not answer.
    pub fn start() -> anyhow::Result<Self> {
        let program = chromium().context(
            "expected Chromium as chromium, chromium-browser or google-chrome on the path, found none; install it, or name it \
             in DDPM_CHROMIUM",
        )?;
        let profile = tempfile::tempdir()?;
        let mut data = OsString::from("--user-data-dir=");
        data.push(profile.path());
        // The browser reads from descriptor 3 and writes to 4; a shell redirects them to the usual two.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"]);
        command.arg(&program).args(FLAGS).arg(data).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0) {
                let Some(value) = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) else {
                    break;
                };
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let session = String::new();
        let mut page =
            Self { child, input, messages, events: Vec::new(), session, count: 0, _profile: profile };
        let made = page.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attached =
            page.call("Target.attachToTarget", json!({ "targetId": made["targetId"], "flatten": true }))?;
        attached["sessionId"].as_str().context("no session")?.clone_into(&mut page.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(page)
    }

    /// Calls a method of the protocol and waits for its answer.
    ///
    /// # Errors
    /// When the browser refuses it or does not answer.
    pub fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.count += 1;
        let mut message = json!({ "id": self.count, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let input = self.input.as_mut().context("the browser is closed")?;
        input.write_all(message.to_string().as_bytes())?;
        input.write_all(&[0])?;
        input.flush()?;
        let begun = Instant::now();
        loop {
            let mut answer = self.next(method, begun)?;
            if answer["id"] != self.count {
                self.events.push(answer);
                continue;
            }
            ensure!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
            return Ok(answer["result"].take());
        }
    }

    fn next(&self, what: &str, begun: Instant) -> anyhow::Result<Value> {
        match self.messages.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            Ok(message) => Ok(message),
            Err(RecvTimeoutError::Timeout) => bail!("{what}: no answer from the browser"),
            Err(RecvTimeoutError::Disconnected) => bail!("{what}: the browser has ended"),
        }
    }

    /// Opens a file and waits until it is loaded.
    ///
    /// # Errors
    /// As [`Page::call`]; when it does not load.
    pub fn open(&mut self, file: &Path) -> anyhow::Result<()> {
        let url = format!("file://{}", file.canonicalize()?.display());
        self.events.clear();
        let answer = self.call("Page.navigate", json!({ "url": url }))?;
        ensure!(answer.get("errorText").is_none(), "{url}: {}", answer["errorText"]);
        let begun = Instant::now();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next("load", begun)?;
            self.events.push(event);
        }
        Ok(())
    }

    /// The value of an expression; waits for a promise.
    ///
    /// # Errors
    /// As [`Page::call`]; when the expression throws.
    pub fn value(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", parameters)?;
        let thrown = &answer["exceptionDetails"];
        ensure!(thrown.is_null(), "{expression}: {thrown}");
        Ok(answer["result"]["value"].take())
    }

    /// Presses a key, such as `ArrowRight`, on the element that has the focus.
    ///
    /// # Errors
    /// As [`Page::call`].
    pub fn press(&mut self, key: &str, code: u32) -> anyhow::Result<()> {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event)?;
        }
        self.settle()
    }

    /// Clicks the middle of the element that a selector finds, after scrolling to it.
    ///
    /// # Errors
    /// As [`Page::call`]; when there is no such element.
    pub fn click(&mut self, selector: &str) -> anyhow::Result<()> {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ))?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event)?;
        }
        self.settle()
    }

    /// Sets the window size in pixels. `phone` emulates a phone, which lays pages out by their own width.
    ///
    /// # Errors
    /// As [`Page::call`].
    pub fn window(&mut self, width: u32, height: u32, phone: bool) -> anyhow::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        self.settle()
    }

    /// Sets the system's preference for light or dark.
    ///
    /// # Errors
    /// As [`Page::call`].
    pub fn system_colours(&mut self, dark: bool) -> anyhow::Result<()> {
        let value = if dark { "dark" } else { "light" };
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", feature)?;
        self.settle()
    }

    /// A screenshot of the window, as PNG.
    ///
    /// # Errors
    /// As [`Page::call`].
    pub fn screenshot(&mut self) -> anyhow::Result<Vec<u8>> {
        self.settle()?;
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        Ok(STANDARD.decode(shot["data"].as_str().context("no data")?)?)
    }

    /// Waits until the page has been drawn twice.
    fn settle(&mut self) -> anyhow::Result<()> {
        let frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))";
        self.value(frames).map(drop)
    }

    /// What went wrong on the page since it was opened: exceptions, console errors and warnings, policy violations.
    ///
    /// # Errors
    /// As [`Page::call`].
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        self.settle()?;
        let complaint = |event: &Value| {
            let parameters = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(parameters["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" => Some(parameters["args"].to_string()),
                "Log.entryAdded" => Some(parameters["entry"]["text"].to_string()),
                _ => None,
            }
        };
        Ok(self.events.iter().filter_map(complaint).collect())
    }

    /// Addresses that the page requested since it was opened, except embedded ones.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let sent = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = sent.filter_map(|event| event["params"]["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with("data:")).map(str::to_owned).collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Without its pipe the browser exits, with all its processes.
        self.session.clear();
        let _ = self.call("Browser.close", json!({}));
        self.input = None;
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
