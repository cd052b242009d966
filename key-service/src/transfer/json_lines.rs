//! The JSON form of a line.

use std::io::{BufRead, BufReader, Read};

use serde_json::{Map, Value};

use super::line::{Refused, Written};
use super::read::{MAX_LINE_BYTES, ReadError, field_index, quoted};
use super::{FIELDS, LISTS};

/// Reads lines.
pub(super) struct JsonReader<R> {
    reader: BufReader<R>,
    number: u64,
    text: Vec<u8>,
    /// Whether a line so far has the field.
    named: [bool; FIELDS.len()],
}

impl<R: Read> JsonReader<R> {
    pub(super) fn new(input: R) -> Self {
        JsonReader {
            reader: BufReader::new(input),
            number: 0,
            text: Vec::new(),
            named: [false; FIELDS.len()],
        }
    }

    /// Whether a line so far has the field, be it null.
    pub(super) fn names(&self, field: usize) -> bool {
        self.named[field]
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Result<Written, Refused>>, ReadError> {
        loop {
            self.number += 1;
            self.text.clear();
            let failed = |source| ReadError::Io { line: self.number, source };
            let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64);
            let read = limited.read_until(b'\n', &mut self.text).map_err(failed)?;
            if read == MAX_LINE_BYTES {
                let message = format!("longer than {MAX_LINE_BYTES} bytes");
                return Err(failed(std::io::Error::other(message)));
            }
            if read == 0 {
                return Ok(None);
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(Some(self.written()));
            }
        }
    }

    fn written(&mut self) -> Result<Written, Refused> {
        let number = self.number;
        let refused = |field, reason: &str| Err(Refused::new(number, field, reason));
        let Ok(object) = serde_json::from_slice::<Map<String, Value>>(&self.text) else {
            return refused("", "not a JSON object");
        };
        let mut written = Written { number, ..Written::default() };
        for (name, value) in object {
            let Some(index) = field_index(&name) else {
                return refused("", &format!("unknown field{}", quoted(&name)));
            };
            self.named[index] = true;
            written.fields[index] = match value {
                Value::Null => None,
                Value::String(text) => Some(text).filter(|text| !text.is_empty()),
                list @ Value::Array(_) if LISTS.contains(&FIELDS[index]) => Some(list.to_string()),
                _ => return refused(FIELDS[index], "not a string"),
            };
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Written, Refused>> {
        let mut reader = JsonReader::new(text.as_bytes());
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    #[test]
    fn a_line_is_an_object_of_strings() {
        let lines =
            read("\n{\"email\":\"a@b.c\",\"label\":\"'=1\",\"scopes\":[\"*\"],\"expires_at\":null}\n");
        let mut expected = Written { number: 2, ..Written::default() };
        expected.fields[0] = Some("a@b.c".into());
        expected.fields[1] = Some("'=1".into());
        expected.fields[3] = Some("[\"*\"]".into());
        assert_eq!(lines, [Ok(expected)]);
    }

    #[test]
    fn an_odd_line_is_refused_and_the_next_is_read() {
        let lines = read("nothing\n{\"label\":7}\n{\"expires\":\"\"}\n{\"phx_a\":\"\"}\n{}");
        assert_eq!(lines[0], Err(Refused::new(1, "", "not a JSON object")));
        assert_eq!(lines[1], Err(Refused::new(2, "label", "not a string")));
        assert_eq!(lines[2], Err(Refused::new(3, "", "unknown field (\"expires\")")));
        assert_eq!(lines[3], Err(Refused::new(4, "", "unknown field")), "a value may stand there");
        assert!(lines[4].is_ok());
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let endless = "x".repeat(2 * MAX_LINE_BYTES);
        assert!(JsonReader::new(endless.as_bytes()).next().is_err());
    }
}
