//! The pages for admins: users, all keys, tokens, the audit log, edges.

use crate::driver::{PHONE, Viewport, WIDE};
use crate::site::{PASSWORD, Site};

const ADMIN: &str = "grace@example.com";
const MEMBER: &str = "a.member.with.a.rather.long.address@engineering.example.com";

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn an_admin_manages_users_keys_and_tokens_on_a_wide_screen() {
    an_admin_manages_users_keys_and_tokens(WIDE);
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn an_admin_manages_users_keys_and_tokens_on_a_phone() {
    an_admin_manages_users_keys_and_tokens(PHONE);
}

fn an_admin_manages_users_keys_and_tokens(viewport: Viewport) {
    let site = Site::start(viewport);
    site.add_admin(ADMIN);
    let value = a_user_is_added_and_creates_a_key(&site);

    site.sign_in(ADMIN);
    edges_are_shown(&site, &value, viewport);
    permissions_are_removed_and_restored(&site, &value);
    a_user_is_disabled_and_enabled(&site, &value);
    a_service_account_is_added_and_deleted(&site);
    a_key_is_found_and_deleted(&site, &value);
    a_token_is_created_and_revoked(&site);
    site.visit("/admin/audit");
    site.look("audit");
    assert!(site.text().contains(MEMBER));
    entries_are_filtered(&site);
    site.assert_nothing_from_elsewhere();
}

fn entries_are_filtered(site: &Site) {
    site.fill("By", ADMIN);
    site.fill("Concerns", "warehouse");
    site.follow("Search");
    site.look("audit-filtered");
    let actions =
        "return [...document.querySelectorAll('td[data-title=Action]')].map((cell) => cell.innerText)";
    assert_eq!(site.script(actions), serde_json::json!(["Key deleted"]));
    site.follow("Clear");
    assert_eq!(site.path(), "/admin/audit");
}

/// Returns the key's value.
fn a_user_is_added_and_creates_a_key(site: &Site) -> String {
    site.sign_in(ADMIN);
    site.visit("/admin/users/new");
    site.look("user-new");
    site.fill("Email", "not an address");
    site.follow("Add user");
    site.look("user-new-errors");
    site.fill("Email", MEMBER);
    site.click("All access");
    site.follow("Add user");
    site.look("user-link");
    let link = site.value("key-value");
    site.follow("I have stored it");
    site.look("user-without-password");
    site.follow("Sign out");

    site.open(&link);
    site.look("set-password");
    site.fill("Password", PASSWORD);
    site.fill("Repeat the password", "something else");
    site.follow("Save");
    site.look("set-password-errors");
    site.fill("Password", PASSWORD);
    site.fill("Repeat the password", PASSWORD);
    site.follow("Save");
    let value = site.create_key("Warehouse export");
    site.follow("I have stored it");
    site.follow("Sign out");
    value
}

fn edges_are_shown(site: &Site, value: &str, viewport: Viewport) {
    site.visit("/admin/edges");
    site.look("no-edges");
    if viewport.width < WIDE.width {
        navigation_is_one_row(site);
    }
    assert_eq!(site.status_at_the_edge(value), 200);
    site.until("an edge is shown", || {
        site.visit("/admin/edges");
        site.text().contains("Up to date").then_some(())
    });
    site.look("edges");
}

/// The links are beside each other, and the one to this page, the last one, is in view.
fn navigation_is_one_row(site: &Site) {
    let links = site.script(
        "const at = [...document.querySelectorAll('.side a')].map((link) => link.getBoundingClientRect());
        return [at.length > 5, new Set(at.map(({ top }) => Math.round(top))).size, at.at(-1).right <= innerWidth]",
    );
    assert_eq!(links, serde_json::json!([true, 1, true]));
}

fn permissions_are_removed_and_restored(site: &Site, value: &str) {
    site.visit("/admin/users");
    site.look("users");
    site.follow(MEMBER);
    site.look("user");
    site.click("Chosen objects");
    site.follow("Save");
    assert!(site.result().starts_with("Active on"), "{}", site.result());
    assert_eq!(site.status_at_the_edge(value), 403);
    site.look("permissions-changed");
    site.follow("Back to the user");
    site.click("All access");
    site.follow("Save");
    assert_eq!(site.status_at_the_edge(value), 200);
    site.follow("Back to the user");
}

fn a_user_is_disabled_and_enabled(site: &Site, value: &str) {
    site.follow("Disable user");
    site.look("user-disable");
    assert_eq!(site.status_at_the_edge(value), 200, "the page asks first");
    site.follow("Disable user");
    assert!(site.result().starts_with("Refused on"), "{}", site.result());
    assert_eq!(site.status_at_the_edge(value), 401);
    site.look("user-disabled");
    site.follow("Back to the user");
    site.look("disabled-user");
    site.follow("Enable user");
    assert_eq!(site.status_at_the_edge(value), 200);
}

fn a_service_account_is_added_and_deleted(site: &Site) {
    site.visit("/admin/users");
    site.follow("add a service account");
    site.look("service-new");
    site.fill("Name", "nightly-export");
    site.click("Read only");
    site.follow("Add service account");
    site.look("service");
    site.follow("Delete user");
    site.look("user-delete");
    site.follow("Delete user");
    assert!(site.result().starts_with("Refused"), "{}", site.result());
    site.visit("/admin/users");
    assert!(!site.text().contains("service:nightly-export"), "{}", site.text());
}

fn a_key_is_found_and_deleted(site: &Site, value: &str) {
    site.visit("/admin/keys");
    site.look("keys");
    let field = "Label, email or masked value contains";
    site.fill(field, "no such key");
    site.follow("Search");
    site.look("no-key-found");
    site.fill(field, "warehouse");
    site.follow("Search");
    assert!(site.text().contains("Warehouse export"));
    site.follow("Delete");
    site.look("key-delete");
    site.follow("Delete key");
    assert!(site.result().starts_with("Refused on"), "{}", site.result());
    assert_eq!(site.status_at_the_edge(value), 401);
}

fn a_token_is_created_and_revoked(site: &Site) {
    site.visit("/admin/tokens");
    site.look("no-tokens");
    site.follow("Create token");
    site.look("token-new");
    site.fill("Email addresses", "nobody@example.com");
    site.follow("Create token");
    site.look("token-new-errors");
    site.fill("Label", "Terraform");
    site.fill("Email addresses", MEMBER);
    site.follow("Create token");
    site.look("token");
    site.follow("I have stored it");
    site.look("tokens");
    site.follow("Revoke");
    site.look("token-revoke");
    site.follow("Revoke token");
    site.look("token-revoked");
}
