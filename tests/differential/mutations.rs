//! Requests that servers could read differently, each made from a seed and a number.

/// Forged identity, where a handler might take it for real.
pub(crate) const FORGED: &str = "forged";

pub(crate) const PUBLIC: [&str; 4] = ["/decide/", "/decide", "/capture/", "/batch"];

/// A class, and a path of its handler.
pub(crate) const SCOPED: [(&str, &str); 12] = [
    ("project", "/api/projects/"),
    ("project", "/api/projects/7/"),
    ("insight", "/api/insights/"),
    ("insight", "/api/projects/7/insights/3"),
    ("feature_flag", "/api/feature_flags/"),
    ("feature_flag", "/api/projects/7/feature_flags/"),
    ("person", "/api/persons/5/"),
    ("person", "/api/projects/7/persons"),
    ("cohort", "/api/cohorts/"),
    ("cohort", "/api/projects/7/cohorts/1"),
    ("query", "/api/query/"),
    ("query", "/api/projects/7/query"),
];

/// Put somewhere into a path.
const PIECES: [&str; 45] = [
    "",
    "/",
    "//",
    "/./",
    "/../",
    "/..",
    "..",
    ".",
    "/.../",
    "%2e",
    "%2e%2e",
    "/%2e%2e/",
    ".%2e",
    "%252e%252e",
    "%2f",
    "%2F",
    "%252f",
    "\\",
    "%5c",
    "/..\\",
    ";",
    ";a=b",
    "/..;/",
    "/;/",
    "%3b",
    "%00",
    "%0a",
    "%0d%0a",
    "%09",
    "%20",
    "%",
    "%zz",
    "%u002f",
    "%c0%af",
    "%c0%ae",
    "%e0%80%af",
    "%ef%bc%8f",
    "%ff",
    "#",
    "?",
    "%23",
    "%3f",
    ".json",
    "~",
    "@",
];

/// Names that some server takes for another method, path, host or caller. `{path}` and `{method}` stand for some.
const HEADERS: [(&str, &str); 26] = [
    ("X-HTTP-Method-Override", "{method}"),
    ("X-HTTP-Method", "{method}"),
    ("X-Method-Override", "{method}"),
    ("X-Original-Method", "{method}"),
    ("X-Original-URL", "{path}"),
    ("X-Original-URI", "{path}"),
    ("X-Rewrite-URL", "{path}"),
    ("X-Forwarded-URI", "{path}"),
    ("X-Override-URL", "{path}"),
    ("X-Envoy-Original-Path", "{path}"),
    ("X-Forwarded-Path", "{path}"),
    ("PATH_INFO", "{path}"),
    ("PATH-INFO", "{path}"),
    ("REQUEST_URI", "{path}"),
    ("REQUEST_METHOD", "{method}"),
    ("REMOTE_USER", "forged"),
    ("X-Auth-User-Id", "forged"),
    ("X_Auth_User_Id", "forged"),
    ("x-auth_user-id", "forged"),
    ("X.Auth.User.Id", "forged"),
    ("X-Auth-Scopes", "*"),
    ("Connection", "x-auth-user-id"),
    ("Connection", "authorization"),
    ("X-Forwarded-Host", "b"),
    ("Authorization", "Bearer phx_wrong"),
    ("Content-Type", "application/x-www-form-urlencoded"),
];

/// Names that some server takes for the path at which the application begins.
const PREFIXES: [&str; 5] =
    ["SCRIPT_NAME", "SCRIPT-NAME", "X-Script-Name", "X-Forwarded-Prefix", "X-Forwarded-Path"];

const METHODS: [&str; 14] = [
    "GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "get",
    "Post",
];

const HOSTS: [&str; 8] = ["a", "a", "a", "a:80", "A", "a.", "[::1]", "b"];

/// The sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Nobody,
    Insights,
    Projects,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Mutated {
    pub(crate) caller: Caller,
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    host: &'static str,
}

impl Mutated {
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number));
        random.below(2);
        let caller = random.pick(&[Caller::Nobody, Caller::Insights, Caller::Projects]);
        // Half of them begin where the caller may go.
        let origin = match (random.below(2), caller) {
            (0, _) => path(&mut random),
            (_, Caller::Nobody) => random.pick(&PUBLIC),
            (_, Caller::Insights) => random.pick(&["/api/insights/", "/api/projects/7/insights/3"]),
            (_, Caller::Projects) => random.pick(&["/api/projects/", "/api/projects/7/"]),
        };
        let mut target = origin.to_owned();
        for _ in 0..random.pick(&[0, 1, 1, 2]) {
            mutate(&mut target, &mut random);
        }
        let mut headers: Vec<(String, String)> = (0..random.pick(&[0, 0, 1, 1, 2]))
            .map(|_| {
                let (name, value) = random.pick(&HEADERS);
                let value =
                    value.replace("{path}", path(&mut random)).replace("{method}", random.pick(&METHODS));
                (spelling(name, &mut random), value)
            })
            .collect();
        if random.below(8) == 0 {
            // One path below another, which a header calls the application's own.
            let prefix = origin.trim_end_matches('/');
            target = format!("{prefix}{}", path(&mut random));
            headers.push((spelling(random.pick(&PREFIXES), &mut random), prefix.to_owned()));
        }
        Mutated { caller, method: random.pick(&METHODS), target, headers, host: random.pick(&HOSTS) }
    }

    pub(crate) fn bytes(&self, key: Option<&str>) -> Vec<u8> {
        let Mutated { method, target, host, .. } = self;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if let Some(key) = key {
            head += &format!("Authorization: Bearer {key}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "Content-Length: 0\r\n\r\n";
        head.into_bytes()
    }
}

/// A path of some handler.
fn path(random: &mut Random) -> &'static str {
    match random.below(3) {
        0 => random.pick(&PUBLIC),
        _ => random.pick(&SCOPED).1,
    }
}

fn mutate(target: &mut String, random: &mut Random) {
    let at = random.below(target.len() as u64 + 1) as usize;
    match random.below(8) {
        0..=2 => target.insert_str(at, random.pick(&PIECES)),
        3 => *target = format!("{}{}{}", target.trim_end_matches('/'), random.pick(&PIECES), path(random)),
        4 => *target = format!("{target}{}", random.pick(&PIECES)),
        5 => {
            // A letter in the other case, or escaped.
            let Some((index, letter)) = target.char_indices().nth(at) else { return };
            let other = match random.below(3) {
                0 => format!("%{:02x}", u32::from(letter)),
                1 => format!("%{:02X}", u32::from(letter)),
                _ if letter.is_ascii_lowercase() => letter.to_ascii_uppercase().to_string(),
                _ => letter.to_ascii_lowercase().to_string(),
            };
            target.replace_range(index..index + letter.len_utf8(), &other);
        }
        6 => *target = format!("{}{target}", random.pick(&["http://a", "http://b", "/.", "/", "//a", "\\"])),
        _ => {
            *target =
                format!("{target}{}{}", random.pick(&["?next=", "?_method=DELETE&x=", "#"]), path(random))
        }
    }
}

/// The name, in another letter case or with other separators.
fn spelling(name: &str, random: &mut Random) -> String {
    match random.below(5) {
        0 => name.to_ascii_uppercase(),
        1 => name.to_ascii_lowercase(),
        2 => name.replace('-', "_"),
        3 => name.replace(['-', '_'], "."),
        _ => name.to_owned(),
    }
}

/// SplitMix64, which always returns the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}
