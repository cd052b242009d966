//! A file as Envoy reads it: its value, and the line of each field.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::finding::Finding;

mod path;
mod place;
mod yaml;

pub use path::{join, of_field, of_item};
pub use place::Place;

/// A file.
#[derive(Debug)]
pub struct Document {
    /// Its value.
    pub value: Value,
    /// The problems of the text itself, such as a field that is given twice.
    pub findings: Vec<Finding>,
    lines: BTreeMap<String, usize>,
}

/// The format of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// JSON if the text is JSON, else YAML.
    Either,
}

impl Format {
    /// The format by a file's name, as for Envoy.
    pub fn of_name(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("json") => Format::Json,
            Some("yaml" | "yml") => Format::Yaml,
            _ => Format::Either,
        }
    }
}

/// The text is neither JSON nor YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl Document {
    /// Reads a text.
    ///
    /// # Errors
    /// The text is not of this format.
    pub fn read(text: &str, format: Format) -> Result<Self, SyntaxError> {
        let json = match format {
            Format::Yaml => None,
            Format::Json | Format::Either => Some(serde_json::from_str::<Value>(text)),
        };
        match json {
            Some(Ok(value)) => Ok(Document::of_json(value, text)),
            Some(Err(error)) if format == Format::Json => {
                Err(SyntaxError { line: error.line(), message: format!("is not JSON: {error}") })
            }
            _ => yaml::read(text),
        }
    }

    /// JSON is almost always YAML too, and the reader of YAML knows the lines and the repeated fields. Its values differ:
    /// Envoy reads `1.5` in YAML as a string.
    fn of_json(value: Value, text: &str) -> Self {
        match yaml::read(text) {
            Ok(Document { findings, lines, .. }) => Document { value, findings, lines },
            Err(_) => Document { value, findings: Vec::new(), lines: BTreeMap::new() },
        }
    }

    /// The whole value, with its path.
    pub fn root(&self) -> Place<'_> {
        Place::new(String::new(), &self.value)
    }

    /// The line of a path, or of the innermost field around it.
    pub fn line_of(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}
