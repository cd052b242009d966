//! What people write is shown as they wrote it.

use crate::driver::{PHONE, WIDE};
use crate::site::Site;

/// What a label could do harm with, in 40 characters or less.
const LABELS: [&str; 7] = [
    "<script>document.title='x'</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b autofocus onfocus=alert(1)>",
    "</bdi></table><h1>Signed out</h1>",
    "{{7*7}} &lt;b&gt; ''; DROP TABLE keys;--",
    "=HYPERLINK(\"http://evil.example\")",
    "ltr \u{202e}rtl\u{2066} xxxxxxxxxxxxxxxxxxxxxxxxxx",
];

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_label_is_text_wherever_it_is_shown() {
    for viewport in [WIDE, PHONE] {
        let site = Site::start(viewport);
        site.add_user("ada@example.com");
        for label in LABELS {
            let args = ["key", "create", "--user", "ada@example.com", "--label", label, "--scopes", "*"];
            site.stack.key_service().run(&args, "").unwrap_or_else(|error| panic!("{error:#}"));
        }
        site.sign_in("ada@example.com");
        site.look("odd-labels");
        let shown = site.script(
            "return [...document.querySelectorAll('.key-label')].map((label) => label.textContent).reverse()",
        );
        assert_eq!(shown, serde_json::json!(LABELS));
        let links = site.script(
            "return [...document.querySelectorAll('.row-actions a')].map((link) => link.getAttribute('href'))",
        );
        for link in links.as_array().unwrap() {
            site.visit(link.as_str().unwrap());
            let held = site.script(
                "const subject = document.querySelector('.subject-name');
                const field = document.querySelector('#label');
                return [subject.textContent, field ? field.value : subject.textContent]",
            );
            assert_eq!(held[0], held[1]);
            assert!(LABELS.iter().any(|label| held[0] == *label), "{held}");
        }
        site.assert_nothing_from_elsewhere();
    }
}
