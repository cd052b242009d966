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
    site.follow("I have stored it");
    site.back();
    assert!(!site.source().contains(&value));
}
