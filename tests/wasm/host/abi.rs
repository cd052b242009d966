//! Numbers of the ABI, and the module's memory.

use wasmi::{AsContextMut, Caller, Extern, Func, Memory, Val};

use super::state::{Headers, State};

/// The first root context.
pub(super) const ROOT: u32 = 1;
pub(super) const OK: i32 = 0;
pub(super) const NOT_FOUND: i32 = 1;
pub(super) const BAD_ARGUMENT: i32 = 2;
pub(super) const INTERNAL_FAILURE: i32 = 10;
pub(super) const EMPTY: i32 = 7;

pub(super) type Vm<'a> = Caller<'a, State>;

fn memory(vm: &Vm<'_>) -> Memory {
    vm.get_export("memory").and_then(Extern::into_memory).unwrap()
}

pub(super) fn read(vm: &Vm<'_>, at: i32, size: i32) -> Vec<u8> {
    let mut bytes = vec![0; size as u32 as usize];
    memory(vm).read(vm, at as u32 as usize, &mut bytes).unwrap();
    bytes
}

pub(super) fn read_text(vm: &Vm<'_>, at: i32, size: i32) -> String {
    String::from_utf8(read(vm, at, size)).unwrap()
}

pub(super) fn write(vm: &mut Vm<'_>, at: i32, bytes: &[u8]) {
    memory(vm).write(vm, at as u32 as usize, bytes).unwrap();
}

pub(super) fn write_number(vm: &mut Vm<'_>, at: i32, number: u32) {
    write(vm, at, &number.to_le_bytes());
}

/// Hands bytes to the module in memory that it allocates itself.
pub(super) fn give(vm: &mut Vm<'_>, bytes: &[u8], data: i32, size: i32) -> i32 {
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

pub(super) fn read_headers(vm: &Vm<'_>, at: i32, size: i32) -> Headers {
    let block = read(vm, at, size);
    let pairs = edge_key_auth::headers::HeaderPairs::new(&block).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    pairs.map(|pair| pair.map(|(name, value)| (text(name), value.to_vec())).unwrap()).collect()
}
