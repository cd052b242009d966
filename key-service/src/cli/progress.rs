//! Shows the progress of a long input on the terminal.

use std::fs::File;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; hidden if that is not a terminal. Without a size, it counts.
pub(super) fn of_reading(file: Option<&File>) -> ProgressBar {
    let is_file = |metadata: &std::fs::Metadata| metadata.is_file();
    let size = file.and_then(|file| file.metadata().ok()).filter(is_file).map(|metadata| metadata.len());
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:20} {bytes} of {total_bytes}, {eta} left  {wide_msg}"),
        None => (ProgressBar::no_length(), "{spinner} {bytes}, {bytes_per_sec}  {wide_msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
