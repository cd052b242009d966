//! Decodes a `google.protobuf.Struct`. Envoy passes a Struct to the filter as serialised protobuf, and a
//! `StringValue` as its text.

use serde_json::{Map, Number, Value};

/// Deeper nesting is rejected.
const MAX_DEPTH: usize = 32;

/// A field's number and value.
type Field<'a> = (u32, Wire<'a>);

/// The wire types that occur in a `Struct`.
enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// The JSON form of a serialised `Struct`; `None` if the bytes are not one.
pub(super) fn struct_to_json(message: &[u8]) -> Option<Value> {
    read_struct(message, 0)
}

fn read_struct(mut message: &[u8], depth: usize) -> Option<Value> {
    let mut map = Map::new();
    while !message.is_empty() {
        let (1, Wire::Bytes(entry)) = read_field(&mut message)? else { return None };
        let (key, value) = read_entry(entry, depth)?;
        map.insert(key, value);
    }
    Some(Value::Object(map))
}

/// `map<string, Value>` is repeated messages of a key, field 1, and a value, field 2.
fn read_entry(mut entry: &[u8], depth: usize) -> Option<(String, Value)> {
    let (mut key, mut value) = (String::new(), Value::Null);
    while !entry.is_empty() {
        match read_field(&mut entry)? {
            (1, Wire::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
            (2, Wire::Bytes(message)) => value = read_value(message, depth + 1)?,
            _ => return None,
        }
    }
    Some((key, value))
}

/// `Value` is one of six fields; the last one wins.
fn read_value(mut message: &[u8], depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut value = Value::Null;
    while !message.is_empty() {
        value = match read_field(&mut message)? {
            (1, Wire::Varint(_)) => Value::Null,
            (2, Wire::Fixed64(double)) => Value::Number(Number::from_f64(f64::from_le_bytes(double))?),
            (3, Wire::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
            (4, Wire::Varint(truth)) => Value::Bool(truth != 0),
            (5, Wire::Bytes(message)) => read_struct(message, depth)?,
            (6, Wire::Bytes(message)) => read_list(message, depth)?,
            _ => return None,
        };
    }
    Some(value)
}

fn read_list(mut message: &[u8], depth: usize) -> Option<Value> {
    let mut list = Vec::new();
    while !message.is_empty() {
        let (1, Wire::Bytes(value)) = read_field(&mut message)? else { return None };
        list.push(read_value(value, depth + 1)?);
    }
    Some(Value::Array(list))
}

fn read_field<'a>(message: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = read_varint(message)?;
    let number = u32::try_from(tag >> 3).ok()?;
    let wire = match tag & 7 {
        0 => Wire::Varint(read_varint(message)?),
        1 => Wire::Fixed64(take(message, 8)?.try_into().ok()?),
        2 => {
            let size = usize::try_from(read_varint(message)?).ok()?;
            Wire::Bytes(take(message, size)?)
        }
        _ => return None,
    };
    Some((number, wire))
}

fn read_varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)?.first().copied()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], size: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(size)?;
    *message = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// [`value`], serialised by Python's protobuf package.
    const SERIALISED: &str = "0a400a0161123b2a390a270a0162122232200a0911000000000000f83f0a0220010a0208000a031a01780a02\
        20000a022a000a0e0a016e1209110000000080842e41";

    fn value() -> Value {
        json!({"a": {"b": [1.5, true, null, "x", false, {}], "n": 1_000_000.0}})
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        assert_eq!(struct_to_json(&bytes(SERIALISED)), Some(value()));
        assert_eq!(struct_to_json(b""), Some(json!({})));
    }

    #[test]
    fn bytes_that_are_not_a_struct_are_refused() {
        let good = bytes(SERIALISED);
        for end in 1..good.len() {
            assert_eq!(struct_to_json(&good[..end]), None, "cut at {end}");
        }
        assert_eq!(struct_to_json(b"{}"), None);
        assert_eq!(struct_to_json(&[0xff; 40]), None);
        for at in 0..good.len() {
            for byte in [0x00, 0x7f, 0xff] {
                let mut broken = good.clone();
                broken[at] = byte;
                let _ = struct_to_json(&broken);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut message = Vec::new();
        for _ in 0..2_000 {
            let mut list = vec![0x0a];
            push_size(&mut list, message.len());
            list.append(&mut message);
            message = vec![0x32];
            push_size(&mut message, list.len());
            message.append(&mut list);
        }
        let mut entry = vec![0x12];
        push_size(&mut entry, message.len());
        entry.append(&mut message);
        let mut outer = vec![0x0a];
        push_size(&mut outer, entry.len());
        outer.append(&mut entry);
        assert_eq!(struct_to_json(&outer), None);
    }

    fn push_size(message: &mut Vec<u8>, mut size: usize) {
        while size >= 0x80 {
            message.push((size & 0x7f) as u8 | 0x80);
            size >>= 7;
        }
        message.push(size as u8);
    }
}
