//! `edges`.

use serde_json::json;

use crate::support::TestApp;
use crate::support::scripted_edge::Edge;

#[tokio::test]
async fn the_edges_that_hold_a_lease_are_shown_without_their_whole_ids() {
    let app = TestApp::start().await;
    assert_eq!(app.site.json(&["edges", "--json"])["edges"], json!([]));
    Edge::subscribed(&app, "0123456789abcdef").await;
    let table = app.site.ok(&["edges"], "");
    assert!(table.contains("01234567…") && !table.contains("012345678"), "{table}");
    assert_eq!(app.site.json(&["edges", "--json"])["edges"].as_array().unwrap().len(), 1);
}
