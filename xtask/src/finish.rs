//! The last step of the build: changes to the module that Rust and the proxy-wasm SDK cannot express.
//!
//! - The callbacks of requests are the filter's own and not the SDK's, which would allocate for each request.
//! - A request that may not pass is held, regardless of the host's options.
//! - Envoy calls every callback that a module exports, so the unused ones are removed.

use anyhow::{Context, Result, bail, ensure};
use walrus::ir::{BinaryOp, Binop, Const, GlobalGet, GlobalSet, Instr, Value};
use walrus::{ConstExpr, FunctionKind, Module, ModuleConfig, ValType};

/// Functions of the SDK, and those of the filter that are exported in place of them.
const OWN: [(&str, &str); 5] = [
    (ALLOCATE, "edge_key_auth_on_memory_allocate"),
    ("proxy_on_context_create", "edge_key_auth_on_context_create"),
    (REQUEST_HEADERS, "edge_key_auth_on_request_headers"),
    ("proxy_on_request_trailers", "edge_key_auth_on_request_trailers"),
    ("proxy_on_delete", "edge_key_auth_on_delete"),
];

/// The exports that the filter needs. Every other callback of the SDK would cost a call per request, or, for the body
/// callbacks, a copy of every body into the VM.
const KEPT: [&str; 13] = [
    "memory",
    ALLOCATE,
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    REQUEST_HEADERS,
    "proxy_on_request_trailers",
    "proxy_on_http_call_response",
    "proxy_on_delete",
];

/// The callback that decides whether a request passes.
const REQUEST_HEADERS: &str = "proxy_on_request_headers";

/// The request passes.
const CONTINUE: i32 = 0;

/// Headers, body and trailers are held. Envoy buffers up to the stream's flow-control window.
const STOP_ALL_ITERATION_AND_WATERMARK: i32 = 4;

/// A module for a test traps at more headers than this.
const FEW_HEADERS: i32 = 60;

/// The functions of the C library's allocator that every allocation of the module passes: the first one for a new piece
/// of memory, the second one for more or less of it.
const ALLOCATIONS: [&str; 2] = ["dlmalloc", "realloc"];

/// The function that the host allocates with inside the module.
const ALLOCATE: &str = "proxy_on_memory_allocate";

/// The module that is deployed: it holds the whole request, and does not have the unused exports, the code that only they
/// reach, and the sections for debuggers.
///
/// # Errors
/// `wasm` is not a module, or an export that the filter needs is missing.
pub fn finish(wasm: &[u8]) -> Result<Vec<u8>> {
    Ok(finished(wasm)?.emit_wasm())
}

/// A finished module that counts its allocations in an exported global, `allocations`. Tests read it.
///
/// # Errors
/// As [`finish`]; or the allocator is not found.
pub fn count_allocations(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = finished(wasm)?;
    let count = module.globals.add_local(ValType::I32, true, false, ConstExpr::Value(Value::I32(0)));
    module.exports.add("allocations", count);
    for name in ALLOCATIONS {
        let function = module.funcs.by_name(name).with_context(|| format!("no function is called {name}"))?;
        let FunctionKind::Local(function) = &mut module.funcs.get_mut(function).kind else {
            bail!("{name} is imported");
        };
        let mut body = function.builder_mut().func_body();
        let counts = [
            Instr::GlobalGet(GlobalGet { global: count }),
            Instr::Const(Const { value: Value::I32(1) }),
            Instr::Binop(Binop { op: BinaryOp::I32Add }),
            Instr::GlobalSet(GlobalSet { global: count }),
        ];
        for (at, instruction) in counts.into_iter().enumerate() {
            body.instr_at(at, instruction);
        }
    }
    Ok(module.emit_wasm())
}

fn finished(wasm: &[u8]) -> Result<Module> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false).generate_dwarf(false);
    let mut module = config.parse(wasm).context("the built file is not a Wasm module")?;

    let names: Vec<String> = module.exports.iter().map(|export| export.name.clone()).collect();
    let has = |name: &&str| names.iter().any(|export| export == name);
    let needed = KEPT.into_iter().chain(OWN.map(|(_, own)| own));
    let absent: Vec<&str> = needed.filter(|name| !has(name)).collect();
    if !absent.is_empty() {
        bail!("the module does not export {}", absent.join(", "));
    }

    for (name, own) in OWN {
        let function = module.exports.get_func(own)?;
        // An export under both names would make `hold_whole_request` wrap the wrong one.
        module.exports.remove(own)?;
        module.exports.remove(name)?;
        module.exports.add(name, function);
    }
    hold_whole_request(&mut module)?;
    for name in names.iter().filter(|name| !OWN.iter().any(|(_, own)| own == name)) {
        if !KEPT.contains(&name.as_str()) {
            module.exports.remove(name)?;
        }
    }
    let sections: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for section in sections {
        module.customs.delete(section);
    }
    walrus::passes::gc::run(&mut module);
    Ok(module)
}

/// A finished module that traps, as it does after a panic, when a request has more than [`FEW_HEADERS`] headers. A test checks
/// the other requests of the VM.
///
/// # Errors
/// `finished` is not a finished module.
pub fn trap_on_many_headers(finished: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::from_buffer(finished)?;
    let decide = module.exports.get_func(REQUEST_HEADERS)?;
    module.replace_exported_func(decide, |(body, arguments)| {
        let headers = arguments[1];
        body.local_get(headers).i32_const(FEW_HEADERS).binop(BinaryOp::I32GtU);
        body.if_else(
            None,
            |many| {
                many.unreachable();
            },
            |_| {},
        );
        for argument in arguments {
            body.local_get(*argument);
        }
        body.call(decide);
    })?;
    Ok(module.emit_wasm())
}

/// Replaces every return value of the request header callback but [`CONTINUE`] by [`STOP_ALL_ITERATION_AND_WATERMARK`].
///
/// The SDK can only return `Action::Pause`, 1, which is StopIteration. If `allow_on_headers_stop_iteration` is set in the
/// plugin's configuration, StopIteration does not stop the body, and the first byte of the body lets the request pass. A
/// value that Envoy does not know lets it pass too.
fn hold_whole_request(module: &mut Module) -> Result<()> {
    let decide = module.exports.get_func(REQUEST_HEADERS)?;
    let signature = module.types.get(module.funcs.get(decide).ty());
    let expected = (&[ValType::I32; 3][..], &[ValType::I32][..]);
    ensure!(
        (signature.params(), signature.results()) == expected,
        "{REQUEST_HEADERS} has the signature {signature:?}"
    );
    module.replace_exported_func(decide, |(body, arguments)| {
        for argument in arguments {
            body.local_get(*argument);
        }
        body.call(decide).if_else(
            ValType::I32,
            |other| {
                other.i32_const(STOP_ALL_ITERATION_AND_WATERMARK);
            },
            |zero| {
                zero.i32_const(CONTINUE);
            },
        );
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use walrus::{FunctionBuilder, FunctionId, RawCustomSection};

    use super::*;

    /// A module with these function exports, a memory and a custom section.
    fn module(functions: &[&str]) -> Vec<u8> {
        let mut module = Module::default();
        let memory = module.memories.add_local(false, false, 1, None, None);
        module.exports.add("memory", memory);
        for name in functions {
            let function = match *name {
                REQUEST_HEADERS | "edge_key_auth_on_request_headers" => first_argument(&mut module),
                _ => FunctionBuilder::new(&mut module.types, &[], &[]).finish(vec![], &mut module.funcs),
            };
            module.exports.add(name, function);
        }
        module.customs.add(RawCustomSection { name: "notes".into(), data: vec![1] });
        module.emit_wasm()
    }

    /// A request header callback that returns its first argument.
    fn first_argument(module: &mut Module) -> FunctionId {
        let i32s = [ValType::I32; 3];
        let arguments: Vec<_> = i32s.iter().map(|kind| module.locals.add(*kind)).collect();
        let mut function = FunctionBuilder::new(&mut module.types, &i32s, &i32s[..1]);
        function.func_body().local_get(arguments[0]);
        function.finish(arguments, &mut module.funcs)
    }

    fn exports(wasm: &[u8]) -> Vec<String> {
        let module = Module::from_buffer(wasm).unwrap();
        module.exports.iter().map(|export| export.name.clone()).collect()
    }

    /// The functions that [`finish`] needs.
    fn complete() -> Vec<&'static str> {
        let own = OWN.iter().map(|(_, own)| *own);
        KEPT[1..].iter().copied().chain(own).collect()
    }

    #[test]
    fn unused_callbacks_and_their_code_are_dropped() {
        let mut functions = complete();
        functions.extend(["proxy_on_log", "proxy_on_request_body", "main"]);
        let finished = finish(&module(&functions)).unwrap();
        let mut kept = exports(&finished);
        let mut expected: Vec<_> = KEPT.map(str::to_owned).to_vec();
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected);
        let finished = Module::from_buffer(&finished).unwrap();
        assert_eq!(finished.funcs.iter().count(), KEPT.len(), "all but the memory, and a wrapper");
        assert!(finished.customs.iter().all(|(_, section)| section.name() != "notes"));
    }

    #[test]
    fn every_answer_but_continue_holds_the_whole_request() {
        let finished = finish(&module(&complete())).unwrap();
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &finished).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        let decide =
            instance.get_typed_func::<(i32, i32, i32), i32>(&store, "proxy_on_request_headers").unwrap();
        assert_eq!(decide.call(&mut store, (0, 7, 1)).unwrap(), 0);
        for answer in [1, 2, 3, 4, 5, -1, i32::MIN, i32::MAX] {
            assert_eq!(decide.call(&mut store, (answer, 0, 0)).unwrap(), 4, "{answer}");
        }
    }

    #[test]
    fn the_module_for_a_test_traps_at_many_headers_only() {
        let trapping = trap_on_many_headers(&finish(&module(&complete())).unwrap()).unwrap();
        let decide = |headers| {
            let engine = wasmi::Engine::default();
            let module = wasmi::Module::new(&engine, &trapping).unwrap();
            let mut store = wasmi::Store::new(&engine, ());
            let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
            let decide =
                instance.get_typed_func::<(i32, i32, i32), i32>(&store, "proxy_on_request_headers").unwrap();
            decide.call(&mut store, (0, headers, 0))
        };
        assert_eq!(decide(FEW_HEADERS).unwrap(), 0);
        assert!(decide(FEW_HEADERS + 1).is_err());
    }

    #[test]
    fn each_call_of_the_allocator_is_counted() {
        let mut module = Module::from_buffer(&module(&complete())).unwrap();
        for (name, export) in [("dlmalloc", "proxy_on_tick"), ("realloc", "proxy_on_queue_ready")] {
            let called = FunctionBuilder::new(&mut module.types, &[], &[]).finish(vec![], &mut module.funcs);
            module.funcs.get_mut(called).name = Some(name.to_owned());
            let mut caller = FunctionBuilder::new(&mut module.types, &[], &[]);
            caller.func_body().call(called).call(called);
            let caller = caller.finish(vec![], &mut module.funcs);
            module.exports.remove(export).unwrap();
            module.exports.add(export, caller);
        }
        let counting = count_allocations(&module.emit_wasm()).unwrap();
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &counting).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        let count = |store: &wasmi::Store<()>| {
            instance.get_global(store, "allocations").and_then(|global| global.get(store).i32())
        };
        assert_eq!(count(&store), Some(0));
        for (export, counted) in
            [("proxy_on_tick", 2), ("proxy_on_queue_ready", 4), ("proxy_on_configure", 4)]
        {
            instance.get_typed_func::<(), ()>(&store, export).unwrap().call(&mut store, ()).unwrap();
            assert_eq!(count(&store), Some(counted), "{export}");
        }
    }

    #[test]
    fn a_module_without_a_known_allocator_is_refused() {
        let error = count_allocations(&module(&complete())).unwrap_err().to_string();
        assert_eq!(error, "no function is called dlmalloc");
    }

    #[test]
    fn the_filters_own_callbacks_take_the_place_of_the_sdks() {
        let mut module = Module::from_buffer(&module(&complete())).unwrap();
        for (at, (name, own)) in OWN.into_iter().enumerate().filter(|(_, (name, _))| *name != REQUEST_HEADERS)
        {
            for (export, answer) in [(name, -1), (own, at as i32)] {
                let mut function = FunctionBuilder::new(&mut module.types, &[], &[ValType::I32]);
                function.func_body().i32_const(answer);
                let function = function.finish(vec![], &mut module.funcs);
                module.exports.remove(export).unwrap();
                module.exports.add(export, function);
            }
        }
        let finished = finish(&module.emit_wasm()).unwrap();
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &finished).unwrap();
        let mut store = wasmi::Store::new(&engine, ());
        let instance = wasmi::Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        for (at, (name, _)) in OWN.into_iter().enumerate().filter(|(_, (name, _))| *name != REQUEST_HEADERS) {
            let callback = instance.get_typed_func::<(), i32>(&store, name).unwrap();
            assert_eq!(callback.call(&mut store, ()).unwrap(), at as i32, "{name}");
        }
    }

    #[test]
    fn a_callback_of_another_signature_is_refused() {
        let mut module = Module::from_buffer(&module(&complete())).unwrap();
        let own = "edge_key_auth_on_request_headers";
        module.exports.remove(own).unwrap();
        let other = FunctionBuilder::new(&mut module.types, &[], &[]).finish(vec![], &mut module.funcs);
        module.exports.add(own, other);
        let error = finish(&module.emit_wasm()).unwrap_err().to_string();
        assert!(error.starts_with("proxy_on_request_headers has the signature "), "{error}");
    }

    #[test]
    fn a_missing_callback_is_named() {
        let without =
            |name: &str| complete().into_iter().filter(|export| *export != name).collect::<Vec<_>>();
        for name in complete() {
            let error = finish(&module(&without(name))).unwrap_err().to_string();
            assert_eq!(error, format!("the module does not export {name}"));
        }
    }

    #[test]
    fn a_file_that_is_not_a_module_is_refused() {
        assert!(finish(b"not wasm").unwrap_err().to_string().contains("not a Wasm module"));
    }
}
