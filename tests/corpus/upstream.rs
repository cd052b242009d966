//! The upstream: it records every request that Envoy sends, and the parts that another server could read differently.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// One request, as the upstream read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case; header values and names are read as Latin-1, a character for each byte.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) trailers: Vec<(String, String)>,
    /// The parts that another server could read differently.
    pub(crate) problems: Vec<String>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// The upstream; it runs until the process ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to_keep = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&to_keep);
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Upstream { address, seen }
    }

    /// The requests since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// Answers each request of a connection with the target that it was sent.
fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = read_request(&mut reader)?;
        let body = if request.method == "HEAD" { String::new() } else { request.target.clone() };
        let length = request.target.len();
        let close = !request.problems.is_empty();
        seen.lock().unwrap().push(request);
        writer
            .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
            .ok()?;
        if close {
            return None; // The following bytes cannot be distinguished from the body.
        }
    }
}

fn read_request(reader: &mut impl Read) -> Option<Seen> {
    let mut seen = Seen::default();
    let line = read_line(reader, &mut seen.problems)?;
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    (seen.method, seen.target) = (words.next()?, words.next().unwrap_or_default());
    if words.next().is_none_or(|version| version != "HTTP/1.1") {
        seen.problems.push(format!("request line {line:?}"));
    }
    if seen.target.chars().any(|c| !('!'..='~').contains(&c)) {
        seen.problems.push(format!("target {:?}", seen.target));
    }
    seen.headers = read_fields(reader, &mut seen.problems)?;
    for name in ["host", "authorization", "content-length", "transfer-encoding"] {
        if seen.header(name).len() > 1 {
            seen.problems.push(format!("{name} repeated"));
        }
    }
    let length = seen.header("content-length").first().map(|length| (*length).to_owned());
    match (length, seen.header("transfer-encoding").first()) {
        (None, None) => {}
        (Some(length), None) if length.chars().all(|c| c.is_ascii_digit()) => {
            reader.read_exact(&mut vec![0; length.parse().ok()?]).ok()?;
        }
        (None, Some(&"chunked")) => seen.trailers = read_chunks(reader, &mut seen.problems)?,
        (length, encoding) => seen.problems.push(format!("length {length:?} and encoding {encoding:?}")),
    }
    Some(seen)
}

fn read_chunks(reader: &mut impl Read, problems: &mut Vec<String>) -> Option<Vec<(String, String)>> {
    loop {
        let line = read_line(reader, problems)?;
        let Ok(size) = usize::from_str_radix(&line, 16) else {
            problems.push(format!("chunk {line:?}"));
            return None;
        };
        if size == 0 {
            return read_fields(reader, problems);
        }
        reader.read_exact(&mut vec![0; size]).ok()?;
        if !read_line(reader, problems)?.is_empty() {
            problems.push("a chunk longer than its size".to_owned());
        }
    }
}

fn read_fields(reader: &mut impl Read, problems: &mut Vec<String>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader, problems)?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) || value.chars().any(|c| c < ' ' && c != '\t') {
            problems.push(format!("header {line:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// A line without its end, which is CR LF.
fn read_line(reader: &mut impl Read, problems: &mut Vec<String>) -> Option<String> {
    let (mut line, mut byte) = (String::new(), [0]);
    loop {
        reader.read_exact(&mut byte).ok()?;
        if byte[0] == b'\n' {
            break;
        }
        line.push(char::from(byte[0]));
    }
    match line.pop() {
        Some('\r') if !line.contains('\r') => {}
        _ => problems.push(format!("line end of {line:?}")),
    }
    Some(line)
}
