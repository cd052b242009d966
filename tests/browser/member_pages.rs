//! Pages outside the life of a key: the account, errors, and forms with invalid values.

use crate::driver::{PHONE, Viewport, WIDE};
use crate::site::{PASSWORD, Site};

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn every_page_is_accessible_and_fits_a_wide_screen() {
    every_page_is_accessible_and_fits(WIDE);
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn every_page_is_accessible_and_fits_a_phone() {
    every_page_is_accessible_and_fits(PHONE);
}

fn every_page_is_accessible_and_fits(viewport: Viewport) {
    let site = Site::start(viewport);
    site.add_user("ada@example.com");

    site.visit("/sign-in");
    site.fill("Email", "ada@example.com");
    site.fill("Password", "not the password");
    site.follow("Sign in");
    site.look("wrong-password");
    assert!(site.text().contains("wrong"), "{}", site.text());

    site.sign_in("ada@example.com");
    site.visit("/account");
    site.look("account");
    site.fill("Current password", PASSWORD);
    site.fill("New password", "short");
    site.fill("Repeat the password", "different");
    site.follow("Change password");
    site.look("account-errors");

    site.visit("/account/keys/new");
    site.fill("Label", &"x".repeat(41));
    site.follow("Create key");
    site.look("create-errors");
    assert!(site.text().contains("40 characters"), "{}", site.text());

    site.visit("/no-such-page");
    site.look("not-found");
    site.visit("/admin/users");
    site.look("not-for-members");
    site.assert_nothing_from_elsewhere();
}
