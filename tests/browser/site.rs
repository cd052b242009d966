//! A running key service with an Envoy, and a browser that visits it.

use std::cell::Cell;
use std::ops::Deref;

use test_stack::postgres::Databases;
use test_stack::{Options, Stack};

use crate::driver::{Browser, Viewport};

/// A valid password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A site and its visitor. Dereferences to the browser.
pub(crate) struct Site {
    // Dropped first, so that the screenshot of a failed test is taken while the site still answers.
    browser: Browser,
    pub(crate) stack: Stack,
    /// How many states have been checked.
    looks: Cell<u32>,
}

impl Deref for Site {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Site {
    /// A site without users, on PostgreSQL if the environment names a server.
    pub(crate) fn start(viewport: Viewport) -> Self {
        Self::start_with(viewport, Options::default())
    }

    /// Like [`start`](Self::start), with these options.
    pub(crate) fn start_with(viewport: Viewport, options: Options) -> Self {
        let server = Databases::from_env();
        let options = Options { seeded: false, server, ..options };
        let stack = Stack::temporary(&options).unwrap_or_else(|error| panic!("{error:#}"));
        Site { browser: Browser::start(viewport), stack, looks: Cell::new(0) }
    }

    /// An address of the page; `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        self.stack.key_service().url(path)
    }

    /// Goes to a page by its path.
    #[track_caller]
    pub(crate) fn visit(&self, path: &str) {
        self.open(&self.url(path));
    }

    /// The one-time link that a service without users prints for its first admin.
    #[track_caller]
    pub(crate) fn first_link(&self) -> String {
        let log = self.stack.key_service().process().log().unwrap();
        let link = log.split_whitespace().find(|word| word.contains("/link/"));
        link.unwrap_or_else(|| panic!("no link in {log}")).to_owned()
    }

    /// Whether the page shows the outcome of a change yet.
    pub(crate) fn has_result(&self) -> bool {
        self.script("return document.querySelector('#result') !== null") == true
    }

    /// The outcome of a change on the page.
    #[track_caller]
    pub(crate) fn result(&self) -> String {
        let result = self.script("return document.querySelector('#result[role=status]')?.innerText");
        result.as_str().unwrap_or_else(|| panic!("no result: {}", self.text())).to_owned()
    }

    /// Creates a user with all permissions.
    pub(crate) fn add_user(&self, email: &str) {
        self.add(&["user", "add", email, "--password-stdin", "--permissions", "*"]);
    }

    /// Like [`add_user`](Self::add_user), but an admin.
    pub(crate) fn add_admin(&self, email: &str) {
        self.add(&["user", "add", email, "--password-stdin", "--admin"]);
    }

    fn add(&self, args: &[&str]) {
        self.stack.key_service().run(args, PASSWORD).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Signs a user in.
    #[track_caller]
    pub(crate) fn sign_in(&self, email: &str) {
        self.visit("/sign-in");
        self.fill("Email", email);
        self.fill("Password", PASSWORD);
        self.follow("Sign in");
    }

    /// Creates a key with all access. Returns its value, which the page shows.
    #[track_caller]
    pub(crate) fn create_key(&self, label: &str) -> String {
        self.visit("/account/keys/new");
        self.fill("Label", label);
        self.click("All access");
        self.follow("Create key");
        self.value("key-value")
    }

    /// The status that Envoy gives a request with this key.
    pub(crate) fn status_at_the_edge(&self, key: &str) -> u16 {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let request = agent.get(self.stack.url("/api/projects/"));
        request.header("authorization", format!("Bearer {key}")).call().unwrap().status().as_u16()
    }

    /// Checks the current page in both colour schemes: it is no wider than the viewport, and axe-core finds nothing. Saves a
    /// screenshot of each scheme.
    #[track_caller]
    pub(crate) fn look(&self, state: &str) {
        self.looks.set(self.looks.get() + 1);
        let number = self.looks.get();
        assert_eq!(self.overflow(), Vec::<String>::new(), "{}: wider than the viewport", self.path());
        let violations = self.violations(|scheme| {
            let suffix = if scheme == "dark" { "-dark" } else { "" };
            self.screenshot(&format!("{number:02}-{state}{suffix}"));
        });
        assert!(violations.is_empty(), "{} ({state}):\n{}", self.path(), violations.join("\n"));
    }

    /// Checks that pages loaded nothing from other sites, and that the console has no messages except about pages with an
    /// error status.
    #[track_caller]
    pub(crate) fn assert_nothing_from_elsewhere(&self) {
        let requests = self.requests();
        let site = self.url("/");
        // Chromium draws the icons of date fields from data URLs.
        let is_elsewhere = |url: &&String| !url.starts_with(&site) && !url.starts_with("data:");
        let elsewhere: Vec<_> = requests.iter().filter(is_elsewhere).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        assert!(requests.iter().any(|url| url.contains("/assets/")), "nothing was recorded: {requests:?}");
        let console_errors = self.console_errors();
        let refusals = |line: &&String| line.starts_with(&site) && line.contains("with a status of 40");
        let surprises: Vec<_> = console_errors.iter().filter(|line| !refusals(line)).collect();
        assert!(surprises.is_empty(), "{surprises:?}");
    }
}
