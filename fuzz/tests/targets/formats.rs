//! Shared by the targets: inputs that consist of words, and writers of the formats that the code under test only reads.

use serde_json::Value;

/// Makes a text from an input: printable ASCII, tabs and line feeds are copied, any other byte means one of the words. So
/// random inputs are often valid, and most inputs of a corpus are readable.
pub(crate) fn expand(input: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in input {
        match byte {
            b'\n' | b'\t' | b' '..=b'~' => text.push(byte),
            _ => text.extend(words.get(usize::from(byte) % words.len()).copied().unwrap_or_default()),
        }
    }
    text
}

/// A header list as a proxy-wasm host serialises it. Names need not be UTF-8, unlike those of the filter's own
/// `serialise`.
pub(crate) fn header_block(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    let size = |text: &[u8]| (text.len() as u32).to_le_bytes();
    let mut block = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        block.extend(size(name));
        block.extend(size(value));
    }
    for (name, value) in headers {
        block.extend([name, &b"\0"[..], value, b"\0"].concat());
    }
    block
}

/// Decodes percent-encoded text. An invalid escape stands for itself.
pub(crate) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => std::str::from_utf8(&[*high, *low])
                .ok()
                .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}

/// A JSON object as a serialised `google.protobuf.Struct`, with every number a double; empty for other values.
pub(crate) fn protobuf_struct(value: &Value) -> Vec<u8> {
    let mut message = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let mut entry = Vec::new();
        push_bytes(&mut entry, 1, key.as_bytes());
        push_bytes(&mut entry, 2, &protobuf_value(value));
        push_bytes(&mut message, 1, &entry);
    }
    message
}

fn protobuf_value(value: &Value) -> Vec<u8> {
    let mut message = Vec::new();
    match value {
        Value::Null => message.extend([1 << 3, 0]),
        Value::Number(number) => {
            message.push(2 << 3 | 1);
            message.extend(number.as_f64().unwrap_or_default().to_le_bytes());
        }
        Value::String(text) => push_bytes(&mut message, 3, text.as_bytes()),
        Value::Bool(truth) => message.extend([4 << 3, u8::from(*truth)]),
        Value::Object(_) => push_bytes(&mut message, 5, &protobuf_struct(value)),
        Value::Array(list) => {
            let mut values = Vec::new();
            list.iter().for_each(|value| push_bytes(&mut values, 1, &protobuf_value(value)));
            push_bytes(&mut message, 6, &values);
        }
    }
    message
}

/// A field of wire type 2: its tag, its size as a varint, its bytes.
fn push_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push(field << 3 | 2);
    let mut size = bytes.len();
    while size >= 0x80 {
        message.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    message.push(size as u8);
    message.extend(bytes);
}
