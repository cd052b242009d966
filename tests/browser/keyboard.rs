//! The page without a mouse.

use thirtyfour::Key;

use crate::driver::WIDE;
use crate::site::Site;

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn the_keyboard_alone_creates_a_key() {
    let site = Site::start(WIDE);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");

    tab_to(&site, "Create key");
    let before = site.document();
    site.press(Key::Enter);
    site.wait_for_page_after(&before);
    assert_eq!(site.focused(), "Label");
    site.press("By keyboard");
    // Tab focuses the selected radio button of a group; the arrow keys select another.
    tab_to(&site, "Chosen objects");
    site.press(Key::Up + Key::Up);
    assert_eq!(site.focused(), "All access");
    site.press(Key::Down + Key::Down);
    tab_to(&site, "Find an object");
    find_one_object(&site);
    tab_to(&site, "None");
    site.press(Key::Right);
    assert_eq!(site.focused(), "Read");
    tab_to(&site, "Create key");
    let before = site.document();
    site.press(Key::Enter);
    site.wait_for_page_after(&before);

    let value = site.value("key-value");
    assert_eq!(site.status_at_the_edge(&value), 200);
    tab_to(&site, "Copy key");
    site.press(Key::Enter);
    site.until("the value is copied", || (site.clipboard() == value).then_some(()));
}

/// Searches in the picker, and leaves one object.
fn find_one_object(site: &Site) {
    let found = || site.script("return document.querySelector('.picker [role=status]').innerText");
    let replace = |old: &str, new: &str| {
        old.chars().for_each(|_| site.press(Key::Backspace));
        site.press(new);
    };
    site.press("no such");
    assert!(found().as_str().unwrap().starts_with("0 of "), "{}", found());
    replace("no such", "settings PROJECTS");
    // Enter does not send the form.
    site.press(Key::Enter);
    assert!(found().as_str().unwrap().starts_with("1 of "), "{}", found());
    site.look("picker-search");
    let shown = "return [...document.querySelectorAll('.picker-row')].filter((row) => row.checkVisibility())
        .map((row) => row.querySelector('code').innerText)";
    assert_eq!(site.script(shown), serde_json::json!(["project"]));
    let open = || site.script("return document.querySelectorAll('.picker details[open]').length");
    replace("settings PROJECTS", "");
    assert_eq!((found(), open()), ("".into(), 1.into()), "as before the search");
    site.press("settings projects");
}

/// Presses Tab until the focus, which must be visible, is on this control.
#[track_caller]
fn tab_to(site: &Site, name: &str) {
    let mut passed = Vec::new();
    for _ in 0..100 {
        site.press(Key::Tab);
        let focused = site.focused();
        if focused == name {
            let outline = site.script("return getComputedStyle(document.activeElement).outlineStyle");
            let shadow = site.script("return getComputedStyle(document.activeElement).boxShadow");
            assert!(outline != "none" || shadow != "none", "{name} has the focus, but does not show it");
            return;
        }
        passed.push(focused);
    }
    panic!("Tab does not lead to {name:?}, but to {passed:?}");
}
