//! A proxy-wasm host in this process: it runs the compiled module and records what the module does.
//!
//! It serves the ABI (version 0.2.1) as far as the filter uses it. An import that it does not serve stops the module
//! with the import's name, so a filter that begins to use another host function is noticed here. What the outside
//! world does is a method call: a request arrives, a callout is answered, a client leaves, time passes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wasmi::{CompilationMode, Config, Engine, Instance, Module, Store, Val};

mod abi;
mod imports;
mod state;

use abi::ROOT;
use imports::linker;
pub(crate) use state::{Callout, Outcome};
use state::{Headers, Iteration, State, Stream};

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

/// The module, running.
pub(crate) struct Host {
    store: Store<State>,
    instance: Instance,
    contexts: u32,
}

/// The path of the module that `cargo xtask build` has built.
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
        host.create_root(ROOT);
        assert_eq!(host.call("proxy_on_vm_start", &[ROOT, 0]), Some(1));
        match host.call("proxy_on_configure", &[ROOT, configuration.len() as u32]) {
            Some(1) => Ok(host),
            _ => Err(host.take_log()),
        }
    }

    fn create_root(&mut self, root: u32) {
        self.state().roots.push(root);
        self.state().effective = root;
        self.call("proxy_on_context_create", &[root, 0]);
    }

    /// Configures a further root context, as for another listener or an update; returns its id.
    pub(crate) fn configure(&mut self, configuration: &str) -> u32 {
        self.contexts += 1;
        let root = self.contexts;
        self.create_root(root);
        self.state().configuration = configuration.as_bytes().to_vec();
        assert_eq!(self.call("proxy_on_configure", &[root, configuration.len() as u32]), Some(1));
        root
    }

    /// Deletes a root context: no listener uses its configuration any longer.
    pub(crate) fn delete_root(&mut self, root: u32) {
        self.call("proxy_on_delete", &[root]);
        self.state().roots.retain(|known| *known != root);
    }

    /// A GET request for another configuration than the first one.
    pub(crate) fn get_at(&mut self, root: u32, path: &str, headers: &[(&str, &[u8])]) -> u32 {
        let id = self.create_request(root);
        let mut all: Vec<(&str, &[u8])> =
            vec![(":method", b"GET"), (":path", path.as_bytes()), (":authority", b"api.example.com")];
        all.extend_from_slice(headers);
        self.deliver(id, "192.0.2.1:4000", &all, true);
        id
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
        let id = self.create_request(ROOT);
        self.deliver(id, address, headers, is_whole);
        id
    }

    /// Creates the context of a request whose headers arrive later.
    pub(crate) fn create_request(&mut self, root: u32) -> u32 {
        self.contexts += 1;
        let id = self.contexts;
        self.call("proxy_on_context_create", &[id, root]);
        id
    }

    /// The headers of a request arrive whose context exists.
    pub(crate) fn deliver(&mut self, id: u32, address: &str, headers: &[(&str, &[u8])], is_whole: bool) {
        let headers = owned(headers);
        let count = headers.len() as u32;
        self.state().streams.insert(id, Stream { headers, address: address.to_owned(), ..Stream::default() });
        self.state().effective = id;
        let answer = self.call("proxy_on_request_headers", &[id, count, u32::from(is_whole)]);
        let allowed = self.state().allow_on_headers_stop_iteration;
        let stream = self.stream(id);
        stream.iteration = match answer {
            Some(1) if allowed => Iteration::Stopped,
            // The host treats StopIteration as StopAllIterationAndWatermark, unless its options say otherwise.
            Some(1 | 3 | 4) => Iteration::AllStopped,
            // Envoy treats unknown values as Continue.
            _ => Iteration::Continues,
        };
        assert!(stream.iteration != Iteration::Continues || stream.reply.is_none(), "forwarded and answered");
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

    /// Passes the held part of a request's body, and its trailers, to the filter.
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

    /// The current headers of a request, whatever its state.
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
        let queues = self.state().queues.iter().enumerate();
        let ready: Vec<(u32, u32)> = queues
            .filter(|(_, (_, values))| !values.is_empty())
            .map(|(at, (root, _))| (*root, at as u32 + 1))
            .collect();
        for (root, queue) in ready {
            if self.state().roots.contains(&root) {
                self.state().effective = root;
                self.call("proxy_on_queue_ready", &[root, queue]);
            }
        }
    }

    /// The callouts sent since the last call.
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
        let root = self.state().sent_by[callout as usize - 1];
        if !self.state().roots.contains(&root) {
            return; // the host has cancelled it
        }
        self.state().effective = root;
        self.call("proxy_on_http_call_response", &[root, callout, count, body.len() as u32, 0]);
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

    /// The value of a metric: the sum of its changes, or of its samples.
    pub(crate) fn metric(&mut self, name: &str) -> i64 {
        let name = format!("edge_key_auth_{name}");
        let found = self.state().metrics.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no metric is called {name}")).1
    }

    /// The filter state of a request under this name.
    pub(crate) fn filter_state(&mut self, request: u32, name: &str) -> Option<String> {
        self.state().filter_state.get(&(request, name.to_owned())).cloned()
    }

    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// The cost of an action: host calls by name, and fuel (about one unit an instruction).
    pub(crate) fn cost(&mut self, action: impl FnOnce(&mut Host)) -> (BTreeMap<&'static str, u64>, u64) {
        self.state().host_calls.clear();
        let before = self.store.get_fuel().unwrap();
        action(self);
        let fuel = before - self.store.get_fuel().unwrap();
        (std::mem::take(&mut self.state().host_calls), fuel)
    }

    /// How often the module has allocated so far; only the module that counts this knows it.
    pub(crate) fn allocations(&self) -> u64 {
        let count = self.instance.get_global(&self.store, "allocations").expect("a module that counts");
        u64::from(count.get(&self.store).i32().unwrap().cast_unsigned())
    }

    /// The fuel of everything since the start of the VM.
    pub(crate) fn fuel_used(&self) -> u64 {
        u64::MAX - self.store.get_fuel().unwrap()
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
