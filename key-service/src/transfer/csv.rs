//! The CSV form of a line.
//!
//! A spreadsheet reads a cell as a formula if it begins with `=`, `+`, `-`, `@`, a tab or a line break. The writer puts a
//! `'` before such a cell, and before one that begins so after any number of `'`. The reader removes one `'` from exactly
//! these cells, so every text is read as it was written.

use std::io::{self, BufRead, BufReader, Read, Write};

use csv::{ByteRecord, QuoteStyle, Reader, ReaderBuilder, Writer, WriterBuilder};
use memchr::{memchr, memchr_iter};

use super::line::{Refused, Written};
use super::read::{MAX_LINE_BYTES, ReadError, field_index, quoted, require_fields};
use super::{FIELDS, REQUIRED};

fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
}

/// A cell that no spreadsheet reads as a formula.
fn guarded(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// The text of a guarded cell.
fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|_| is_formula(text)).unwrap_or(text)
}

/// Writes rows of cells.
pub(crate) struct CsvWriter<W: Write>(Writer<W>);

impl<W: Write> CsvWriter<W> {
    /// Starts with the names of the columns.
    pub(crate) fn new(output: W, columns: &[&str]) -> io::Result<Self> {
        // With quotes, spreadsheets in every locale see only the comma as separator.
        let mut writer = WriterBuilder::new().quote_style(QuoteStyle::Always).from_writer(output);
        writer.write_record(columns)?;
        Ok(CsvWriter(writer))
    }

    pub(crate) fn row(&mut self, cells: &[&str]) -> io::Result<()> {
        Ok(self.0.write_record(cells.iter().map(|cell| guarded(cell)))?)
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Reads lines.
pub(super) struct CsvReader<R> {
    reader: Reader<ByLine<R>>,
    record: ByteRecord,
    /// The field of each column.
    columns: Vec<usize>,
}

impl<R: Read> CsvReader<R> {
    /// Reads the names of the columns.
    pub(super) fn new(input: R) -> Result<Self, ReadError> {
        let input = ByLine { input: BufReader::new(input), left: MAX_LINE_BYTES, lines: 0, is_within: false };
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(input);
        let head = reader.byte_headers().map_err(|error| failed(1, error))?;
        if head.get(0).is_some_and(|name| name.trim_ascii_start().starts_with(b"{")) {
            return Err(ReadError::Json);
        }
        let column = |(at, name)| {
            let name = String::from_utf8_lossy(name);
            field_index(name.trim()).ok_or_else(|| ReadError::Unknown(at + 1, quoted(name.trim())))
        };
        let columns = head.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        for (at, column) in columns.iter().enumerate() {
            if columns[..at].contains(column) {
                return Err(ReadError::Repeated(FIELDS[*column]));
            }
        }
        require_fields(&FIELDS[..REQUIRED], &columns)?;
        Ok(CsvReader { reader, record: ByteRecord::new(), columns })
    }

    /// Whether the file has a column for the field.
    pub(super) fn names(&self, field: usize) -> bool {
        self.columns.contains(&field)
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Result<Written, Refused>>, ReadError> {
        self.reader.get_mut().left = MAX_LINE_BYTES;
        let begins = self.reader.get_ref().lines + 1;
        if !self.reader.read_byte_record(&mut self.record).map_err(|error| failed(begins, error))? {
            return Ok(None);
        }
        // The first line of the record: its last line minus the line breaks within its cells.
        let within: usize = self.record.iter().map(|cell| memchr_iter(b'\n', cell).count()).sum();
        let number = self.reader.get_ref().lines - within as u64;
        Ok(Some(self.written(number)))
    }

    fn written(&self, number: u64) -> Result<Written, Refused> {
        let (cells, columns) = (self.record.len(), self.columns.len());
        if cells != columns {
            return Err(Refused::new(number, "", format!("{cells} cells, but {columns} columns")));
        }
        let mut written = Written { number, ..Written::default() };
        for (cell, &column) in self.record.iter().zip(&self.columns) {
            let text =
                std::str::from_utf8(cell).map_err(|_| Refused::new(number, FIELDS[column], "not UTF-8"))?;
            written.fields[column] = Some(unguarded(text).to_owned()).filter(|text| !text.is_empty());
        }
        Ok(written)
    }
}

fn failed(line: u64, error: csv::Error) -> ReadError {
    ReadError::Io { line, source: error.into() }
}

/// Input that is passed on line by line, so that the current line is known. The length of a record is limited: an unclosed
/// quotation mark would otherwise make the rest of the file one record.
struct ByLine<R> {
    input: BufReader<R>,
    left: usize,
    /// The number of lines passed on, and whether the last one is incomplete.
    lines: u64,
    is_within: bool,
}

impl<R: Read> Read for ByLine<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let message = format!("longer than {MAX_LINE_BYTES} bytes; is a quotation mark not closed?");
            return Err(io::Error::other(message));
        }
        let seen = self.input.fill_buf()?;
        let seen = &seen[..seen.len().min(buffer.len())];
        let end = memchr(b'\n', seen).map(|at| at + 1);
        let read = end.unwrap_or(seen.len());
        buffer[..read].copy_from_slice(&seen[..read]);
        if read > 0 {
            self.lines += u64::from(!self.is_within);
            self.is_within = end.is_none();
        }
        self.input.consume(read);
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::line::tests::written;

    fn read(text: &str) -> Result<Vec<Result<Written, Refused>>, ReadError> {
        let mut reader = CsvReader::new(text.as_bytes())?;
        let mut all = Vec::new();
        while let Some(line) = reader.next()? {
            all.push(line);
        }
        Ok(all)
    }

    #[test]
    fn every_text_comes_back_as_it_was_and_none_is_a_formula() {
        let labels = [
            "=1+1",
            "'=1+1",
            "''@x",
            "+",
            "-1",
            "@SUM(A1)",
            "'plain",
            "'",
            "a\"b,c;d",
            "two\nlines",
            "\tx",
            "é 鍵",
        ];
        let mut file = Vec::new();
        let mut writer = CsvWriter::new(&mut file, &FIELDS).unwrap();
        for label in labels {
            writer.row(&["a@b.c", label, "", "", "", "", "", "", "", "", ""]).unwrap();
        }
        writer.finish().unwrap();
        let text = String::from_utf8(file).unwrap();
        for formula in ['=', '+', '-', '@', '\t'] {
            assert!(!text.contains(&format!("\"{formula}")), "{text}");
        }
        let back: Vec<_> =
            read(&text).unwrap().into_iter().map(|line| line.unwrap().fields[1].clone()).collect();
        assert_eq!(back, labels.map(|label| Some(label.to_owned())));
    }

    #[test]
    fn columns_stand_in_any_order_and_four_are_enough() {
        let lines = read("\u{feff}scopes, label ,email,secure_value\r\n*,CI,a@b.c,x\r\n").unwrap();
        let mut expected = written(&["a@b.c", "CI", "x", "*"]);
        expected.number = 2;
        assert_eq!(lines, [Ok(expected)]);
    }

    #[test]
    fn a_head_that_is_none_is_refused() {
        assert!(matches!(read("email,label,secure_value\n"), Err(ReadError::Missing("scopes"))));
        let unknown = read("email,label,secure_value,scopes,expires\n");
        assert!(matches!(unknown, Err(ReadError::Unknown(5, _))));
        assert!(matches!(read("email,email,label"), Err(ReadError::Repeated("email"))));
        assert!(matches!(read(""), Err(ReadError::Missing("email"))));
    }

    #[test]
    fn an_odd_line_is_refused_by_its_number_and_the_next_is_read() {
        let file = "email,label,secure_value,scopes\na,\"two\nlines\",b,c\nd,e\n\nf,g,h,i\n";
        let lines = read(file).unwrap();
        assert_eq!(lines[0].as_ref().unwrap().number, 2);
        assert_eq!(lines[1], Err(Refused::new(4, "", "2 cells, but 4 columns")));
        assert_eq!(lines[2].as_ref().unwrap().number, 6);
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let endless = format!("email,label,secure_value,scopes\na,\"{}", "x".repeat(3 * MAX_LINE_BYTES));
        let error = read(&endless).unwrap_err();
        assert!(matches!(error, ReadError::Io { line: 2, .. }), "{error}");
    }
}
