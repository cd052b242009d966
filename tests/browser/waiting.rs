//! The page shows that a change waits for an edge that does not respond.

use crate::driver::WIDE;
use crate::site::Site;

#[test]
#[ignore = "needs a browser and Envoy: cargo xtask test"]
fn a_delete_shows_that_it_waits_for_an_edge_until_its_cache_has_expired() {
    let site = Site::start(WIDE);
    site.add_user("ada@example.com");
    site.sign_in("ada@example.com");
    let value = site.create_key("Production");
    assert_eq!(site.status_at_the_edge(&value), 200);
    site.follow("I have stored it");
    site.follow("Delete");

    let envoy = site.stack.envoys()[0].process();
    envoy.pause().unwrap();
    site.follow_unfinished("Delete key");
    site.until("the wait is shown", || site.text().contains("still waiting for").then_some(()));
    site.screenshot("waiting");
    site.until("the result", || site.has_result().then_some(()));
    envoy.resume().unwrap();
    assert!(site.result().contains("its cache has expired"), "{}", site.result());
    assert_eq!(site.status_at_the_edge(&value), 401);
    site.look("cache-expired");
}
