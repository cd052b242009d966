//! The edges that hold a lease.

use crate::support::scripted_edge::Edge;
use crate::support::{TestApp, key_path};

#[tokio::test]
async fn the_edges_that_hold_a_lease_are_shown_without_their_whole_ids() {
    let app = TestApp::start().await;
    let demo = app.demo();
    let admin = app.admin();
    let lagging = Edge::subscribed(&app, "11111111-of-an-edge").await;
    let key = demo.create_key("one", &["*"]).await;
    let deleting = tokio::spawn({
        let demo = demo.clone();
        async move { demo.delete(&key_path(&key)).await }
    });
    let edges = loop {
        let (_, edges) = admin.get("/api/edges/").await;
        if edges["revision"].as_u64() > Some(0) {
            break edges;
        }
    };
    let shown = &edges["edges"][0];
    assert_eq!(shown["edge"], "11111111…");
    assert!(shown["acknowledged"].as_u64() < edges["revision"].as_u64(), "{edges}");
    let left = shown["lease_ends_in_ms"].as_u64().unwrap();
    assert!((1..=7_000).contains(&left), "{edges}");
    drop(lagging);
    assert_eq!(deleting.await.unwrap().0, 200);
}
