//! A value that is shown once is not left by mistake.

use crate::driver::WIDE;
use crate::site::Site;

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn leaving_a_value_that_was_not_copied_is_warned_of() {
    let site = Site::start(WIDE);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");
    let leave = || {
        let before = site.leave_dialogs();
        site.follow("Account");
        assert_eq!(site.path(), "/account");
        site.leave_dialogs() - before
    };

    site.create_key("Not copied");
    assert_eq!(leave(), 1);
    site.create_key("Copied");
    site.click("Copy key");
    site.until("the page says that it is copied", || site.text().contains("Copied").then_some(()));
    assert_eq!(leave(), 0);
    site.create_key("Stored");
    site.follow("I have stored it");
    assert_eq!((leave(), site.leave_dialogs()), (0, 1));
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_value_is_not_shown_again() {
    let site = Site::start(WIDE);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");
    let value = site.create_key("Production");
    site.click("Copy key");
    site.until("the page says that it is copied", || site.text().contains("Copied").then_some(()));
    let was_shown_once = || {
        assert!(site.text().contains("The value was shown once"), "{}", site.text());
        assert!(!site.source().contains(&value));
    };
    site.reload();
    was_shown_once();
    site.look("shown-once");
    site.visit("/account/keys");
    assert_eq!(site.count(".key-label"), 1, "a reload creates nothing");
    site.back();
    was_shown_once();
    site.follow("Roll key");
    assert_eq!(site.path().split('/').next_back(), Some("roll"));

    let second = site.create_key("Staging");
    site.follow("I have stored it");
    site.back();
    assert!(site.text().contains("The value was shown once") && !site.source().contains(&second));
}

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn two_tabs_create_two_keys_and_a_double_click_creates_one() {
    let site = Site::start(WIDE);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");
    let prepare = |label| {
        site.visit("/account/keys/new");
        site.fill("Label", label);
        site.click("All access");
    };
    prepare("in the first tab");
    let first = site.run(site.driver.window());
    let second = site.run(site.driver.new_tab());
    site.run(site.driver.switch_to_window(second.clone()));
    prepare("in the second tab");
    // Both are sent before either result is read.
    site.script("document.querySelector('main form').requestSubmit()");
    site.run(site.driver.switch_to_window(first));
    site.follow("Create key");
    let shown = |label: &str| {
        site.until("the value", || (site.count("#key-value") == 1).then_some(()));
        assert!(site.text().contains(label), "{}", site.text());
        site.value("key-value")
    };
    let first_value = shown("in the first tab");
    site.run(site.driver.switch_to_window(second));
    assert_ne!(shown("in the second tab"), first_value);

    prepare("twice");
    let before = site.document();
    site.script(
        "const button = document.querySelector('main form .primary'); button.click(); button.click()",
    );
    site.wait_for_page_after(&before);
    shown("twice");
    site.visit("/account/keys");
    assert_eq!(site.count(".key-label"), 3, "{}", site.text());
}
