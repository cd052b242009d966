//! Examines the page that is shown with axe-core.

use std::fs;

use serde_json::{Value, json};
use xtask::paths;

use crate::driver::{Browser, SCHEMES};

impl Browser {
    /// What axe-core finds wrong with the page, in each colour scheme: one line for each element.
    pub(crate) fn violations(&self) -> Vec<String> {
        let axe = fs::read_to_string(paths::tool(paths::AXE_VARIABLE).unwrap()).unwrap();
        // Past the content security policy, which would refuse a script of ours.
        self.evaluate(&axe);
        let mut found = Vec::new();
        for scheme in SCHEMES {
            self.set_scheme(scheme);
            let result = self.evaluate("axe.run({resultTypes: ['violations']})");
            assert_ne!(result["passes"].as_array().unwrap().len(), 0, "axe-core examined nothing");
            for violation in result["violations"].as_array().unwrap() {
                found.extend(violation["nodes"].as_array().unwrap().iter().map(|node| {
                    format!(
                        "{} ({scheme}): {}: {} at {}: {}",
                        self.path(),
                        violation["id"],
                        violation["help"],
                        node["target"],
                        node["html"]
                    )
                }));
            }
        }
        self.set_scheme(SCHEMES[0]);
        found
    }

    /// The value of an expression, once it has settled.
    #[track_caller]
    fn evaluate(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.cdp("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }
}
