//! A Chromium for one test, driven through chromedriver by blocking calls.

use std::cell::RefCell;
use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_stack::{paths, ports, process::Process};
use thirtyfour::error::WebDriverResult;
use thirtyfour::{Capabilities, TypingData, WebDriver};
use tokio::runtime::{Builder, Runtime};

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a condition is checked.
const POLL: Duration = Duration::from_millis(30);

/// A viewport: its name in the names of screenshots, and its size in CSS pixels.
#[derive(Clone, Copy)]
pub(crate) struct Viewport {
    pub(crate) width: u32,
    height: u32,
    mobile: bool,
}

/// A laptop's window.
pub(crate) const WIDE: Viewport = Viewport { width: 1280, height: 900, mobile: false };

/// The widths of windows between the two, in CSS pixels.
const NARROWER: [u32; 5] = [1200, 1100, 1024, 900, 600];

/// A phone.
pub(crate) const PHONE: Viewport = Viewport { width: 390, height: 844, mobile: true };

/// The values of the media feature `prefers-color-scheme`.
pub(crate) const SCHEMES: [&str; 2] = ["light", "dark"];

/// A browser with its own profile. Dropping it stops the browser. If the test fails, a screenshot and the HTML are saved.
pub(crate) struct Browser {
    // Dropped in this order: the session, its runtime, chromedriver, the profile.
    pub(crate) driver: WebDriver,
    runtime: Runtime,
    _chromedriver: Process,
    _home: TempDir,
    viewport: Viewport,
    /// The events from DevTools so far.
    pub(crate) events: RefCell<Vec<Value>>,
}

impl Browser {
    /// Starts a browser with this viewport and the light scheme.
    pub(crate) fn start(viewport: Viewport) -> Self {
        let tool = |variable| paths::tool(variable).unwrap_or_else(|error| panic!("{error:#}"));
        let home = TempDir::with_prefix("edge-key-auth-browser-").unwrap();
        let address = ports::free().unwrap();
        let chromedriver = Process::new(
            "chromedriver",
            &tool(paths::CHROMEDRIVER_VARIABLE),
            [format!("--port={}", address.port())],
            &[],
            home.path().join("chromedriver.log"),
            format!("http://{address}/status"),
        );
        chromedriver.start().unwrap_or_else(|error| panic!("{error:#}"));

        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let wanted = capabilities(&tool(paths::CHROMIUM_VARIABLE), &home);
        let driver = runtime.block_on(WebDriver::new(format!("http://{address}"), wanted));
        let driver = driver.unwrap_or_else(|error| panic!("{error}\n{}", chromedriver.log().unwrap()));
        let browser = Browser {
            driver,
            runtime,
            _chromedriver: chromedriver,
            _home: home,
            viewport,
            events: RefCell::default(),
        };
        browser.set_size(viewport.width, viewport.height);
        browser.cdp("Emulation.setFocusEmulationEnabled", json!({"enabled": true}));
        browser.set_scheme(SCHEMES[0]);
        browser
    }

    /// Waits for one answer of the driver.
    #[track_caller]
    pub(crate) fn run<T>(&self, call: impl Future<Output = WebDriverResult<T>>) -> T {
        self.try_run(call).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Like [`run`](Self::run), but returns a failure.
    pub(crate) fn try_run<T>(&self, call: impl Future<Output = WebDriverResult<T>>) -> WebDriverResult<T> {
        self.runtime.block_on(call)
    }

    /// Sends a command of the Chrome DevTools Protocol.
    #[track_caller]
    pub(crate) fn cdp(&self, method: &str, params: Value) -> Value {
        self.run(self.driver.cdp().send_raw(method, params))
    }

    /// The value of an expression, after its promise resolves. The page's content security policy does not apply.
    #[track_caller]
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.cdp("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The clipboard.
    #[track_caller]
    pub(crate) fn clipboard(&self) -> String {
        let permissions = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
        self.cdp("Browser.grantPermissions", permissions);
        self.evaluate("navigator.clipboard.readText()").as_str().unwrap().to_owned()
    }

    /// Runs the body of a function in the page.
    #[track_caller]
    pub(crate) fn script(&self, body: &str) -> Value {
        self.run(self.driver.execute(body, Vec::new())).json().clone()
    }

    /// Waits until `attempt` returns a value. Panics with `what` if it does not.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
        wait(attempt).unwrap_or_else(|| panic!("not in {} s: {what}", PATIENCE.as_secs()))
    }

    /// Sets a preferred colour scheme and no motion, because an element that fades in has other colours while it fades in.
    pub(crate) fn set_scheme(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.cdp("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Goes to an address, and waits until the page is complete.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        let before = self.document();
        self.run(self.driver.goto(url));
        self.wait_for_page_after(&before);
    }

    /// One step back in the history.
    #[track_caller]
    pub(crate) fn back(&self) {
        let before = self.document();
        self.run(self.driver.back());
        self.wait_for_page_after(&before);
    }

    /// Loads the page again.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let before = self.document();
        self.script("location.reload()");
        self.wait_for_page_after(&before);
    }

    /// An id of the loaded document.
    pub(crate) fn document(&self) -> Value {
        self.script("return performance.timeOrigin")
    }

    /// Waits until another document than `before` is complete.
    #[track_caller]
    pub(crate) fn wait_for_page_after(&self, before: &Value) {
        self.wait_for_document_after(before);
        self.until("the page is complete", || {
            let state = self.try_run(self.driver.execute("return document.readyState", Vec::new()));
            (state.ok()?.json() == "complete").then_some(())
        });
    }

    /// Waits until another document than `before` has begun to load.
    #[track_caller]
    pub(crate) fn wait_for_document_after(&self, before: &Value) {
        self.until("another page", || {
            // While a document is replaced, the browser may not answer.
            let script = "return document.body && performance.timeOrigin";
            let now = self.try_run(self.driver.execute(script, Vec::new()));
            let now = now.ok()?.json().clone();
            (now.is_number() && now != *before).then_some(())
        });
    }

    /// Presses a key, or several, wherever the focus is.
    #[track_caller]
    pub(crate) fn press(&self, keys: impl Into<TypingData>) {
        self.run(self.driver.action_chain().send_keys(keys).perform());
    }

    /// The path of the current address.
    #[track_caller]
    pub(crate) fn path(&self) -> String {
        self.run(self.driver.current_url()).path().to_owned()
    }

    /// The elements beyond the right edge, in this viewport and, unless it is a phone's, in narrower ones.
    #[track_caller]
    pub(crate) fn overflow(&self) -> Vec<String> {
        let narrower = NARROWER.iter().copied().filter(|_| !self.viewport.mobile);
        let widths: Vec<_> = narrower.chain([self.viewport.width]).collect();
        let found = widths.into_iter().flat_map(|width| {
            self.set_size(width, self.viewport.height);
            self.overflow_at(width)
        });
        found.collect()
    }

    /// The innermost elements beyond the viewport's right edge, if the page can be scrolled sideways.
    #[track_caller]
    fn overflow_at(&self, width: u32) -> Vec<String> {
        let found = self.script(&format!(
            "if (document.documentElement.scrollWidth <= {width}) return [];
            const wide = [...document.body.querySelectorAll('*')].filter(
                (element) => element.getBoundingClientRect().right > {width});
            return wide.filter((element) => !wide.some((other) => other !== element && element.contains(other)))
                .map((element) => '{width}: ' + element.outerHTML.slice(0, 120)).concat('{width}: the document')"
        ));
        serde_json::from_value(found).unwrap()
    }

    /// Saves a screenshot of the whole page as `<width>-<name>.png`.
    #[track_caller]
    pub(crate) fn screenshot(&self, name: &str) {
        let length = self.script("return Math.max(innerHeight, document.documentElement.scrollHeight)");
        self.set_size(self.viewport.width, length.as_u64().unwrap() as u32);
        let file = screenshot_path(&format!("{}-{name}.png", self.viewport.width));
        self.run(self.driver.screenshot(&file));
        self.set_size(self.viewport.width, self.viewport.height);
    }

    /// Saves a screenshot and the HTML of a failed test.
    fn save_failure(&self) {
        let test = thread::current().name().unwrap_or("test").replace("::", "-");
        let image = screenshot_path(&format!("failed-{test}.png"));
        if self.try_run(self.driver.screenshot(&image)).is_ok()
            && let Ok(source) = self.try_run(self.driver.source())
            && let Ok(url) = self.try_run(self.driver.current_url())
            && fs::write(image.with_extension("html"), source).is_ok()
        {
            eprintln!("the browser showed {url}: see {} and .html", image.display());
        }
    }

    fn set_size(&self, width: u32, height: u32) {
        let mobile = self.viewport.mobile;
        let metrics = json!({"width": width, "height": height, "mobile": mobile, "deviceScaleFactor": 1});
        self.cdp("Emulation.setDeviceMetricsOverride", metrics);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() {
            self.save_failure();
        }
        if let Err(error) = self.try_run(self.driver.clone().quit()) {
            eprintln!("the browser could not be closed: {error}");
        }
    }
}

/// Waits for at most [`PATIENCE`] until `attempt` returns a value.
pub(crate) fn wait<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        match attempt() {
            None if began.elapsed() < PATIENCE => thread::sleep(POLL),
            outcome => return outcome,
        }
    }
}

/// The path of a screenshot.
fn screenshot_path(name: &str) -> PathBuf {
    let folder = paths::screenshots();
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn capabilities(chromium: &Path, home: &TempDir) -> Capabilities {
    let profile = format!("--user-data-dir={}", home.path().join("profile").display());
    // With a pipe, the browser stops when chromedriver stops or is killed.
    let mut args = vec!["--headless", "--remote-debugging-pipe", "--disable-gpu", &profile];
    args.extend(["--disable-background-networking", "--no-first-run", "--lang=en-GB"]);
    // Chromium has no sandbox for root.
    if home.path().metadata().unwrap().uid() == 0 {
        args.push("--no-sandbox");
    }
    let wanted = json!({
        "browserName": "chrome",
        // Tests wait themselves, because some check a page that is still being sent.
        "pageLoadStrategy": "none",
        "goog:chromeOptions": {"binary": chromium, "args": args},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    });
    serde_json::from_value(wanted).unwrap()
}
