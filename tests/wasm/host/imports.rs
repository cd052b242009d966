//! The functions that the module imports.

use wasmi::{Caller, Engine, Error, Linker, Module, Val};

use super::abi::Vm;
use super::state::{State, Stream};

mod callouts;
mod requests;
mod system;

pub(super) fn linker(engine: &Engine, module: &Module) -> Linker<State> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        let unserved = format!("{}.{} is not served by this host", import.module(), import.name());
        let kind = import.ty().func().unwrap().clone();
        let stop = move |_: Caller<'_, State>, _: &[Val], _: &mut [Val]| Err(Error::new(unserved.clone()));
        linker.func_new(import.module(), import.name(), kind, stop).unwrap();
    }
    requests::serve(&mut linker).unwrap();
    callouts::serve(&mut linker).unwrap();
    system::serve(&mut linker).unwrap();
    linker
}

fn count(vm: &mut Vm<'_>, name: &'static str) {
    *vm.data_mut().host_calls.entry(name).or_default() += 1;
}

fn current<'v>(vm: &'v mut Vm<'_>) -> &'v mut Stream {
    let effective = vm.data().effective;
    vm.data_mut().streams.get_mut(&effective).expect("a host call about a request, outside of one")
}
