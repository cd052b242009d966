//! Reads the mode of the filter and of its rules.

use super::Problem;
use super::fields::Fields;
use crate::mode::Mode;

/// The mode of the filter, and a warning if it is shadow.
pub(super) fn filter_mode(fields: &mut Fields<'_>) -> (Mode, Option<Problem>) {
    let mode = take_mode(fields).unwrap_or_default();
    let message = "shadow: nothing is enforced: the filter forwards requests that it would refuse";
    (mode, warning("mode".to_owned(), mode, message))
}

/// The mode of a rule of a filter in the mode `filter`.
pub(super) fn rule_mode(fields: &mut Fields<'_>, filter: Mode) -> Mode {
    let mode = take_mode(fields);
    if mode == Some(Mode::Enforce) && filter.is_shadow() {
        fields.problem(
            "mode",
            "must not be enforce while the whole filter is in shadow mode: an ambiguous request would bypass the rule",
        );
    }
    mode.unwrap_or_default()
}

/// A warning if the mode of the rule at this path is shadow.
pub(super) fn rule_warning(path: &str, mode: Mode) -> Option<Problem> {
    let message = "shadow: this rule is not enforced: the filter forwards requests that it would refuse";
    warning(format!("{path}.mode"), mode, message)
}

fn warning(path: String, mode: Mode, message: &str) -> Option<Problem> {
    mode.is_shadow().then(|| Problem { path, message: message.to_owned() })
}

fn take_mode(fields: &mut Fields<'_>) -> Option<Mode> {
    let text = fields.take_string("mode")?;
    let mode = text.parse().ok();
    if mode.is_none() {
        fields.problem("mode", format!("must be enforce or shadow, not {text:?}"));
    }
    mode
}
