//! Log, timer, metrics, clocks, randomness and environment.

use wasmi::Linker;
use wasmi::errors::LinkerError;

use super::count;
use crate::host::abi::{OK, Vm, read_text, write, write_number};
use crate::host::state::State;

pub(super) fn serve(linker: &mut Linker<State>) -> Result<(), LinkerError> {
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
    let set = |mut vm: Vm<'_>, id: i32, value: i64| {
        count(&mut vm, "set_metric");
        vm.data_mut().metrics[id as usize].1 += value;
        OK
    };
    linker.func_wrap("env", "proxy_increment_metric", set)?;
    linker.func_wrap("env", "proxy_record_metric", set)?;
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
