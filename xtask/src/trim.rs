//! Trims the compiled module: Envoy calls every callback that a module exports, so the unused ones go.

use anyhow::{Context, Result, bail};
use walrus::ModuleConfig;

/// The exports that the filter lives on. Whatever else the SDK exports would cost a call per request, or, for
/// the body callbacks, a copy of every body into the VM.
const KEPT: [&str; 11] = [
    "memory",
    "_initialize",
    "proxy_abi_version_0_2_1",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_request_headers",
    "proxy_on_http_call_response",
    "proxy_on_delete",
];

/// How Envoy allocates inside the module: it looks for these names, and one is enough.
const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

/// The module without the exports that the filter does not use, the code that only they reached, and the
/// sections that only debuggers read.
///
/// # Errors
/// `wasm` is not a module, or lacks an export that the filter cannot do without.
pub fn trim(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false).generate_dwarf(false);
    let mut module = config.parse(wasm).context("the built file is not a Wasm module")?;

    let names: Vec<String> = module.exports.iter().map(|export| export.name.clone()).collect();
    let has = |name: &&str| names.iter().any(|export| export == name);
    let mut absent: Vec<&str> = KEPT.into_iter().filter(|name| !has(name)).collect();
    if !ALLOCATORS.iter().any(has) {
        absent.push("proxy_on_memory_allocate");
    }
    if !absent.is_empty() {
        bail!("the module does not export {}", absent.join(", "));
    }

    for name in &names {
        if !KEPT.contains(&name.as_str()) && !ALLOCATORS.contains(&name.as_str()) {
            module.exports.remove(name)?;
        }
    }
    let sections: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for section in sections {
        module.customs.delete(section);
    }
    walrus::passes::gc::run(&mut module);
    Ok(module.emit_wasm())
}

#[cfg(test)]
mod tests {
    use walrus::{FunctionBuilder, Module, RawCustomSection};

    use super::*;

    /// A module with these function exports, a memory and a custom section.
    fn module(functions: &[&str]) -> Vec<u8> {
        let mut module = Module::default();
        let memory = module.memories.add_local(false, false, 1, None, None);
        module.exports.add("memory", memory);
        for name in functions {
            let function = FunctionBuilder::new(&mut module.types, &[], &[]);
            let function = function.finish(vec![], &mut module.funcs);
            module.exports.add(name, function);
        }
        module.customs.add(RawCustomSection { name: "notes".into(), data: vec![1] });
        module.emit_wasm()
    }

    fn exports(wasm: &[u8]) -> Vec<String> {
        let module = Module::from_buffer(wasm).unwrap();
        module.exports.iter().map(|export| export.name.clone()).collect()
    }

    fn complete() -> Vec<&'static str> {
        KEPT[1..].iter().copied().chain(["proxy_on_memory_allocate"]).collect()
    }

    #[test]
    fn unused_callbacks_and_their_code_are_dropped() {
        let mut functions = complete();
        functions.extend(["proxy_on_log", "proxy_on_request_body", "main"]);
        let trimmed = trim(&module(&functions)).unwrap();
        let mut kept = exports(&trimmed);
        let mut expected: Vec<_> = complete().into_iter().map(str::to_owned).collect();
        expected.push("memory".to_owned());
        kept.sort();
        expected.sort();
        assert_eq!(kept, expected);
        let trimmed = Module::from_buffer(&trimmed).unwrap();
        assert_eq!(trimmed.funcs.iter().count(), complete().len());
        assert!(trimmed.customs.iter().all(|(_, section)| section.name() != "notes"));
    }

    #[test]
    fn a_missing_callback_is_named() {
        let without =
            |name: &str| complete().into_iter().filter(|export| *export != name).collect::<Vec<_>>();
        for name in complete() {
            let error = trim(&module(&without(name))).unwrap_err().to_string();
            assert_eq!(error, format!("the module does not export {name}"));
        }
        let mut malloc = without("proxy_on_memory_allocate");
        malloc.push("malloc");
        assert!(exports(&trim(&module(&malloc)).unwrap()).contains(&"malloc".to_owned()));
    }

    #[test]
    fn a_file_that_is_no_module_is_refused() {
        assert!(trim(b"not wasm").unwrap_err().to_string().contains("not a Wasm module"));
    }
}
