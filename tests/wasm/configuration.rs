//! The configuration, and what the log says about it.

use crate::host::{Host, Setup};
use crate::{CONFIGURATION, forwarded, status};

#[test]
fn a_bad_configuration_is_refused_with_every_problem_in_the_log() {
    let log = Host::start(r#"{"key_service":{"cluster":""},"realms":"x"}"#).err().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].starts_with("configuration refused: key_service.cluster: is required"), "{log:?}");
    assert!(log[1].starts_with("configuration refused: realms: unknown field"), "{log:?}");
    let log = Host::start_as(&Setup { environment: &["OTHER=1"], ..Setup::default() }, CONFIGURATION)
        .err()
        .unwrap();
    assert!(log[0].contains("the environment variable EDGE_TOKEN holds no token"), "{log:?}");
}

#[test]
fn rules_that_letter_case_leads_around_are_named_in_the_log() {
    let json = r#"{"key_service":{"cluster":"k"},
        "routes":[{"path":"/admin","scope":"*"},{"path":"/{*rest}","public":true}]}"#;
    let mut host = Host::start(json).unwrap_or_else(|log| panic!("{log:?}"));
    let log = host.take_log();
    assert!(log.len() == 1 && log[0].starts_with("configuration: routes[1]: "), "{log:?}");
    let request = host.get("/Admin/", &[]);
    forwarded(host.outcome(request));
    let insensitive = json.replace("\"routes\"", "\"path_case\":\"insensitive\",\"routes\"");
    let mut host = Host::start(&insensitive).unwrap_or_else(|log| panic!("{log:?}"));
    assert_eq!(host.take_log(), Vec::<String>::new());
    let request = host.get("/Admin/", &[]);
    assert_eq!(status(host.outcome(request)), (401, "key_missing".into()));
}
