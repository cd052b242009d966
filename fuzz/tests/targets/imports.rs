//! Files of keys. Written and parsed again, the keys are the same.

use key_service::time::Timestamp;
use key_service::transfer::export::{Exported, KeyWriter};
use key_service::transfer::read::Lines;
use key_service::transfer::{Format, Refused};

use crate::formats::expand;

const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_123);

const WORDS: &[&[u8]] = &[
    b"email,label,secure_value,scopes,created_at,last_used_at,mask_value,last_rolled_at,expires_at\n",
    b"email,label,secure_value,scopes\n",
    br#"{"email":"a@b.c","label":"#,
    br#""secure_value":"#,
    b"sha256$0000000000000000000000000000000000000000000000000000000000000000",
    b"a@b.c",
    b"\na@b.c,CI,sha256$0000000000000000000000000000000000000000000000000000000000000000,*,",
    b",*,2026-01-31T12:00:00Z,",
    b"2026-01-31T12:00:00.12+01:00",
    b"0000-01-01T00:00:00+01:00",
    b"9999-12-31T23:59:59-01:00",
    b"1970-01-01T00:00:00Z",
    b"phx_...abcd",
    b"=1+...'-@\t",
    b"********",
    br#""email":"#,
    br#""label":"#,
    br#""scopes":"#,
    br#""created_at":"#,
    br#""last_used_at":"#,
    br#""mask_value":"#,
    br#""last_rolled_at":"#,
    br#""expires_at":"#,
    br#"["insight:read","cohort:write"]"#,
    b"insight:read cohort:write",
    b"insight:read,",
    b"phx_1234567890abcdef",
    b"pbkdf2_sha256$",
    b"ekm_",
    b"email",
    b"label",
    b"scopes",
    b"'",
    b"''=",
    b"=",
    b"+",
    b"-",
    b"@",
    b"\t",
    b"\r",
    b"\r\n",
    b"\n",
    b",",
    b";",
    br#"""#,
    br#""""#,
    b"{",
    b"}\n",
    b"[",
    b"]",
    b"null",
    br"\u0000",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    "é\u{202e}\u{a0}\u{2028}".as_bytes(),
];

#[test]
fn csv() {
    bolero::check!(name = "imports_csv").for_each(|input: &[u8]| check(input, Format::Csv));
}

#[test]
fn json_lines() {
    bolero::check!(name = "imports_json_lines").for_each(|input: &[u8]| check(input, Format::Jsonl));
}

fn check(input: &[u8], format: Format) {
    let exported = keys(&expand(input, WORDS), format);
    for format in [Format::Csv, Format::Jsonl] {
        let mut file = Vec::new();
        let mut writer = KeyWriter::new(&mut file, format).unwrap();
        exported.iter().for_each(|key| writer.write(key).unwrap());
        writer.finish().unwrap();
        let again = keys(&file, format);
        assert_eq!(shown(&again), shown(&exported), "{}", String::from_utf8_lossy(&file));
    }
}

/// The keys of a file, as far as it can be read. No error repeats a key's value.
fn keys(file: &[u8], format: Format) -> Vec<Exported> {
    let shows_value = |text: &str| text.contains("phx_1234567890");
    let mut keys = Vec::new();
    let lines = match Lines::new(file, format, NOW) {
        Ok(lines) => lines,
        Err(error) => {
            assert!(!shows_value(&error.to_string()), "{error}");
            return keys;
        }
    };
    for line in lines {
        match line {
            Ok(Ok(line)) => {
                let key = line.key("user");
                keys.push(Exported { key, email: line.email, digest: line.digest });
            }
            Ok(Err(Refused { reason, .. })) => assert!(!shows_value(&reason), "{reason}"),
            Err(error) => {
                assert!(!shows_value(&error.to_string()), "{error}");
                break;
            }
        }
    }
    keys
}

/// The exported fields of each key, without the id.
fn shown(keys: &[Exported]) -> Vec<String> {
    let shown = |Exported { key, email, digest }: &Exported| {
        let mut key = key.clone();
        key.id.clear();
        format!("{email} {} {key:?}", digest.to_hex())
    };
    keys.iter().map(shown).collect()
}
