//! YAML as Envoy reads it, which is neither YAML 1.1 nor 1.2. Tried on Envoy 1.40.0 (yaml-cpp):
//!
//! - Plain `true`, `yes`, `on` and `y`, and `false`, `no`, `off` and `n`, are booleans, in lower case, in upper case, or
//!   with a capital first letter. Plain `null`, `Null`, `NULL`, `~` and nothing are null.
//! - Plain whole numbers are numbers if they fit into 32 bits, else strings of their digits. A leading `0x` means
//!   hexadecimal, a leading `0` octal.
//! - Everything else is a string, `1.5` and `5e3` too. Quotes, block scalars and the tag `!` make a string of anything.
//!   After any other tag, text and quotes count as plain: `!!str "off"` is a boolean.
//! - Anchors and aliases work. Merge keys do not: `<<` is a field of that name.
//! - A field may be given twice; Envoy takes the last one. In JSON, Envoy refuses that.
//! - A field with the tag `!ignore` before its name is left out.
//! - Only the first document counts.
//!
//! A deserialising parser would apply its own rules, so this module reads a parser's events.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::{Document, SyntaxError, path};
use crate::finding::Finding;

/// Deeper nesting is refused.
const MAX_DEPTH: usize = 100;

/// More values are refused, because aliases can make a small file expand beyond the memory.
const MAX_VALUES: usize = 1_000_000;

/// Reads the first document of a text.
pub(super) fn read(text: &str) -> Result<Document, SyntaxError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        line: 1,
        lines: BTreeMap::new(),
        anchors: HashMap::new(),
        values: 0,
        findings: Vec::new(),
    };
    let mut value = Value::Null;
    loop {
        match reader.next()? {
            Event::DocumentStart(_) => break,
            Event::StreamEnd => return Ok(reader.finish(value)),
            _ => {}
        }
    }
    let event = reader.next()?;
    reader.value(event, "", 0).map(|found| value = found)?;
    loop {
        match reader.next()? {
            Event::DocumentStart(_) => {
                let message = format!(
                    "line {} begins another document, which Envoy ignores: give it a file of its own",
                    reader.line
                );
                reader.findings.push(Finding::error("", message));
                return Ok(reader.finish(value));
            }
            Event::StreamEnd => return Ok(reader.finish(value)),
            _ => {}
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// The line of the latest event.
    line: usize,
    lines: BTreeMap<String, usize>,
    anchors: HashMap<usize, Value>,
    values: usize,
    findings: Vec<Finding>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Event<'t>, SyntaxError> {
        match self.events.next() {
            Some(Ok((event, Span { start, .. }))) => {
                self.line = start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(syntax_error(&error)),
            None => Ok(Event::StreamEnd),
        }
    }

    fn finish(self, value: Value) -> Document {
        Document { value, findings: self.findings, lines: self.lines }
    }

    fn error(&self, message: &str) -> SyntaxError {
        SyntaxError { line: self.line, message: message.to_owned() }
    }

    fn value(&mut self, event: Event<'t>, path: &str, depth: usize) -> Result<Value, SyntaxError> {
        if depth > MAX_DEPTH {
            return Err(self.error("is nested too deeply"));
        }
        self.lines.entry(path.to_owned()).or_insert(self.line);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()), anchor),
            Event::SequenceStart(anchor, _) => (self.list(path, depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.object(path, depth)?, anchor),
            Event::Alias(anchor) => {
                let Some(value) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error("is an alias inside its own anchor"));
                };
                self.values += size(&value);
                (value, 0)
            }
            _ => return Err(self.error("ends too early")),
        };
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error("has too many values"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn list(&mut self, path: &str, depth: usize) -> Result<Value, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event, &path::of_item(path, items.len()), depth + 1)?),
            }
        }
    }

    fn object(&mut self, path: &str, depth: usize) -> Result<Value, SyntaxError> {
        let mut fields = Map::new();
        loop {
            let (name, is_merge, is_ignored) = match self.next()? {
                Event::MappingEnd => return Ok(Value::Object(fields)),
                Event::Scalar(text, style, anchor, tag) => {
                    if anchor != 0 {
                        self.anchors.insert(anchor, scalar(&text, style, tag.as_deref()));
                    }
                    let is_merge = style == ScalarStyle::Plain && text == "<<";
                    let is_ignored = tag.is_some_and(|tag| tag.handle == "!" && tag.suffix == "ignore");
                    let is_null = style == ScalarStyle::Plain && is_null(&text);
                    (if is_null { "null".to_owned() } else { text.into_owned() }, is_merge, is_ignored)
                }
                Event::Alias(anchor) => match self.anchors.get(&anchor) {
                    Some(Value::String(name)) => (name.clone(), false, false),
                    _ => return Err(self.error("a field name must be a string")),
                },
                _ => return Err(self.error("a field name must be a string")),
            };
            let line = self.line;
            let field = path::of_field(path, &name);
            let event = self.next()?;
            if is_ignored {
                self.value(event, &field, depth + 1)?;
                continue;
            }
            if is_merge {
                self.value(event, &field, depth + 1)?;
                let message =
                    "Envoy does not merge YAML: it reads << as the name of a field. Write the fields out";
                self.findings.push(Finding::error(field, message));
                continue;
            }
            if fields.contains_key(&name) {
                let message = "is given twice, and only the last one counts: remove one";
                self.findings.push(Finding::error(&field, message));
            }
            self.lines.insert(field.clone(), line);
            let value = self.value(event, &field, depth + 1)?;
            fields.insert(name, value);
        }
    }
}

fn syntax_error(error: &ScanError) -> SyntaxError {
    SyntaxError { line: error.marker().line(), message: format!("is not YAML: {}", error.info()) }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_string = match tag {
        None => style != ScalarStyle::Plain,
        Some(tag) => tag.handle.is_empty() && tag.suffix == "!",
    };
    if is_string {
        return Value::String(text.to_owned());
    }
    if is_null(text) {
        return Value::Null;
    }
    if let Some(truth) = boolean(text) {
        return Value::Bool(truth);
    }
    match whole_number(text) {
        Some(number) if i32::try_from(number).is_ok() => Value::from(number),
        Some(number) => Value::String(number.to_string()),
        None => Value::String(text.to_owned()),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let mut capitalised = lower.clone();
    capitalised.get_mut(..1)?.make_ascii_uppercase();
    if ![lower.as_str(), &capitalised, &text.to_ascii_uppercase()].contains(&text) {
        return None;
    }
    match lower.as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// A whole number in the notation of C.
fn whole_number(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        read(text).unwrap().value
    }

    /// `cli/tests/envoy_yaml.rs` compares the same files with what Envoy reads.
    #[test]
    fn scalars_are_read_as_envoy_reads_them() {
        let document = value(include_str!("../../tests/yaml/scalars.yaml"));
        let expected: Value = serde_json::from_str(include_str!("../../tests/yaml/scalars.json")).unwrap();
        assert_eq!(document["node"]["metadata"], expected);
    }

    #[test]
    fn merges_and_repeated_fields_are_pointed_out() {
        let document = read("a: &a { b: 1 }\nc:\n  <<: *a\n  d: 1\n  d: 2\n---\ne: 1\n").unwrap();
        assert_eq!(document.value, json!({"a": {"b": 1}, "c": {"d": 2}}));
        let found: Vec<_> =
            document.findings.iter().map(|found| (found.path.as_str(), found.message.as_str())).collect();
        assert_eq!(found[0].0, r#"c["<<"]"#);
        assert!(
            found[1].0 == "c.d" && found[1].1.contains("given twice") && document.line_of("c.d") == Some(5),
            "{found:?}"
        );
        assert!(found[2].1.contains("line 6 begins another document"), "{found:?}");
    }

    #[test]
    fn lines_are_those_of_fields_and_items() {
        let document = read("a:\n  b:\n    - 1\n    - c: 2\n").unwrap();
        let line = |path: &str| document.line_of(path);
        assert_eq!(
            [line("a"), line("a.b"), line("a.b[1].c"), line("a.b[1].missing.x")],
            [1, 2, 4, 4].map(Some)
        );
        assert_eq!(line("missing"), None);
    }

    #[test]
    fn a_text_that_is_not_yaml_is_refused_with_its_line() {
        for (text, line) in [("a: 1\n b: 2\n", 2), ("a: [1\n", 2), ("a: *b\n", 1), ("? [a]\n: 1\n", 1)] {
            assert_eq!(read(text).unwrap_err().line, line, "{text:?}");
        }
        assert_eq!(value(""), Value::Null);
        let deep = "- ".repeat(200) + "deep";
        assert_eq!(read(&deep).unwrap_err().message, "is nested too deeply");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb += &format!("a{n}: &a{n} [{aliases}]\n");
        }
        assert!(read(&bomb).unwrap_err().message.contains("too many values"));
    }
}
