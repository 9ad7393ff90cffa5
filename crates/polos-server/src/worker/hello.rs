//! The first frame: what it must be, and which version of the protocol both sides speak.

use super::fatal;
use crate::json;
use polos_protocol::frame::{Fatal, FromWorker, Hello, VERSIONS};
use polos_protocol::limits::NAME_BYTES_MAX;

/// How many definitions, queues or placements a worker may declare.
const DECLARED_MAX: usize = 4096;
/// How many runs a worker may take at once.
const SLOTS_MAX: u32 = 100_000;

/// Reads a frame's text.
pub(super) fn parse(text: &str) -> Result<FromWorker, Fatal> {
    if text.len() > polos_protocol::limits::MESSAGE_BYTES_MAX {
        return Err(too_large(text.len()));
    }
    json::check(text, json::TEXT_DEPTH_MAX).map_err(|error| {
        fatal("invalid_json", error.to_string(), "see docs/errors/invalid_json")
    })?;
    FromWorker::from_text(text).map_err(|error| {
        let code = match error {
            polos_protocol::frame::FrameError::Unknown(_) => "unknown_frame",
            _ => "invalid_frame",
        };
        fatal(code, error.to_string(), "use an SDK of the server's version")
    })
}

pub(super) fn too_large(bytes: usize) -> Fatal {
    fatal(
        "frame_too_large",
        format!("a frame of {bytes} bytes is larger than a frame may be"),
        "send large values with `store`, and refer to them",
    )
}

/// Checks the first frame.
pub(super) fn admit(frame: FromWorker) -> Result<Box<Hello>, Fatal> {
    let FromWorker::Hello(hello) = frame else {
        return Err(fatal(
            "hello_expected",
            format!("the first frame must be `hello`, not `{}`", frame.kind()),
            "say who you are first",
        ));
    };
    let [lowest, highest] = hello.protocol;
    if lowest > highest || highest < VERSIONS[0] || lowest > VERSIONS[1] {
        return Err(fatal(
            "protocol_version",
            format!(
                "the worker speaks protocol {lowest} to {highest}, the server {} to {}",
                VERSIONS[0], VERSIONS[1]
            ),
            if highest < VERSIONS[0] { "update the SDK" } else { "update the server" },
        ));
    }
    limits(&hello)?;
    Ok(Box::new(hello))
}

fn limits(hello: &Hello) -> Result<(), Fatal> {
    let declared = [
        ("definitions", hello.definitions.len()),
        ("queues", hello.queues.len()),
        ("placements", hello.placements.len()),
        ("features", hello.features.len()),
        ("kinds", hello.kinds.len()),
    ];
    for (what, count) in declared {
        if count > DECLARED_MAX {
            return Err(bad(format!("`{what}` has {count} entries; at most {DECLARED_MAX}")));
        }
    }
    if hello.slots > SLOTS_MAX {
        return Err(bad(format!("`slots` is {}; at most {SLOTS_MAX}", hello.slots)));
    }
    let definitions = hello.definitions.iter().map(|definition| definition.name.as_str());
    let queues = hello.queues.iter().map(|queue| queue.name.as_str());
    for name in definitions.chain(queues) {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(bad(format!("a name has {} bytes; 1 to {NAME_BYTES_MAX}", name.len())));
        }
    }
    let said = [&hello.name, &hello.sdk, &hello.host.name, &hello.host.boot];
    if said.iter().any(|text| text.len() > NAME_BYTES_MAX) || hello.build.len() > NAME_BYTES_MAX {
        return Err(bad(format!(
            "`name`, `sdk`, `build` and `host`: at most {NAME_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn bad(message: String) -> Fatal {
    fatal("invalid_hello", message, "declare less")
}
