//! Frames that are hostile, broken or of another time.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use polos_toolbox::Client;
use polos_toolbox::frame;
use polos_toolbox::message::{
    Code, FromToolbox, Hello, ReadRequest, Reply, Request, ToToolbox, VERSION,
};
use serde_json::{Value, json};

use crate::harness::{Toolbox, start};

fn raw(toolbox: &Toolbox) -> UnixStream {
    UnixStream::connect(toolbox.state().join("toolbox.sock")).unwrap()
}

fn greeted(toolbox: &Toolbox) -> UnixStream {
    let mut stream = raw(toolbox);
    frame::write(&mut stream, &ToToolbox::Hello(Hello::new("raw"))).unwrap();
    let welcome: Option<FromToolbox> = frame::read(&mut stream).unwrap();
    assert!(matches!(welcome, Some(FromToolbox::Welcome(_))), "{welcome:?}");
    stream
}

/// Sends bytes, then expects a fault that contains `what`, and the end.
fn faulted(mut stream: UnixStream, bytes: &[u8], what: &str) {
    stream.write_all(bytes).unwrap();
    let fault: Option<FromToolbox> = frame::read(&mut stream).unwrap();
    let Some(FromToolbox::Fault { message }) = fault else { panic!("no fault: {fault:?}") };
    assert!(message.contains(what), "{message}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

fn framed(message: &Value) -> Vec<u8> {
    frame::encode(message).unwrap()
}

#[test]
fn what_cannot_be_understood_ends_the_connection_and_nothing_else() {
    let toolbox = start();
    faulted(raw(&toolbox), &u32::MAX.to_le_bytes(), "over the limit");
    faulted(raw(&toolbox), b"\x03\0\0\0{{{", "not a message");
    faulted(raw(&toolbox), b"\x02\0\0\0\xff\xff", "not a message");
    faulted(raw(&toolbox), &framed(&json!({"type": "dance"})), "unknown variant `dance`");
    faulted(
        raw(&toolbox),
        &framed(&json!({"type": "request", "id": 1, "request": {"op": "ping"}})),
        "before the hello",
    );
    let hello = json!({"type": "hello", "version_min": 1, "version_max": 1});
    faulted(greeted(&toolbox), &framed(&hello), "second hello");
    faulted(
        greeted(&toolbox),
        &framed(&json!({"type": "request", "id": -1, "request": {}})),
        "not a message",
    );
    let deep = r#"{"type":"request","id":1,"request":"#.to_owned() + &"[".repeat(200_000);
    let length = u32::try_from(deep.len()).unwrap().to_le_bytes();
    faulted(greeted(&toolbox), &[&length, deep.as_bytes()].concat(), "recursion limit");
    assert_eq!(toolbox.client.call(Request::Ping).unwrap(), Reply::Pong);
}

#[test]
fn a_frame_that_breaks_off_ends_the_connection() {
    let toolbox = start();
    let stream = greeted(&toolbox);
    let mut half = stream.try_clone().unwrap();
    half.write_all(&framed(&json!({"type": "request"}))[..7]).unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    faulted(stream, b"", "ended within a frame");
    assert_eq!(toolbox.client.call(Request::Ping).unwrap(), Reply::Pong);
}

#[test]
fn other_versions_are_told_apart() {
    let toolbox = start();
    let later = json!({"type": "hello", "version_min": VERSION + 1, "version_max": VERSION + 4});
    faulted(raw(&toolbox), &framed(&later), "this toolbox speaks");
    let mut stream = raw(&toolbox);
    let both = json!({"type": "hello", "version_min": 0, "version_max": 9, "mood": "fine"});
    frame::write(&mut stream, &both).unwrap();
    let Some(FromToolbox::Welcome(welcome)) = frame::read(&mut stream).unwrap() else {
        panic!("no welcome")
    };
    assert_eq!((welcome.version, welcome.workspace.as_str()), (VERSION, "/workspace"));
}

#[test]
fn an_unknown_request_is_refused_by_itself() {
    let toolbox = start();
    let mut stream = greeted(&toolbox);
    for (id, request) in [(1, json!({"op": "fly"})), (2, json!({"op": "read"})), (3, json!(7))] {
        frame::write(&mut stream, &json!({"type": "request", "id": id, "request": request}))
            .unwrap();
        let answer: Option<FromToolbox> = frame::read(&mut stream).unwrap();
        let Some(FromToolbox::Refused { id: answered, refusal }) = answer else {
            panic!("not refused: {answer:?}")
        };
        assert_eq!((answered, refusal.code), (id, Code::BadRequest), "{refusal}");
    }
    let ping = json!({"type": "request", "id": 4, "request": {"op": "ping", "later": true}});
    frame::write(&mut stream, &ping).unwrap();
    let Some(FromToolbox::Reply { id: 4, reply }) = frame::read(&mut stream).unwrap() else {
        panic!("no reply")
    };
    assert_eq!(*reply, Reply::Pong);
}

#[test]
fn requests_do_not_wait_for_each_other() {
    let toolbox = start();
    let (sender, receiver) = std::sync::mpsc::channel();
    let slow = crate::harness::shell("slow", "read line; echo $line");
    let slow = polos_toolbox::message::Exec { stdin: polos_toolbox::message::Stdin::Open, ..slow };
    toolbox.client.send(Request::Exec(slow), move |incoming| drop(sender.send(incoming))).unwrap();
    receiver.recv().unwrap();
    for _ in 0..100 {
        assert_eq!(toolbox.client.call(Request::Ping).unwrap(), Reply::Pong);
    }
    assert!(receiver.try_recv().is_err());
}

#[test]
fn attach_relays_to_the_toolbox_that_serves() {
    let toolbox = start();
    let mut relay = Command::new(env!("CARGO_BIN_EXE_polos-toolbox"))
        .args(["attach", "--state"])
        .arg(toolbox.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (stdin, stdout) = (relay.stdin.take().unwrap(), relay.stdout.take().unwrap());
    let client = Client::connect(stdout, stdin, "relayed").unwrap();
    let request = ReadRequest { path: "nowhere".to_owned(), ..ReadRequest::default() };
    let error = client.call(Request::Read(request)).unwrap_err();
    assert!(error.to_string().contains("`/workspace/nowhere` does not exist"), "{error}");
    drop(client);
    assert!(relay.wait().unwrap().success());
    let nobody = Command::new(env!("CARGO_BIN_EXE_polos-toolbox"))
        .args(["attach", "--state", "/nonexistent"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no toolbox serves"), "{nobody:?}");
}

#[test]
fn the_command_line_says_what_is_wrong() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_polos-toolbox"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&[]).starts_with("usage: "));
    assert!(run(&["serve"]).starts_with("`--state` is missing"));
    assert!(run(&["serve", "--state"]).starts_with("`--state` needs a value"));
    assert!(run(&["serve", "--stat", "x"]).starts_with("unknown option `--stat`"));
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let missing = run(&["serve", "--state", &state, "--workspace", "/nonexistent"]);
    assert_eq!(missing, "`/nonexistent` does not exist\n");
}
