//! Input and output of the commands, on a terminal or for a script.

use std::io::{self, BufRead, BufWriter, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::error::CliError;
use crate::accounts::passwords::{MIN_PASSWORD_CHARS, NewPassword};
use crate::time::Timestamp;
use crate::validation::is_bidi_control;

/// Whether a terminal would interpret a character instead of showing it, or change the reading direction.
fn steers(c: char) -> bool {
    c.is_control() || is_bidi_control(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A text from a user, safe to print: characters that could steer the terminal are escaped.
pub(super) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// JSON for the terminal: its own escapes leave characters above U+001F that steer a terminal.
fn harmless_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c > '\u{1f}' && steers(c) {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Prints rows in columns as wide as their widest cell. The cells are escaped.
pub(super) fn print_table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let head = head.map(str::to_owned);
    let rows = || std::iter::once(&head).chain(rows).map(|row| row.each_ref().map(|cell| harmless(cell)));
    let mut widths = [0; N];
    for row in rows() {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = cell.width().max(*width);
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for row in rows() {
        writeln!(out, "{}", in_columns(&row, &widths))?;
    }
    out.flush()
}

/// One line of a table. A character of a double width fills two places of a terminal.
fn in_columns(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
    }
    line.truncate(line.trim_end().len());
    line
}

/// A time in a table.
pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_owned(), |at| at.to_string())
}

/// A number of things: `1 key`, `2 keys`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Prints one line to standard output, for scripts.
pub(super) fn print_line(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let json = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    Ok(print_line(&harmless_json(&json))?)
}

/// Prints a value as JSON on a single line.
pub(super) fn print_json_line(value: &impl Serialize) -> Result<(), CliError> {
    let json = serde_json::to_string(value).map_err(io::Error::other)?;
    Ok(print_line(&harmless_json(&json))?)
}

/// Prints a message for people on standard error, so that scripts do not read it.
pub(super) fn print_message(message: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{}", harmless(message))
}

/// Reads the first line of standard input, without its end.
pub(super) fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads a new password from standard input, or asks for it twice without showing it. `email` is the user's address.
pub(super) fn read_new_password(from_stdin: bool, email: &str) -> Result<NewPassword, CliError> {
    let checked = |text: String| {
        let password = NewPassword::try_from(text);
        let password = password.and_then(|password| password.check_for(email).map(|()| password));
        password.map_err(|violation| violation.of("password"))
    };
    if from_stdin {
        return Ok(checked(read_line()?)?);
    }
    let prompt = format!("Password ({MIN_PASSWORD_CHARS} characters or more): ");
    let password = checked(rpassword::prompt_password(prompt).map_err(CliError::Prompt)?)?;
    let again = rpassword::prompt_password("Again: ").map_err(CliError::Prompt)?;
    if password.is(&again) { Ok(password) } else { Err(CliError::PasswordsDiffer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_could_steer_a_terminal_are_escaped() {
        assert_eq!(harmless("CI é 鍵"), "CI é 鍵");
        assert_eq!(harmless("a\u{1b}[2Jb\r\n\u{9b}c"), r"a\u{1b}[2Jb\r\n\u{9b}c");
        for bidi in ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}'] {
            assert_eq!(harmless(&format!("a{bidi}b")), format!("a{}b", bidi.escape_default()));
        }
    }

    #[test]
    fn columns_align_with_wide_and_combining_characters() {
        for (cell, shown) in [("CI", "CI    end"), ("鍵", "鍵    end"), ("e\u{301}", "e\u{301}     end")] {
            assert_eq!(in_columns(&[cell.to_owned(), "end".to_owned()], &[4, 3]), shown);
        }
    }

    #[test]
    fn json_says_the_same_without_steering_a_terminal() {
        let text = "a\u{9b}\u{7f}\u{1b}\u{202e}\u{61c}é";
        let json = harmless_json(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(steers), "{json:?}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
