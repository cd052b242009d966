//! Examines the page that is shown with axe-core.

use std::fs;

use test_stack::paths;

use crate::driver::{Browser, SCHEMES};

impl Browser {
    /// What axe-core finds wrong with the page, one line for each element, in each colour scheme; `meanwhile` is
    /// called while a scheme is set.
    pub(crate) fn violations(&self, meanwhile: impl Fn(&str)) -> Vec<String> {
        let axe = fs::read_to_string(paths::tool(paths::AXE_VARIABLE).unwrap()).unwrap();
        // Past the content security policy, which would refuse a script of ours.
        self.evaluate(&axe);
        let mut found = Vec::new();
        for scheme in SCHEMES {
            self.set_scheme(scheme);
            meanwhile(scheme);
            let result = self.evaluate("axe.run({resultTypes: ['violations']})");
            assert_ne!(result["passes"].as_array().unwrap().len(), 0, "axe-core examined nothing");
            for violation in result["violations"].as_array().unwrap() {
                let [rule, help] = ["id", "help"].map(|part| violation[part].as_str().unwrap());
                found.extend(violation["nodes"].as_array().unwrap().iter().map(|node| {
                    let why = node["failureSummary"].as_str().unwrap().replace('\n', " ");
                    format!("{scheme}: {rule}: {help} at {}: {why}", node["target"])
                }));
            }
        }
        self.set_scheme(SCHEMES[0]);
        found
    }
}
