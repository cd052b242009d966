//! The metrics for Prometheus.

use reqwest::Method;

use crate::support::scripted_edge::{Edge, LASTS, short_leases};
use crate::support::{DEMO, PASSWORD, Process, TOKEN, client, key_path};

#[tokio::test]
async fn requests_are_counted_by_their_route_and_nothing_that_a_client_sent() {
    let app = Process::start().await;
    let demo = app.demo();
    let key = demo.create_key("counted", &["*"]).await;
    demo.get(&key_path(&key)).await;
    demo.get(key_path(&key).trim_end_matches('/')).await;
    let value = key["value"].as_str().unwrap();
    demo.get(&format!("/api/personal_api_keys/{value}/")).await;
    demo.request(Method::GET, "/no/such/route?secret=7").send().await.unwrap();
    let invented = Method::from_bytes(b"INVENTED").unwrap();
    client().request(invented, format!("{}/no/such", app.public)).send().await.unwrap();

    let scrape = app.scrape().await;
    let labels = r#"listener="public",method="GET",route="/api/personal_api_keys/{id}""#;
    assert_eq!(scrape.value(&format!(r#"key_service_http_requests_total{{{labels},status="200"}}"#)), 2.0);
    assert_eq!(scrape.value(&format!(r#"key_service_http_requests_total{{{labels},status="404"}}"#)), 1.0);
    assert_eq!(scrape.value(&format!("key_service_http_request_duration_seconds_count{{{labels}}}")), 3.0);
    let none = r#"listener="public",method="GET",route="(none)",status="404""#;
    assert_eq!(scrape.value(&format!("key_service_http_requests_total{{{none}}}")), 1.0);
    let other = r#"listener="public",method="other",route="(none)",status="404""#;
    assert_eq!(scrape.value(&format!("key_service_http_requests_total{{{other}}}")), 1.0);
    for sent in [value, "no/such", "secret", "INVENTED", key["id"].as_str().unwrap(), DEMO] {
        assert!(!scrape.text.contains(sent), "{sent}");
    }
}

#[tokio::test]
async fn verdicts_syncs_leases_and_revocations_are_counted() {
    let app = Process::start_with(short_leases).await;
    let demo = app.demo();
    let before = app.scrape().await;
    assert_eq!(before.value("key_service_leases_held"), 0.0);
    assert_eq!(before.value("key_service_lease_lag_revisions"), 0.0);
    assert_eq!(before.value(r#"key_service_syncs_total{outcome="reset"}"#), 0.0);

    let key = demo.create_key("revoked", &["*"]).await;
    app.verify(&[key["value"].as_str().unwrap(), "phx_unknown"]).await;
    let mut edge = Edge::subscribed(&app, "e").await;
    edge.sync(200).await;
    // On a busy machine a sync may have been answered before it is seen to be held.
    let (mut unchanged, mut is_seen) = (1.0, false);
    while !is_seen {
        let holding = tokio::spawn(edge.asks(200).send());
        unchanged += 1.0;
        while !holding.is_finished() {
            is_seen |= app.scrape().await.value("key_service_syncs_held") == 1.0;
        }
        assert!(is_seen || unchanged < 20.0, "no sync is seen to be held");
    }
    let (status, _) = demo.delete(&key_path(&key)).await;
    assert_eq!(status, 200);
    edge.sync(0).await;

    let after = app.scrape().await;
    for (series, value) in [
        (r#"key_service_verdicts_total{outcome="active"}"#, 1.0),
        (r#"key_service_verdicts_total{outcome="inactive"}"#, 1.0),
        (r#"key_service_syncs_total{outcome="reset"}"#, 1.0),
        (r#"key_service_syncs_total{outcome="unchanged"}"#, unchanged),
        (r#"key_service_syncs_total{outcome="changes"}"#, 1.0),
        ("key_service_syncs_held", 0.0),
        ("key_service_revision", 1.0),
        ("key_service_leases_held", 1.0),
        ("key_service_lease_lag_revisions", 1.0),
        (r#"key_service_revocation_edges_total{outcome="acknowledged"}"#, 0.0),
        (r#"key_service_revocation_edges_total{outcome="expired"}"#, 1.0),
        ("key_service_revocation_duration_seconds_count", 1.0),
        (r#"key_service_build_info{version="0.1.0"}"#, 1.0),
    ] {
        assert_eq!(after.value(series), value, "{series}");
    }
    let seconds = after.value("key_service_revocation_duration_seconds_sum");
    let (least, most) = (LASTS.as_secs_f64() / 2.0, (LASTS * 3).as_secs_f64());
    assert!((least..most).contains(&seconds), "{seconds} s");
    edge.sync(0).await;
    assert_eq!(app.scrape().await.value("key_service_lease_lag_revisions"), 0.0);
}

#[tokio::test]
async fn sign_ins_are_counted_by_how_they_end() {
    let app = Process::start().await;
    assert_eq!(app.log_in(DEMO, PASSWORD).await.status(), 200);
    assert_eq!(app.log_in(DEMO, "wrong").await.status(), 401);
    let mut refused = 1.0;
    while app.log_in("somebody@example.com", "wrong").await.status() == 401 {
        refused += 1.0;
        assert!(refused < 100.0, "never throttled");
    }
    let scrape = app.scrape().await;
    assert_eq!(scrape.value(r#"key_service_sign_ins_total{outcome="succeeded"}"#), 1.0);
    assert_eq!(scrape.value(r#"key_service_sign_ins_total{outcome="refused"}"#), refused);
    assert_eq!(scrape.value(r#"key_service_sign_ins_total{outcome="throttled"}"#), 1.0);
}

#[tokio::test]
async fn without_its_database_the_service_still_reports_its_counters() {
    let app = Process::start().await;
    app.alter_tables("ALTER TABLE revision_log RENAME TO gone").await;
    assert_eq!(app.ask(TOKEN, vec![]).send().await.unwrap().status(), 503);
    let scrape = app.scrape().await;
    assert!(!scrape.has("key_service_leases_held"));
    // Verify's, and the scrape's own; perhaps the upkeep's.
    assert!(scrape.value("key_service_database_errors_total") >= 2.0);
}
