//! Callouts, and the queue and the buffers that belong to them.

use std::collections::VecDeque;

use wasmi::Linker;
use wasmi::errors::LinkerError;

use super::count;
use crate::host::abi::{
    BAD_ARGUMENT, EMPTY, NOT_FOUND, OK, Vm, give, read, read_headers, read_text, write_number,
};
use crate::host::state::{Callout, State};

pub(super) fn serve(linker: &mut Linker<State>) -> Result<(), LinkerError> {
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
        let effective = vm.data().effective;
        assert!(vm.data().roots.contains(&effective), "callouts are sent from a root context");
        let cluster = read_text(&vm, cluster, cluster_size);
        if vm.data().clusters.as_ref().is_some_and(|known| !known.contains(&cluster)) {
            return BAD_ARGUMENT;
        }
        let headers = read_headers(&vm, headers, headers_size);
        let body = read_text(&vm, body, body_size);
        vm.data_mut().sent_by.push(effective);
        let sent = vm.data().sent_by.len() as u32;
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
            let root = vm.data().effective;
            vm.data_mut().queues.push((root, VecDeque::new()));
            let number = vm.data().queues.len() as u32;
            write_number(&mut vm, id, number);
            OK
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_enqueue_shared_queue",
        |mut vm: Vm<'_>, queue: i32, value: i32, size: i32| {
            count(&mut vm, "enqueue");
            let value = read(&vm, value, size);
            match vm.data_mut().queues.get_mut(queue as usize - 1) {
                Some((_, queue)) => {
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
        |mut vm: Vm<'_>, queue: i32, data: i32, size: i32| {
            count(&mut vm, "dequeue");
            let root = vm.data().effective;
            let queue = vm.data_mut().queues.get_mut(queue as usize - 1);
            let taken = queue.and_then(|(owner, values)| {
                assert_eq!(*owner, root, "a queue is read by the context that has registered it");
                values.pop_front()
            });
            match taken {
                Some(value) => give(&mut vm, &value, data, size),
                None => EMPTY,
            }
        },
    )?;
    Ok(())
}
