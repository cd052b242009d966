//! A session that ends while a form is open.

use serde_json::json;

use crate::driver::{PHONE, Viewport, WIDE};
use crate::site::{PASSWORD, Site};

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_form_survives_the_end_of_the_session_on_a_wide_screen() {
    a_form_survives_the_end_of_the_session(WIDE);
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_form_survives_the_end_of_the_session_on_a_phone() {
    a_form_survives_the_end_of_the_session(PHONE);
}

fn a_form_survives_the_end_of_the_session(viewport: Viewport) {
    let site = Site::start(viewport);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");
    site.visit("/account/keys/new");
    site.fill("Label", "Nightly export");
    site.click("All access");
    site.cdp("Network.clearBrowserCookies", json!({}));
    site.follow("Create key");
    assert_eq!(site.path(), "/sign-in");
    assert!(site.text().contains("Your session has ended, so nothing was changed."), "{}", site.text());
    site.look("session-ended");

    site.fill("Email", "ada@example.com");
    site.fill("Password", PASSWORD);
    site.follow("Sign in");
    assert_eq!((site.path().as_str(), site.value("label").as_str()), ("/account/keys/new", "Nightly export"));
    assert!(site.text().contains("Check what you entered, and send it again."), "{}", site.text());
    site.look("form-after-sign-in");
    site.follow("Create key");
    assert!(site.value("key-value").starts_with("phx_"));
    site.visit("/account/keys");
    assert_eq!(site.count(".key-label"), 1, "{}", site.text());
    site.visit("/account/keys/new");
    assert_eq!(site.value("label"), "");
}
