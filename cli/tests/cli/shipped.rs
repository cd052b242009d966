//! Every configuration that is shipped passes.

use std::fs;
use std::path::Path;

use edge_key_auth_cli::document::{Document, Format};
use serde_json::json;
use test_stack::envoy::configuration::{Setup, Shape, render, template};
use test_stack::ports::Addresses;

use crate::{findings, findings_in};

#[test]
fn the_files_to_copy_have_no_findings() {
    let mut checked = 0;
    for entry in fs::read_dir(test_stack::paths::workspace().join("envoy")).unwrap() {
        let path = entry.unwrap().path();
        let document = |text: &str| Document::read(text, Format::Yaml).unwrap();
        // Some are parts of a file, beside which the whole one configures the filter.
        let files = [template(Shape::Envoy).unwrap(), fs::read_to_string(&path).unwrap()];
        let files = files.iter().map(|text| ("file".to_owned(), document(text))).collect();
        assert_eq!(findings_in(files), [], "{}", path.display());
        checked += 1;
    }
    assert!(checked >= 2, "{checked}");
}

#[test]
fn the_file_of_the_demo_has_no_findings() {
    let addresses = Addresses::demo(0);
    let setup = Setup {
        admin: addresses.envoys[0].admin,
        listener: addresses.envoys[0].listener,
        wasm: Path::new("/target/edge_key_auth.wasm"),
        edge: addresses.edge,
        upstream: addresses.echo,
    };
    let file = render(Shape::Envoy, &template(Shape::Envoy).unwrap(), setup, &json!({})).unwrap();
    assert_eq!(findings(&file, Format::Yaml), []);
}
