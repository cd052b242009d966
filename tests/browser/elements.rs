//! Finds things as people do: controls by the name that a screen reader says, the rest by its text.

use serde_json::{Value, json};
use thirtyfour::{By, WebElement};

use crate::driver::{Browser, wait};

/// What can be operated, as the accessibility tree calls it.
const CONTROLS: [&str; 9] =
    ["link", "button", "textbox", "searchbox", "checkbox", "radio", "combobox", "Date", "DisclosureTriangle"];

impl Browser {
    /// Waits for the one control with this name, or whose name goes on after it and a space, as in "Delete CI".
    #[track_caller]
    pub(crate) fn control(&self, name: &str) -> WebElement {
        let mut seen = Vec::new();
        let found = wait(|| {
            seen = self.controls();
            let exactly: Vec<_> = seen.iter().filter(|(_, is)| is == name).collect();
            let longer = format!("{name} ");
            let about: Vec<_> = seen.iter().filter(|(_, is)| is.starts_with(&longer)).collect();
            match (exactly.as_slice(), about.as_slice()) {
                ([(node, _)], _) | ([], [(node, _)]) => Some(node.clone()),
                _ => None,
            }
        });
        let names = || seen.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        self.element(&found.unwrap_or_else(|| panic!("no single control {name:?} among {:?}", names())))
    }

    /// Clicks a control that leads nowhere else.
    #[track_caller]
    pub(crate) fn click(&self, name: &str) {
        let control = self.control(name);
        self.run(control.scroll_into_view());
        self.run(control.click());
    }

    /// Clicks a control that leads to another page, and waits for all of that.
    #[track_caller]
    pub(crate) fn follow(&self, name: &str) {
        let before = self.document();
        self.click(name);
        self.wait_for_page_after(&before);
    }

    /// As [`follow`](Self::follow), but a page that is still being sent will do.
    #[track_caller]
    pub(crate) fn follow_unfinished(&self, name: &str) {
        let before = self.document();
        self.click(name);
        self.wait_for_document_after(&before);
    }

    /// Types into a field, instead of what is there.
    #[track_caller]
    pub(crate) fn fill(&self, name: &str, text: &str) {
        let field = self.control(name);
        self.run(field.clear());
        self.run(field.send_keys(text));
    }

    /// What a person can read.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap().to_owned()
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

    /// Each control: a handle, and its name.
    fn controls(&self) -> Vec<(Value, String)> {
        let tree = self.cdp("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let shown = nodes.iter().filter(|node| node["ignored"] == false);
        let controls = shown.filter(|node| CONTROLS.iter().any(|control| node["role"]["value"] == *control));
        controls
            .map(|node| {
                let name = node["name"]["value"].as_str().unwrap_or_default().to_owned();
                (node["backendDOMNodeId"].clone(), name)
            })
            .collect()
    }

    /// The element behind a node of the accessibility tree: marked through one protocol, found through the other.
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
