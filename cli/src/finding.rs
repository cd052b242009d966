//! What is wrong with a file, or could be better.

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Envoy or the filter refuses the file, or requests pass unchecked.
    Error,
    /// The file works, and probably not as meant.
    Hint,
}

impl Severity {
    /// The word in the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Hint => "hint",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The path of the field in the file; empty for the file as a whole.
    pub path: String,
    /// What is wrong, and the mend.
    pub message: String,
}

impl Finding {
    /// An error.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Error, path: path.into(), message: message.into() }
    }

    /// A hint.
    pub fn hint(path: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { severity: Severity::Hint, path: path.into(), message: message.into() }
    }
}
