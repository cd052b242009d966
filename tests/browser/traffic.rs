//! The browser's requests, dialogs and console messages.

use serde_json::Value;

use crate::driver::Browser;

impl Browser {
    /// The addresses that pages have requested so far, without those of the browser's own pages.
    pub(crate) fn requests(&self) -> Vec<String> {
        let sent = self.events("Network.requestWillBeSent").into_iter();
        let by_pages = sent.filter(|request| request["documentURL"].as_str().unwrap().starts_with("http"));
        by_pages.map(|request| request["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// How many `beforeunload` dialogs the browser has opened. The driver accepts each of them.
    pub(crate) fn leave_dialogs(&self) -> usize {
        let dialogs = self.events("Page.javascriptDialogOpening");
        dialogs.iter().filter(|dialog| dialog["type"] == "beforeunload").count()
    }

    /// The errors of the console since the last call: script errors, violations of the content security policy, failed
    /// requests.
    pub(crate) fn console_errors(&self) -> Vec<String> {
        let log = self.run(self.driver.browser_log());
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE");
        severe.map(|entry| entry.message).collect()
    }

    /// All events of one kind so far: their parameters.
    fn events(&self, method: &str) -> Vec<Value> {
        let mut events = self.events.borrow_mut();
        let new = self.run(self.driver.get_log("performance"));
        events.extend(new.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap()));
        let wanted = events.iter().filter(|event| event["message"]["method"] == method);
        wanted.map(|event| event["message"]["params"].clone()).collect()
    }
}
