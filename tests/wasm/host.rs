//! A proxy-wasm host in this process: it runs the compiled module and records what the module does.
//!
//! It serves the ABI (version 0.2.1) as far as the filter uses it. An import that it does not serve stops the module
//! with the import's name, so a filter that begins to use another host function is noticed here. What the outside
//! world does is told by calling methods: a request arrives, a callout is answered, a client leaves, time passes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;

use wasmi::{
    AsContextMut, Caller, CompilationMode, Config, Engine, Error, Extern, Func, Instance, Linker, Memory,
    Module, Store, Val,
};

const ROOT: u32 = 1;
const OK: i32 = 0;
const NOT_FOUND: i32 = 1;
const BAD_ARGUMENT: i32 = 2;
const INTERNAL_FAILURE: i32 = 10;
const EMPTY: i32 = 7;

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The filter holds it.
    Held,
    /// It went on to the upstream with these headers.
    Forwarded(Headers),
    /// The filter answered it.
    Replied { status: u32, details: String, headers: Headers, body: String },
}

/// A callout that the module sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Callout {
    pub(crate) id: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: String,
    pub(crate) timeout_ms: u32,
}

#[derive(Debug, Default)]
struct Stream {
    headers: Headers,
    trailers: Headers,
    iteration: Iteration,
    /// What was kept back of the body: the sizes of its pieces, and whether each is the last of the request.
    kept_back: Vec<(u32, bool)>,
    /// How many bytes of the body have gone on to the upstream.
    passed: u32,
    /// Where it comes from, with a port.
    address: String,
    reply: Option<Outcome>,
}

impl Stream {
    /// A header list by its number in the ABI.
    fn map(&mut self, number: i32) -> &mut Headers {
        match number {
            0 => &mut self.headers,
            1 => &mut self.trailers,
            other => panic!("header list {other} is not served"),
        }
    }
}

/// How far the host lets the parts of a request, as Envoy's filter manager does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Iteration {
    /// Everything passes.
    Continues,
    /// The headers are stopped; the body's and the trailers' callbacks say whether these pass, and the headers with them.
    Stopped,
    /// Headers, body and trailers are stopped until the filter resumes the request.
    #[default]
    AllStopped,
}

/// How the host is set up.
pub(crate) struct Setup<'a> {
    /// The module's file.
    pub(crate) module: PathBuf,
    pub(crate) environment: &'a [&'a str],
    /// `allow_on_headers_stop_iteration` of the plugin's configuration.
    pub(crate) allow_on_headers_stop_iteration: bool,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            module: module_path(),
            environment: &["EDGE_TOKEN=edge-token-of-the-tests"],
            allow_on_headers_stop_iteration: false,
        }
    }
}

#[derive(Default)]
struct State {
    environment: Vec<String>,
    allow_on_headers_stop_iteration: bool,
    configuration: Vec<u8>,
    now_ns: u64,
    effective: u32,
    streams: HashMap<u32, Stream>,
    queue: Option<VecDeque<Vec<u8>>>,
    callouts: Vec<Callout>,
    /// Clusters that callouts can be sent to; any if `None`.
    clusters: Option<Vec<String>>,
    /// Whether replies to requests are refused.
    refuses_replies: bool,
    /// Whether trailers are withheld from the module.
    withholds_trailers: bool,
    /// Whether the callback for trailers runs.
    is_at_trailers: bool,
    sent: u32,
    answer: (Headers, Vec<u8>),
    log: Vec<String>,
    tick_ms: u32,
    metrics: Vec<(String, i64)>,
    /// What access logs can show, by request and name.
    filter_state: HashMap<(u32, String), String>,
    host_calls: BTreeMap<&'static str, u64>,
}

/// The module, running.
pub(crate) struct Host {
    store: Store<State>,
    instance: Instance,
    contexts: u32,
}

/// Where the module is that `cargo xtask build` has built.
fn module_path() -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/target/edge_key_auth.wasm");
    std::env::var_os("EDGE_KEY_AUTH_WASM").map_or_else(|| built.into(), PathBuf::from)
}

impl Host {
    /// Starts a VM with this configuration; the log if the module refuses it.
    pub(crate) fn start(configuration: &str) -> Result<Host, Vec<String>> {
        Host::start_as(&Setup::default(), configuration)
    }

    pub(crate) fn start_as(setup: &Setup<'_>, configuration: &str) -> Result<Host, Vec<String>> {
        let bytes = std::fs::read(&setup.module).unwrap_or_else(|error| {
            panic!("{}: {error}; build it with: cargo xtask test", setup.module.display())
        });
        // Eager: a function compiled at its first call would be charged to the request that happens to call it.
        let eager = CompilationMode::Eager;
        let engine = Engine::new(Config::default().consume_fuel(true).compilation_mode(eager));
        let module = Module::new(&engine, &bytes).unwrap();
        let state = State {
            environment: setup.environment.iter().map(|&variable| variable.to_owned()).collect(),
            allow_on_headers_stop_iteration: setup.allow_on_headers_stop_iteration,
            configuration: configuration.as_bytes().to_vec(),
            now_ns: 1_000_000_000,
            ..State::default()
        };
        let mut store = Store::new(&engine, state);
        store.set_fuel(u64::MAX).unwrap();
        let instance = linker(&engine, &module).instantiate_and_start(&mut store, &module).unwrap();
        let mut host = Host { store, instance, contexts: ROOT };
        host.call("_initialize", &[]);
        host.call("proxy_on_context_create", &[ROOT, 0]);
        assert_eq!(host.call("proxy_on_vm_start", &[ROOT, 0]), Some(1));
        match host.call("proxy_on_configure", &[ROOT, configuration.len() as u32]) {
            Some(1) => Ok(host),
            _ => Err(host.take_log()),
        }
    }

    /// A request without a body arrives; returns its id.
    pub(crate) fn request(&mut self, headers: &[(&str, &[u8])]) -> u32 {
        self.begin(headers, true)
    }

    /// A request without a body arrives from an address; returns its id.
    pub(crate) fn request_from(&mut self, address: &str, headers: &[(&str, &[u8])]) -> u32 {
        self.begin_from(address, headers, true)
    }

    /// The headers of a request arrive; returns its id.
    pub(crate) fn begin(&mut self, headers: &[(&str, &[u8])], is_whole: bool) -> u32 {
        self.begin_from("192.0.2.1:4000", headers, is_whole)
    }

    fn begin_from(&mut self, address: &str, headers: &[(&str, &[u8])], is_whole: bool) -> u32 {
        self.contexts += 1;
        let id = self.contexts;
        self.call("proxy_on_context_create", &[id, ROOT]);
        let headers = owned(headers);
        let count = headers.len() as u32;
        self.state().streams.insert(id, Stream { headers, address: address.to_owned(), ..Stream::default() });
        self.state().effective = id;
        let answer = self.call("proxy_on_request_headers", &[id, count, u32::from(is_whole)]);
        let allowed = self.state().allow_on_headers_stop_iteration;
        let stream = self.stream(id);
        stream.iteration = match answer {
            Some(1) if allowed => Iteration::Stopped,
            // The host takes StopIteration for StopAllIterationAndWatermark, unless it is told not to.
            Some(1 | 3 | 4) => Iteration::AllStopped,
            // Envoy takes what it does not know for Continue.
            _ => Iteration::Continues,
        };
        assert!(stream.iteration != Iteration::Continues || stream.reply.is_none(), "forwarded and answered");
        id
    }

    /// A piece of a request's body arrives.
    pub(crate) fn body(&mut self, request: u32, size: u32, is_last: bool) {
        let stream = self.stream(request);
        if stream.reply.is_some() {
            return;
        }
        stream.kept_back.push((size, is_last));
        self.pass_on(request);
    }

    /// The trailers of a request arrive.
    pub(crate) fn trailers(&mut self, request: u32, trailers: &[(&str, &[u8])]) {
        let stream = self.stream(request);
        if stream.reply.is_some() {
            return;
        }
        stream.trailers = owned(trailers);
        self.pass_on(request);
    }

    /// Offers what was kept back of a request's body, and its trailers, to the filter.
    fn pass_on(&mut self, request: u32) {
        self.state().effective = request;
        while self.stream(request).iteration != Iteration::AllStopped {
            let stream = self.stream(request);
            let stopped = stream.iteration == Iteration::Stopped;
            let (callback, size, is_last) = match stream.kept_back.first() {
                Some(&(size, is_last)) => ("proxy_on_request_body", size, u32::from(is_last)),
                None if !stream.trailers.is_empty() => ("proxy_on_request_trailers", 0, 0),
                None => return,
            };
            let at_trailers = callback == "proxy_on_request_trailers";
            let arguments = [request, size, is_last];
            let arguments = if at_trailers { &arguments[..2] } else { &arguments[..] };
            self.state().is_at_trailers = at_trailers;
            // A callback that the module does not have lets everything pass.
            let passes = !self.exports(callback) || self.call(callback, arguments) == Some(0);
            self.state().is_at_trailers = false;
            let stream = self.stream(request);
            let answered = stream.reply.is_some();
            assert!(!(passes && answered), "{callback} answered a request and let it pass");
            if !passes {
                assert!(stopped || answered, "a part of a request that was forwarded is kept back");
                return;
            }
            stream.iteration = Iteration::Continues;
            match stream.kept_back.is_empty() {
                true => return,
                false => stream.passed += stream.kept_back.remove(0).0,
            }
        }
    }

    /// How many bytes of a request's body have gone on to the upstream.
    pub(crate) fn passed(&mut self, request: u32) -> u32 {
        self.stream(request).passed
    }

    /// A GET request with these headers beside the pseudo-headers.
    pub(crate) fn get(&mut self, path: &str, headers: &[(&str, &[u8])]) -> u32 {
        let mut all: Vec<(&str, &[u8])> =
            vec![(":method", b"GET"), (":path", path.as_bytes()), (":authority", b"api.example.com")];
        all.extend_from_slice(headers);
        self.request(&all)
    }

    pub(crate) fn outcome(&mut self, request: u32) -> Outcome {
        let stream = &self.store.data().streams[&request];
        match &stream.reply {
            Some(reply) => reply.clone(),
            None if stream.iteration == Iteration::Continues => Outcome::Forwarded(stream.headers.clone()),
            None => Outcome::Held,
        }
    }

    /// The headers of a request as they are now, whatever has become of it.
    pub(crate) fn headers_of(&mut self, request: u32) -> Headers {
        self.stream(request).headers.clone()
    }

    /// The trailers of a request, as they are now.
    pub(crate) fn trailers_of(&mut self, request: u32) -> Headers {
        self.stream(request).trailers.clone()
    }

    /// A request ends, in whatever state it is: the client has gone, or it was answered.
    pub(crate) fn end(&mut self, request: u32) {
        self.call("proxy_on_delete", &[request]);
        self.state().streams.remove(&request);
    }

    /// The worker's next event-loop turn: queued bytes are announced.
    pub(crate) fn turn(&mut self) {
        if self.state().queue.as_ref().is_some_and(|queue| !queue.is_empty()) {
            self.state().effective = ROOT;
            self.call("proxy_on_queue_ready", &[ROOT, 1]);
        }
    }

    /// The callouts sent since the last time this was asked.
    pub(crate) fn take_callouts(&mut self) -> Vec<Callout> {
        std::mem::take(&mut self.state().callouts)
    }

    /// A callout is answered.
    pub(crate) fn answer(&mut self, callout: u32, status: &str, body: &str) {
        let headers = vec![(":status".to_owned(), status.as_bytes().to_vec())];
        self.end_callout(callout, headers, body);
    }

    /// A callout ends without an answer.
    pub(crate) fn fail(&mut self, callout: u32) {
        self.end_callout(callout, Headers::new(), "");
    }

    fn end_callout(&mut self, callout: u32, headers: Headers, body: &str) {
        let count = headers.len() as u32;
        self.state().answer = (headers, body.as_bytes().to_vec());
        self.state().effective = ROOT;
        self.call("proxy_on_http_call_response", &[ROOT, callout, count, body.len() as u32, 0]);
        let streams: Vec<u32> = self.state().streams.keys().copied().collect();
        for resumed in streams {
            if self.stream(resumed).iteration == Iteration::Continues {
                self.pass_on(resumed);
            }
        }
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        self.state().now_ns += milliseconds * 1_000_000;
    }

    /// Callouts can be sent to these clusters only.
    pub(crate) fn limit_clusters(&mut self, clusters: &[&str]) {
        self.state().clusters = Some(clusters.iter().map(|&cluster| cluster.to_owned()).collect());
    }

    /// The module cannot read trailers from now on.
    pub(crate) fn withhold_trailers(&mut self) {
        self.state().withholds_trailers = true;
    }

    /// Replies to requests are refused from now on.
    pub(crate) fn refuse_replies(&mut self) {
        self.state().refuses_replies = true;
    }

    /// How often the module wants to be called when nothing happens, in milliseconds.
    pub(crate) fn tick_ms(&mut self) -> u32 {
        self.state().tick_ms
    }

    /// The host's timer runs out.
    pub(crate) fn tick(&mut self) {
        self.state().effective = ROOT;
        self.call("proxy_on_tick", &[ROOT]);
    }

    /// What a metric has been told in all: the sum of its changes, or of its samples.
    pub(crate) fn metric(&mut self, name: &str) -> i64 {
        let name = format!("edge_key_auth_{name}");
        let found = self.state().metrics.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no metric is called {name}")).1
    }

    /// What access logs can show of a request under this name.
    pub(crate) fn filter_state(&mut self, request: u32, name: &str) -> Option<String> {
        self.state().filter_state.get(&(request, name.to_owned())).cloned()
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// What an action costs: host calls by name, and fuel (about one unit an instruction).
    pub(crate) fn cost(&mut self, action: impl FnOnce(&mut Host)) -> (BTreeMap<&'static str, u64>, u64) {
        self.state().host_calls.clear();
        let before = self.store.get_fuel().unwrap();
        action(self);
        let fuel = before - self.store.get_fuel().unwrap();
        (std::mem::take(&mut self.state().host_calls), fuel)
    }

    /// How large the module's memory is, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").unwrap().data_size(&self.store)
    }

    fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    fn stream(&mut self, request: u32) -> &mut Stream {
        self.state().streams.get_mut(&request).expect("a request that has ended")
    }

    /// Whether the module has a callback.
    pub(crate) fn exports(&self, callback: &str) -> bool {
        self.instance.get_func(&self.store, callback).is_some()
    }

    fn call(&mut self, export: &str, arguments: &[u32]) -> Option<i32> {
        let function =
            self.instance.get_func(&self.store, export).unwrap_or_else(|| panic!("no export {export}"));
        let arguments: Vec<Val> = arguments.iter().map(|&argument| Val::I32(argument as i32)).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &arguments, &mut results).unwrap_or_else(|error| {
            panic!("{export} stopped the VM: {error}; log: {:?}", self.store.data().log)
        });
        results.first().and_then(|result| result.i32())
    }
}

fn owned(headers: &[(&str, &[u8])]) -> Headers {
    headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

type Vm<'a> = Caller<'a, State>;

fn memory(vm: &Vm<'_>) -> Memory {
    vm.get_export("memory").and_then(Extern::into_memory).unwrap()
}

fn read(vm: &Vm<'_>, at: i32, size: i32) -> Vec<u8> {
    let mut bytes = vec![0; size as u32 as usize];
    memory(vm).read(vm, at as u32 as usize, &mut bytes).unwrap();
    bytes
}

fn read_text(vm: &Vm<'_>, at: i32, size: i32) -> String {
    String::from_utf8(read(vm, at, size)).unwrap()
}

fn write(vm: &mut Vm<'_>, at: i32, bytes: &[u8]) {
    memory(vm).write(vm, at as u32 as usize, bytes).unwrap();
}

fn write_number(vm: &mut Vm<'_>, at: i32, number: u32) {
    write(vm, at, &number.to_le_bytes());
}

/// Hands bytes to the module in memory that it allocates itself.
fn give(vm: &mut Vm<'_>, bytes: &[u8], data: i32, size: i32) -> i32 {
    let mut address = 0;
    if !bytes.is_empty() {
        let allocate: Func = vm.get_export("proxy_on_memory_allocate").and_then(Extern::into_func).unwrap();
        let mut results = [Val::I32(0)];
        allocate.call(vm.as_context_mut(), &[Val::I32(bytes.len() as i32)], &mut results).unwrap();
        address = results[0].i32().unwrap();
        write(vm, address, bytes);
    }
    write_number(vm, data, address as u32);
    write_number(vm, size, bytes.len() as u32);
    OK
}

fn read_headers(vm: &Vm<'_>, at: i32, size: i32) -> Headers {
    let block = read(vm, at, size);
    let pairs = edge_key_auth::headers::HeaderPairs::new(&block).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    pairs.map(|pair| pair.map(|(name, value)| (text(name), value.to_vec())).unwrap()).collect()
}

fn count(vm: &mut Vm<'_>, name: &'static str) {
    *vm.data_mut().host_calls.entry(name).or_default() += 1;
}

fn current<'v>(vm: &'v mut Vm<'_>) -> &'v mut Stream {
    let effective = vm.data().effective;
    vm.data_mut().streams.get_mut(&effective).expect("a host call about a request, outside of one")
}

fn linker(engine: &Engine, module: &Module) -> Linker<State> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let unserved = format!("{}.{} is not served by this host", import.module(), import.name());
        let kind = import.ty().func().unwrap().clone();
        let stop = move |_: Caller<'_, State>, _: &[Val], _: &mut [Val]| Err(Error::new(unserved.clone()));
        linker.func_new(import.module(), import.name(), kind, stop).unwrap();
    }
    serve_requests(&mut linker).unwrap();
    serve_callouts(&mut linker).unwrap();
    serve_system(&mut linker).unwrap();
    linker
}

fn serve_requests(linker: &mut Linker<State>) -> Result<(), wasmi::errors::LinkerError> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut vm: Vm<'_>, map: i32, data: i32, size: i32| {
            count(&mut vm, "get_header_map_pairs");
            if map == 1 && vm.data().withholds_trailers {
                return INTERNAL_FAILURE;
            }
            let headers = current(&mut vm).map(map).clone();
            let pairs: Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            give(&mut vm, &edge_key_auth::headers::serialise(&pairs), data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut vm: Vm<'_>, map: i32, name: i32, size: i32| {
            count(&mut vm, "remove_header");
            let name = read_text(&vm, name, size);
            current(&mut vm).map(map).retain(|(header, _)| !header.eq_ignore_ascii_case(&name));
            OK
        },
    )?;
    let replace = |mut vm: Vm<'_>, map: i32, name: i32, name_size: i32, value: i32, value_size: i32| {
        count(&mut vm, "replace_header");
        assert_eq!(map, 0, "request headers");
        let (name, value) = (read_text(&vm, name, name_size), read(&vm, value, value_size));
        let headers = &mut current(&mut vm).headers;
        headers.retain(|(header, _)| !header.eq_ignore_ascii_case(&name));
        headers.push((name, value));
        OK
    };
    linker.func_wrap("env", "proxy_replace_header_map_value", replace)?;
    linker.func_wrap("env", "proxy_continue_stream", |mut vm: Vm<'_>, _kind: i32| {
        count(&mut vm, "continue_stream");
        let stream = current(&mut vm);
        let held = stream.iteration != Iteration::Continues && stream.reply.is_none();
        assert!(held, "resumed a request that was not held");
        stream.iteration = Iteration::Continues;
        OK
    })?;
    let send = |mut vm: Vm<'_>,
                status: i32,
                details: i32,
                details_size: i32,
                body: i32,
                body_size: i32,
                headers: i32,
                headers_size: i32,
                _grpc: i32| {
        count(&mut vm, "send_local_response");
        if vm.data().refuses_replies {
            return INTERNAL_FAILURE;
        }
        let details = read_text(&vm, details, details_size);
        let body = read_text(&vm, body, body_size);
        let headers = read_headers(&vm, headers, headers_size);
        let at_trailers = vm.data().is_at_trailers;
        let stream = current(&mut vm);
        assert!(stream.reply.is_none(), "answered a request twice");
        // Trailers come when the headers have gone on: the host ends such a request at the upstream.
        let is_open = at_trailers || stream.iteration != Iteration::Continues;
        assert!(is_open, "answered a request that was forwarded");
        stream.iteration = Iteration::AllStopped;
        stream.reply = Some(Outcome::Replied { status: status as u32, details, headers, body });
        OK
    };
    linker.func_wrap("env", "proxy_send_local_response", send)?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut vm: Vm<'_>, path: i32, path_size: i32, data: i32, size: i32| {
            count(&mut vm, "get_property");
            assert_eq!(read(&vm, path, path_size), b"source\0address");
            let address = current(&mut vm).address.clone();
            give(&mut vm, address.as_bytes(), data, size)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut vm: Vm<'_>, name: i32, name_size: i32, value: i32, value_size: i32| {
            count(&mut vm, "set_property");
            let (name, value) = (read_text(&vm, name, name_size), read_text(&vm, value, value_size));
            let request = vm.data().effective;
            vm.data_mut().filter_state.insert((request, name), value);
            OK
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut vm: Vm<'_>, context: i32| {
        count(&mut vm, "set_effective_context");
        let context = context as u32;
        if context != ROOT && !vm.data().streams.contains_key(&context) {
            return BAD_ARGUMENT;
        }
        vm.data_mut().effective = context;
        OK
    })?;
    Ok(())
}

fn serve_callouts(linker: &mut Linker<State>) -> Result<(), wasmi::errors::LinkerError> {
    let dispatch = |mut vm: Vm<'_>,
                    cluster: i32,
                    cluster_size: i32,
                    headers: i32,
                    headers_size: i32,
                    body: i32,
                    body_size: i32,
                    _trailers: i32,
                    _trailers_size: i32,
                    timeout: i32,
                    id: i32| {
        count(&mut vm, "http_call");
        assert_eq!(vm.data().effective, ROOT, "callouts are sent from the root context");
        let cluster = read_text(&vm, cluster, cluster_size);
        if vm.data().clusters.as_ref().is_some_and(|known| !known.contains(&cluster)) {
            return BAD_ARGUMENT;
        }
        let headers = read_headers(&vm, headers, headers_size);
        let body = read_text(&vm, body, body_size);
        vm.data_mut().sent += 1;
        let sent = vm.data().sent;
        vm.data_mut().callouts.push(Callout { id: sent, cluster, headers, body, timeout_ms: timeout as u32 });
        write_number(&mut vm, id, sent);
        OK
    };
    linker.func_wrap("env", "proxy_http_call", dispatch)?;
    let value = |mut vm: Vm<'_>, map: i32, name: i32, name_size: i32, data: i32, size: i32| {
        count(&mut vm, "get_header");
        assert_eq!(map, 6, "callout response headers");
        let name = read_text(&vm, name, name_size);
        let found =
            vm.data().answer.0.iter().find(|(header, _)| *header == name).map(|(_, value)| value.clone());
        match found {
            Some(value) => give(&mut vm, &value, data, size),
            None => NOT_FOUND,
        }
    };
    linker.func_wrap("env", "proxy_get_header_map_value", value)?;
    let buffer = |mut vm: Vm<'_>, kind: i32, start: i32, most: i32, data: i32, size: i32| {
        count(&mut vm, "get_buffer");
        let bytes = match kind {
            4 => vm.data().answer.1.clone(),
            7 => vm.data().configuration.clone(),
            other => panic!("buffer {other} is not served"),
        };
        let bytes: Vec<u8> = bytes.into_iter().skip(start as usize).take(most as usize).collect();
        give(&mut vm, &bytes, data, size)
    };
    linker.func_wrap("env", "proxy_get_buffer_bytes", buffer)?;
    linker.func_wrap(
        "env",
        "proxy_register_shared_queue",
        |mut vm: Vm<'_>, _name: i32, _size: i32, id: i32| {
            vm.data_mut().queue = Some(VecDeque::new());
            write_number(&mut vm, id, 1);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |mut vm: Vm<'_>, _queue: i32, value: i32, size: i32| {
            count(&mut vm, "enqueue");
            let value = read(&vm, value, size);
            match &mut vm.data_mut().queue {
                Some(queue) => {
                    queue.push_back(value);
                    OK
                }
                None => NOT_FOUND,
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_dequeue_shared_queue",
        |mut vm: Vm<'_>, _queue: i32, data: i32, size: i32| {
            count(&mut vm, "dequeue");
            match vm.data_mut().queue.as_mut().and_then(VecDeque::pop_front) {
                Some(value) => give(&mut vm, &value, data, size),
                None => EMPTY,
            }
        },
    )?;
    Ok(())
}

fn serve_system(linker: &mut Linker<State>) -> Result<(), wasmi::errors::LinkerError> {
    linker.func_wrap("env", "proxy_log", |mut vm: Vm<'_>, _level: i32, message: i32, size: i32| {
        count(&mut vm, "log");
        let message = read_text(&vm, message, size);
        vm.data_mut().log.push(message);
        OK
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut vm: Vm<'_>, period: i32| {
        count(&mut vm, "set_tick_period");
        vm.data_mut().tick_ms = period as u32;
        OK
    })?;
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut vm: Vm<'_>, _kind: i32, name: i32, size: i32, id: i32| {
            let name = read_text(&vm, name, size);
            vm.data_mut().metrics.push((name, 0));
            let number = vm.data().metrics.len() as u32 - 1;
            write_number(&mut vm, id, number);
            OK
        },
    )?;
    let tell = |mut vm: Vm<'_>, id: i32, value: i64| {
        count(&mut vm, "tell_metric");
        vm.data_mut().metrics[id as usize].1 += value;
        OK
    };
    linker.func_wrap("env", "proxy_increment_metric", tell)?;
    linker.func_wrap("env", "proxy_record_metric", tell)?;
    let wasi = "wasi_snapshot_preview1";
    linker.func_wrap(wasi, "clock_time_get", |mut vm: Vm<'_>, _clock: i32, _precision: i64, time: i32| {
        count(&mut vm, "clock");
        let now = vm.data().now_ns;
        write(&mut vm, time, &now.to_le_bytes());
        0
    })?;
    linker.func_wrap(wasi, "random_get", |mut vm: Vm<'_>, at: i32, size: i32| {
        let bytes: Vec<u8> = (0..size).map(|n| (n * 37 + 11) as u8).collect();
        write(&mut vm, at, &bytes);
        0
    })?;
    linker.func_wrap(wasi, "environ_sizes_get", |mut vm: Vm<'_>, variables: i32, size: i32| {
        let environment = vm.data().environment.clone();
        write_number(&mut vm, variables, environment.len() as u32);
        write_number(&mut vm, size, environment.iter().map(|variable| variable.len() as u32 + 1).sum());
        0
    })?;
    linker.func_wrap(wasi, "environ_get", |mut vm: Vm<'_>, pointers: i32, texts: i32| {
        let (mut pointer, mut text) = (pointers, texts);
        for variable in vm.data().environment.clone() {
            write_number(&mut vm, pointer, text as u32);
            write(&mut vm, text, format!("{variable}\0").as_bytes());
            pointer += 4;
            text += variable.len() as i32 + 1;
        }
        0
    })?;
    Ok(())
}
