//! What the browser asked the network for, and what it complained about.

use serde_json::Value;

use crate::driver::Browser;

impl Browser {
    /// The addresses that pages have requested since this was last asked.
    pub(crate) fn requests(&self) -> Vec<String> {
        let log = self.run(self.driver.get_log("performance"));
        let events = log.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap());
        let asked = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        asked.map(|event| event["message"]["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the console shows in red since this was last asked: scripts' errors, refusals of the content
    /// security policy, failed requests.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.run(self.driver.browser_log());
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE");
        severe.map(|entry| entry.message).collect()
    }
}
