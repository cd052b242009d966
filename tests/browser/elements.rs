//! Finds elements as users do: controls by their accessible name, others by their text.

use serde_json::{Value, json};
use thirtyfour::{By, WebElement};

use crate::driver::{Browser, wait};

/// Roles of text fields in the accessibility tree.
const FIELDS: [&str; 2] = ["textbox", "searchbox"];
/// Roles of buttons and links.
const BUTTONS: [&str; 5] = ["link", "button", "checkbox", "radio", "DisclosureTriangle"];

impl Browser {
    /// Waits for the one control of these roles with this name.
    #[track_caller]
    fn control(&self, roles: &[&str], name: &str) -> WebElement {
        let mut seen = Vec::new();
        let found = wait(|| {
            seen = self.controls(roles);
            let mut named = seen.iter().filter(|(_, is)| is == name);
            named.next().filter(|_| named.next().is_none()).map(|(node, _)| node.clone())
        });
        let names = || seen.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        self.element(&found.unwrap_or_else(|| panic!("no single {name:?} among {:?}", names())))
    }

    /// Clicks a control that stays on the page.
    #[track_caller]
    pub(crate) fn click(&self, name: &str) {
        let control = self.control(&BUTTONS, name);
        self.run(control.scroll_into_view());
        self.run(control.click());
    }

    /// Clicks a control that leads to another page, and waits until it is complete.
    #[track_caller]
    pub(crate) fn follow(&self, name: &str) {
        let before = self.document();
        self.click(name);
        self.wait_for_page_after(&before);
    }

    /// Like [`follow`](Self::follow), but does not wait until the page is complete.
    #[track_caller]
    pub(crate) fn follow_unfinished(&self, name: &str) {
        let before = self.document();
        self.click(name);
        self.wait_for_document_after(&before);
    }

    /// Replaces the text of a field.
    #[track_caller]
    pub(crate) fn fill(&self, name: &str, text: &str) {
        let field = self.control(&FIELDS, name);
        self.run(field.clear());
        self.run(field.send_keys(text));
    }

    /// The visible text.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// The page's HTML, including invisible parts.
    pub(crate) fn source(&self) -> String {
        self.run(self.driver.source())
    }

    /// The number of elements that a selector finds.
    #[track_caller]
    pub(crate) fn count(&self, selector: &str) -> u64 {
        self.script(&format!("return document.querySelectorAll('{selector}').length")).as_u64().unwrap()
    }

    /// The value of the field with this id.
    #[track_caller]
    pub(crate) fn value(&self, id: &str) -> String {
        let field = self.run(self.driver.find(By::Id(id.to_owned())));
        self.run(field.value()).unwrap()
    }

    /// The name of the control that has the focus.
    pub(crate) fn focused(&self) -> String {
        let tree = self.cdp("Accessibility.getFullAXTree", json!({}));
        let focused = tree["nodes"].as_array().unwrap().iter().find(|node| {
            let mut properties = node["properties"].as_array().into_iter().flatten();
            node["role"]["value"] != "RootWebArea"
                && properties.any(|of| of["name"] == "focused" && of["value"]["value"] == true)
        });
        focused.map(|node| node["name"]["value"].as_str().unwrap_or_default()).unwrap_or_default().to_owned()
    }

    /// The controls of these roles: the id and the name of each.
    fn controls(&self, roles: &[&str]) -> Vec<(Value, String)> {
        let tree = self.cdp("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let shown = nodes.iter().filter(|node| node["ignored"] == false);
        let controls = shown.filter(|node| roles.iter().any(|role| node["role"]["value"] == *role));
        controls
            .map(|node| {
                let name = node["name"]["value"].as_str().unwrap_or_default().to_owned();
                (node["backendDOMNodeId"].clone(), name)
            })
            .collect()
    }

    /// The element of a node of the accessibility tree. DevTools marks it, and WebDriver finds the mark.
    fn element(&self, node: &Value) -> WebElement {
        let object = self.cdp("DOM.resolveNode", json!({"backendNodeId": node}));
        let mark = format!("mark-{node}");
        self.cdp(
            "Runtime.callFunctionOn",
            json!({
                "objectId": object["object"]["objectId"],
                "functionDeclaration": "function (mark) { this.dataset.mark = mark }",
                "arguments": [{"value": mark}],
            }),
        );
        self.run(self.driver.find(By::Css(format!("[data-mark={mark}]"))))
    }
}
