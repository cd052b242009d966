//! Labels are shown exactly as users wrote them.

use crate::driver::{PHONE, WIDE};
use crate::site::Site;

const MEMBER: &str = "ada@example.com";
const ADMIN: &str = "grace@example.com";

/// Harmful labels of at most 40 characters.
const LABELS: [&str; 9] = [
    "<script>document.title='x'</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b autofocus onfocus=alert(1)>",
    "</bdi></table><h1>Signed out</h1>",
    "{{7*7}} &lt;b&gt; ''; DROP TABLE keys;--",
    "=HYPERLINK(\"http://evil.example\")",
    "ltr \u{5e2}\u{5d1}\u{5e8}\u{5d9}\u{5ea} (1) xxxxxxxxxxxxxxxxxxxx",
    "\u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629} 7 > 5",
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m",
];

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_label_is_text_wherever_it_is_shown() {
    for viewport in [WIDE, PHONE] {
        let site = Site::start(viewport);
        site.add_user(MEMBER);
        site.add_admin(ADMIN);
        for label in LABELS {
            let args = ["key", "create", "--user", MEMBER, "--label", label, "--scopes", "*"];
            site.stack.key_service().run(&args, "").unwrap_or_else(|error| panic!("{error:#}"));
        }
        admins_read_them(&site);
        their_user_reads_them(&site);
        site.assert_nothing_from_elsewhere();
    }
}

/// The texts of these elements, the last one first.
fn said(site: &Site, selector: &str) -> serde_json::Value {
    site.script(&format!(
        "return [...document.querySelectorAll('{selector}')].map((element) => element.textContent).reverse()"
    ))
}

fn admins_read_them(site: &Site) {
    site.sign_in(ADMIN);
    site.visit("/admin/keys");
    site.look("odd-labels-admin");
    assert_eq!(said(site, ".key-label"), serde_json::json!(LABELS));
    site.visit("/admin/audit?action=key.");
    site.look("odd-labels-audit");
    assert_eq!(said(site, "[href*=subject_id] bdi"), serde_json::json!(LABELS));
    site.follow("Sign out");
}

fn their_user_reads_them(site: &Site) {
    site.sign_in(MEMBER);
    site.look("odd-labels");
    assert_eq!(said(site, ".key-label"), serde_json::json!(LABELS));
    let pages = site.script(
        "return [...document.querySelectorAll('.row-actions a')].map((link) => link.getAttribute('href')).reverse()",
    );
    let pages: Vec<_> = pages.as_array().unwrap().iter().map(|page| page.as_str().unwrap()).collect();
    assert_eq!(pages.len() % LABELS.len(), 0, "{pages:?}");
    for (pages, label) in pages.chunks(pages.len() / LABELS.len()).zip(LABELS) {
        for page in pages {
            site.visit(page);
            let field = site.script("return document.querySelector('#label')?.value");
            assert!(field.is_null() || field == label, "{page}: {field}");
            assert_eq!(said(site, ".subject-name"), serde_json::json!([label]), "{page}");
        }
        let page = |end: &str| *pages.iter().find(|page| page.ends_with(end)).unwrap();
        site.visit(page("/roll"));
        site.follow("Roll key");
        assert_eq!(said(site, ".overline bdi"), serde_json::json!([label]), "the value");
        site.follow("I have stored it");
        site.visit(page("/delete"));
        site.follow("Delete key");
        assert_eq!(said(site, ".subject-name"), serde_json::json!([label]), "the result");
        assert!(site.has_result());
    }
}
