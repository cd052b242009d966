//! Headers, trailers, replies and properties of requests.

use wasmi::Linker;
use wasmi::errors::LinkerError;

use super::{count, current};
use crate::host::abi::{
    BAD_ARGUMENT, INTERNAL_FAILURE, NOT_FOUND, OK, Vm, give, read, read_headers, read_text,
};
use crate::host::state::{Iteration, Outcome, State};

pub(super) fn serve(linker: &mut Linker<State>) -> Result<(), LinkerError> {
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
    let add = |mut vm: Vm<'_>, map: i32, name: i32, name_size: i32, value: i32, value_size: i32| {
        count(&mut vm, "add_header");
        assert_eq!(map, 0, "request headers");
        let header = (read_text(&vm, name, name_size), read(&vm, value, value_size));
        current(&mut vm).headers.push(header);
        OK
    };
    linker.func_wrap("env", "proxy_add_header_map_value", add)?;
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
        // The headers have been forwarded when trailers arrive, so the host ends such a request at the upstream.
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
            let value = match read_text(&vm, path, path_size).as_str() {
                "source\0address" => current(&mut vm).address.clone().into_bytes(),
                path => match node_property(path) {
                    Some(value) => value,
                    None => return NOT_FOUND,
                },
            };
            give(&mut vm, &value, data, size)
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
        if !vm.data().roots.contains(&context) && !vm.data().streams.contains_key(&context) {
            return BAD_ARGUMENT;
        }
        vm.data_mut().effective = context;
        OK
    })?;
    Ok(())
}

/// A property of Envoy's node, in the forms in which Envoy gives texts and numbers.
fn node_property(path: &str) -> Option<Vec<u8>> {
    let number = |number: u64| Some(number.to_le_bytes().to_vec());
    match path.strip_prefix("xds\0node\0")? {
        "id" => Some(b"edge-\xff1".to_vec()),
        "cluster" => Some(Vec::new()),
        "user_agent_build_version\0version\0major_number" => number(1),
        "user_agent_build_version\0version\0minor_number" => number(40),
        "user_agent_build_version\0version\0patch" => number(0),
        _ => None,
    }
}
