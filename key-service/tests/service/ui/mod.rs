//! The page, as a browser without a script gets it.

mod administration;
mod forged;
mod keys;
mod leaked;
mod openid;
mod openid_users;
mod signing_in;
mod text;
mod unsent;

use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode};

use crate::support::{Browser, DEMO, OTHER, TestApp, key_path, text};

/// The pages that every signed-in user may see.
const OWN_PAGES: [&str; 3] = ["/account", "/account/keys", "/account/keys/new"];

/// The pages that only admins may see.
const ADMIN_PAGES: [&str; 8] = [
    "/admin/users",
    "/admin/users/new",
    "/admin/users/new-service",
    "/admin/keys",
    "/admin/tokens",
    "/admin/tokens/new",
    "/admin/audit",
    "/admin/edges",
];

/// A label that would run a script if a page inserted it as HTML.
const HOSTILE: &str = "<script>alert(1)</script>\"'&<!-- l";

/// A browser that does not follow redirects, signed in or not.
pub(crate) struct Tab {
    base: String,
    cookie: String,
}

/// The address of the page after a form, and the cookie that opens it.
struct Receipt {
    address: String,
    cookie: String,
}

impl Receipt {
    /// The receipt that an answer leads to.
    fn of(response: &Response) -> Option<Self> {
        let address = response.headers().get("location")?.to_str().unwrap().to_owned();
        let cookies = response.headers().get_all("set-cookie").into_iter();
        let mut cookies = cookies.map(|cookie| cookie.to_str().unwrap());
        let cookie = cookies.find(|cookie| cookie.starts_with("seal-"))?;
        assert_eq!(response.status(), 303);
        let (cookie, rest) = cookie.split_once("; ").unwrap();
        let (attributes, lifetime_s) = rest.split_once("; Max-Age=").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
        assert!(["60", "600"].contains(&lifetime_s), "{lifetime_s}");
        Some(Receipt { address, cookie: cookie.to_owned() })
    }
}

/// A page, as an answer shows it.
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    location: String,
    pub(crate) html: String,
}

impl Tab {
    pub(crate) fn of(browser: &Browser) -> Self {
        Tab { base: browser.base.clone(), cookie: browser.cookie.clone() }
    }

    pub(crate) fn of_nobody(app: &TestApp) -> Self {
        Tab { base: app.public.clone(), cookie: String::new() }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        let request = client.request(method, format!("{}{path}", self.base));
        if self.cookie.is_empty() {
            return request;
        }
        request.header("cookie", format!("session={}", self.cookie))
    }

    pub(crate) async fn get(&self, path: &str) -> Shown {
        Shown::read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.form(path, fields).header("sec-fetch-site", "same-origin").send().await.unwrap()
    }

    /// Sends a form, and follows it to its receipt.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let response = self.send(path, fields).await;
        match Receipt::of(&response) {
            Some(receipt) => Shown::read(self.open(&receipt).await).await,
            None => Shown::read(response).await,
        }
    }

    /// Opens a receipt with its cookie.
    async fn open(&self, Receipt { address, cookie }: &Receipt) -> Response {
        self.request(Method::GET, address).header("cookie", cookie).send().await.unwrap()
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, path);
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }
}

impl Shown {
    async fn read(response: Response) -> Self {
        let status = response.status();
        let header = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap());
        let location = header("location").to_owned();
        assert!(status.is_redirection() || header("content-type").starts_with("text/html"), "{status}");
        Shown { status, location, html: response.text().await.unwrap() }
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.html.contains(part)
    }

    /// The content of the attribute `value` of the element with that id.
    pub(crate) fn value_of(&self, id: &str) -> &str {
        let (_, element) = self.html.split_once(&format!("id=\"{id}\"")).unwrap();
        let (_, value) = element.split_once("value=\"").unwrap();
        value.split_once('"').unwrap().0
    }

    /// The value of the hidden field with that name.
    fn field(&self, name: &str) -> &str {
        let (_, value) = self.html.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        value.split_once('"').unwrap().0
    }

    /// The result of a change.
    pub(crate) fn result(&self) -> &str {
        let (_, result) = self.html.split_once("id=\"result\" role=\"status\"").unwrap();
        result.split_once('>').unwrap().1.split_once('<').unwrap().0
    }
}

pub(crate) fn key_page(key: &serde_json::Value, page: &str) -> String {
    format!("/account/keys/{}{page}", text(key, "id"))
}

#[tokio::test]
async fn each_page_opens_only_for_its_users() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let (nobody, member, admin) = (Tab::of_nobody(&app), Tab::of(&demo), Tab::of(&app.admin()));
    for path in OWN_PAGES.into_iter().chain(ADMIN_PAGES) {
        let sent_away = nobody.get(path).await;
        let expected = format!("/sign-in?next={}", path.replace('/', "%2F"));
        assert_eq!((sent_away.status.as_u16(), sent_away.location), (303, expected), "{path}");
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    for path in OWN_PAGES {
        let shown = member.get(path).await;
        assert_eq!(shown.status, 200, "{path}");
        assert!(!shown.has("/admin/"), "{path}");
    }
    let user = format!("/admin/users/{}", app.user_id(OTHER));
    let key = demo.create_key("CI", &["*"]).await;
    let deletion = format!("/admin/keys/{}/delete", text(&key, "id"));
    for path in ADMIN_PAGES.into_iter().chain([user.as_str(), &deletion]) {
        let refused = member.get(path).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.has("You do not have permission to see this page."), "{path}");
        let refused = member.post(path, &[("action", "disable")]).await.status;
        assert!([403, 405].contains(&refused.as_u16()), "{path}: {refused}");
    }
    assert_eq!(admin.get(&user).await.status, 200);
    assert_eq!(demo.get("/api/users/@me/").await.0, 200, "nothing was disabled");
}

#[tokio::test]
async fn pages_load_nothing_from_other_sites_and_are_not_stored() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    for path in ["/sign-in", "/account/keys", "/nowhere", "/link/wrong", "/assets/page.css"] {
        let headers = tab.request(Method::GET, path).send().await.unwrap().headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
    }
    let page = Tab::of_nobody(&app).get("/sign-in").await.html;
    let assets: Vec<_> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for asset in assets {
        let response = tab.request(Method::GET, asset).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset}");
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
    }
    for forbidden in [" style=", "<style", " onclick=", "<script>", "http://", "https://"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[tokio::test]
async fn a_write_from_another_site_is_refused_with_a_page() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let key = demo.create_key("CI", &["*"]).await;
    let tab = Tab::of(&demo);
    let path = key_page(&key, "/delete");
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let refused = Shown::read(tab.form(&path, &[]).header(name, value).send().await.unwrap()).await;
        assert_eq!(refused.status, 403, "{name}");
        assert!(refused.has("The request came from another site, so nothing was changed."));
    }
    assert!(tab.get("/account/keys").await.has("CI"));
    let api = demo.request(Method::DELETE, &key_path(&key));
    let refused = api.header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["content-type"]),
        (403, &"application/json".parse().unwrap())
    );
}

#[tokio::test]
async fn errors_are_pages_for_people_and_json_for_programs() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    for (path, status) in [
        ("/nowhere", 404),
        ("/edge/v1/verify", 404),
        ("/account/keys/none", 404),
        ("/assets/x.css", 404),
        ("/sign-out", 405),
    ] {
        let shown = tab.get(path).await;
        assert_eq!(shown.status, status, "{path}");
        assert!(shown.has(&format!("Error {status}")) && shown.has("<h1>"), "{path}");
    }
    for path in ["/api/", "/api/nowhere", "/api/nowhere/"] {
        assert_eq!(demo.get(path).await.0, 404, "{path}");
    }
    let too_long = "x".repeat(65 * 1024);
    assert_eq!(tab.post("/account/keys/new", &[("label", too_long.as_str())]).await.status, 413);
    let json = tab.request(Method::POST, "/account/keys/new").json(&serde_json::json!({"label": "x"}));
    let refused = json.header("sec-fetch-site", "same-origin").send().await.unwrap();
    assert_eq!(Shown::read(refused).await.status, 415);
    drop(app);
}

#[tokio::test]
async fn a_last_slash_leads_to_the_page_without_it() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let tab = Tab::of(&demo);
    for (path, expected) in [
        ("/account/keys/", "/account/keys"),
        ("/sign-in/?next=%2Faccount", "/sign-in?next=%2Faccount"),
        ("/link/secret//", "/link/secret"),
        ("//evil.example/", "/evil.example"),
        ("/\\evil.example/", "/evil.example"),
    ] {
        assert_eq!(location_of(&app, path).await, ("308".to_owned(), expected.to_owned()), "{path}");
    }
    assert_eq!(tab.get("//").await.status, 404);
}

/// Status and `location` of an answer, asked for as it stands: clients tidy addresses up.
async fn location_of(app: &TestApp, path: &str) -> (String, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = app.public.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    (answer.split(' ').nth(1).unwrap().to_owned(), location.to_owned())
}

#[tokio::test]
async fn labels_are_shown_as_text_everywhere() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = Tab::of(&app.admin());
    let key = demo.create_key(HOSTILE, &["*"]).await;
    let tab = Tab::of(&demo);
    let token = [("label", HOSTILE), ("reach", "all"), ("can.read", "yes"), ("expires_at", "never")];
    let history = format!("/admin/audit?subject_id={}", text(&key, "id"));
    let search = format!("/admin/keys?user_id={}", app.user_id(DEMO));
    for (path, shown) in [
        ("list", tab.get("/account/keys").await),
        ("edit", tab.get(&key_page(&key, "")).await),
        ("roll", tab.get(&key_page(&key, "/roll")).await),
        ("new value", tab.post(&key_page(&key, "/roll"), &[("grace_s", "0")]).await),
        ("all keys", admin.get(&search).await),
        ("history", admin.get(&history).await),
        ("new token", admin.post("/admin/tokens/new", &token).await),
        ("tokens", admin.get("/admin/tokens").await),
        ("deleted", tab.post(&key_page(&key, "/delete"), &[]).await),
    ] {
        assert!(shown.status.is_success(), "{path}: {}", shown.status);
        let escaped = "&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;&#60;!-- l";
        assert!(shown.has(escaped) && !shown.has("<script>"), "{path}: {}", shown.html);
    }
    let echoed = admin.get("/admin/keys?search=%22%3E%3Cscript%3E").await;
    assert!(echoed.has("No keys match.") && !echoed.has("<script>"));
}
