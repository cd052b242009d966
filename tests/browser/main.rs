//! The page in a real browser, with the key service behind it and an Envoy that goes by its keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation should stop the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests measure and wait by the real clock, and read their own settings"
)]

mod axe;
mod driver;
mod elements;
mod site;
mod traffic;

mod admin_pages;
mod keyboard;
mod labels;
mod life_of_a_key;
mod member_pages;
mod openid;
mod session_end;
mod shown_once;
mod waiting;
