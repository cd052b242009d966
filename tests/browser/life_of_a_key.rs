//! A key from the first admin's first visit to the edge that refuses it.

use crate::driver::{PHONE, Viewport, WIDE};
use crate::site::{PASSWORD, Site};

const EMAIL: &str = "ada@example.com";

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_key_lives_and_dies_on_a_wide_screen() {
    a_key_lives_and_dies(WIDE);
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_key_lives_and_dies_on_a_phone() {
    a_key_lives_and_dies(PHONE);
}

fn a_key_lives_and_dies(viewport: Viewport) {
    let site = Site::start(viewport);
    become_the_first_admin(&site);
    site.follow("Sign out");
    sign_in(&site);
    let first = create(&site);
    use_it(&site, &first);
    let second = roll(&site, &first);
    delete(&site, &second);
    sign_out(&site);
    site.assert_nothing_from_elsewhere();
}

fn become_the_first_admin(site: &Site) {
    site.visit("/");
    assert_eq!(site.path(), "/sign-in");
    let link = site.first_link();
    site.open(&link);
    site.look("first-admin");
    site.fill("Email", EMAIL);
    site.fill("Password", PASSWORD);
    site.fill("Repeat the password", PASSWORD);
    site.follow("Create account");
    assert_eq!(site.path(), "/account/keys");
    assert!(site.source().contains(EMAIL));
    site.open(&link);
    site.look("link-used-up");
    site.visit("/");
}

fn sign_in(site: &Site) {
    site.visit("/");
    assert_eq!(site.path(), "/sign-in");
    site.look("sign-in");
    site.fill("Email", EMAIL);
    site.fill("Password", PASSWORD);
    site.follow("Sign in");
    assert_eq!(site.path(), "/account/keys");
    site.look("no-keys");
}

fn create(site: &Site) -> String {
    site.follow("Create key");
    site.look("create");
    site.fill("Label", "Nightly build");
    site.click("All access");
    site.follow("Create key");
    let value = site.value("key-value");
    site.look("value");

    assert_ne!(site.clipboard(), value);
    site.click("Copy key");
    site.until("the page says that it is copied", || site.text().contains("Copied").then_some(()));
    assert_eq!(site.clipboard(), value);
    site.look("copied");
    site.click("Copy command");
    site.until("the command is copied", || site.clipboard().contains("curl ").then_some(()));
    assert!(site.clipboard().contains(&format!("Bearer {value}")));

    site.follow("I have stored it");
    assert_eq!(site.path(), "/account/keys");
    assert!(!site.source().contains(&value));
    value
}

fn use_it(site: &Site, value: &str) {
    assert!(last_used(site).contains("Never"), "{}", last_used(site));
    assert_eq!(site.status_at_the_edge(value), 200);
    // The edge reports the use with its next sync, within two seconds.
    site.until("the key's last use", || {
        site.visit("/account/keys");
        (!last_used(site).contains("Never")).then_some(())
    });
    site.look("used");
}

/// The last use in the row of the only key.
fn last_used(site: &Site) -> String {
    let cell = site.script("return document.querySelector('[data-title=\"Last used\"]').innerText");
    cell.as_str().unwrap().to_owned()
}

fn roll(site: &Site, old: &str) -> String {
    site.follow("Roll");
    site.look("roll");
    site.click("Stops at once");
    site.follow("Roll key");
    let new = site.value("key-value");
    assert_ne!(new, old);
    assert_refused_everywhere(site);
    assert_eq!((site.status_at_the_edge(old), site.status_at_the_edge(&new)), (401, 200));
    site.look("rolled");
    site.click("Copy key");
    site.until("the page says that it is copied", || site.text().contains("Copied").then_some(()));
    site.follow("I have stored it");
    new
}

fn delete(site: &Site, value: &str) {
    site.follow("Delete");
    site.look("delete");
    assert!(site.text().contains("cannot be undone"));
    assert_eq!(site.status_at_the_edge(value), 200);
    site.follow("Delete key");
    assert_refused_everywhere(site);
    assert_eq!(site.status_at_the_edge(value), 401);
    site.look("deleted");
    site.follow("Back to the keys");
    assert!(site.text().contains("No keys yet"));
}

/// Envoy has two workers, and each that has looked up a key is an edge.
fn assert_refused_everywhere(site: &Site) {
    let result = site.result();
    let everywhere = ["Refused on the only edge after ", "Refused on all 2 edges after "];
    assert!(everywhere.iter().any(|words| result.starts_with(words)), "{result}");
}

fn sign_out(site: &Site) {
    site.follow("Sign out");
    assert_eq!(site.path(), "/sign-in");
    site.look("signed-out");
    site.back();
    assert!(!site.source().contains(EMAIL), "{}", site.source());
    assert_eq!(site.path(), "/sign-in");
}
