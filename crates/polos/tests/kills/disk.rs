//! Disks that are full or read-only, under the real server: an error that says so, nothing
//! acknowledged, and work goes on when the disk does.

#![expect(clippy::print_stderr, reason = "says what a long test is doing")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use crate::place::{PATIENCE, Place, Process};
use polos_protocol::rest::StartRequest;
use polos_protocol::{Json, RunId};
use polos_sdk::{Client, ClientError};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a run's input: a few hundred fill the disk of these tests.
const INPUT_BYTES: usize = 16 << 10;
/// More runs than any of these disks holds.
const RUNS_MAX: u32 = 2000;

/// True where the kernel grants a mount namespace; elsewhere these tests have nothing to stand on,
/// and say so.
fn may_mount() -> bool {
    let granted = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(
        granted || std::env::var_os("POLOS_REQUIRE_SANDBOX").is_none(),
        "POLOS_REQUIRE_SANDBOX is set, but there are no user namespaces"
    );
    if !granted {
        eprintln!("no user namespaces here: not run");
    }
    granted
}

/// The server in a mount namespace of its own, after a shell has done `before` there.
fn server_after(place: &Place, before: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!("{before} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_polos"));
    place.serve(&mut command);
    command
}

/// Starts run `number`; its key makes a repetition harmless.
async fn start(client: &Client, number: u32) -> Result<RunId, ClientError> {
    let request = StartRequest {
        workflow: "nobody runs this".to_owned(),
        input: Json::from_serialize(&"x".repeat(INPUT_BYTES)).unwrap(),
        key: Some(number.to_string()),
        ..StartRequest::default()
    };
    client.start_run(&request).await.map(|started| started.id)
}

/// Starts runs until the server refuses one; gives the acknowledged ones and the refusal.
async fn until_refused(client: &Client) -> (Vec<RunId>, ClientError) {
    let mut acknowledged = Vec::new();
    for number in 0..RUNS_MAX {
        match start(client, number).await {
            Ok(id) => acknowledged.push(id),
            Err(refusal) => return (acknowledged, refusal),
        }
    }
    panic!("{RUNS_MAX} runs fit on the disk");
}

/// Asks again until the server takes the run.
async fn until_taken(client: &Client, number: u32) -> RunId {
    let end = Instant::now() + PATIENCE;
    loop {
        match start(client, number).await {
            Ok(id) => return id,
            Err(error) => assert!(Instant::now() < end, "not taken: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn says_full(error: &ClientError) {
    let ClientError::Api { status, body } = error else { panic!("{error}") };
    assert_eq!((*status, body.code.as_str()), (503, "store_unavailable"), "{body:?}");
    let text = format!("{} {}", body.message, body.hint);
    assert!(text.contains("full") && text.contains("disk"), "{text}");
}

async fn all_are_there(client: &Client, acknowledged: &[RunId]) {
    for id in acknowledged {
        client.run(*id).await.unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_passes() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    let data = place.data();
    let mount = format!(
        "mkdir -p '{0}' && mount -t tmpfs -o size=6m none '{0}' && \
         dd if=/dev/zero of='{0}/ballast' bs=1024 count=2048 2>/dev/null",
        data.display()
    );
    let mut server = Place::spawn(&mut server_after(&place, &mount));
    runtime().block_on(async {
        let client = client_within(&place, &mut server).await;
        let (acknowledged, refusal) = until_refused(&client).await;
        assert!(acknowledged.len() > 10, "only {}", acknowledged.len());
        says_full(&refusal);
        assert!(!server.has_ended(), "a full disk is no reason to end");
        // What is there can be read all the while.
        all_are_there(&client, &acknowledged).await;
        std::fs::remove_file(within(&server, &place).join("ballast")).unwrap();
        let next = u32::try_from(acknowledged.len()).unwrap();
        let late = until_taken(&client, next).await;
        all_are_there(&client, &acknowledged).await;
        assert!(!acknowledged.contains(&late));
        assert_eq!(client.health().await.unwrap().status, "ok");
    });
}

/// The data directory as the server sees it.
fn within(server: &Process, place: &Place) -> PathBuf {
    let data = place.data();
    let inner = data.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{}/root", server.id())).join(inner)
}

/// As [`Place::client`], for a server whose token only its own namespace shows.
async fn client_within(place: &Place, server: &mut Process) -> Client {
    let end = Instant::now() + PATIENCE;
    let file = within(server, place).join("token");
    loop {
        if let Ok(token) = std::fs::read_to_string(&file) {
            let client = Client::new(&place.url(), token.trim()).unwrap();
            if client.health().await.is_ok() {
                return client;
            }
        }
        assert!(!server.has_ended(), "the server has ended");
        assert!(Instant::now() < end, "the server does not answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The kernel's limit on a file's size stands for the disk where nothing can be mounted.
#[test]
fn a_file_that_may_not_grow_loses_nothing() {
    let place = Place::new();
    let mut command = Command::new("sh");
    // Blocks of 512 bytes; without the trap the signal of the limit would end the process.
    command.args(["-c", "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_polos"));
    place.serve(&mut command);
    let mut server = Place::spawn(&mut command);
    runtime().block_on(async {
        let client = place.client(&mut server).await;
        let (acknowledged, refusal) = until_refused(&client).await;
        assert!(acknowledged.len() > 10, "only {}", acknowledged.len());
        assert!(refusal.is_retryable(), "{refusal}");
        server.kill();
        let mut server = place.server();
        let client = place.client(&mut server).await;
        all_are_there(&client, &acknowledged).await;
        until_taken(&client, RUNS_MAX).await;
    });
}

#[test]
fn a_read_only_directory_is_refused_at_the_start_in_words() {
    if !may_mount() {
        return;
    }
    let place = Place::new();
    // A server that has been there leaves a database behind.
    runtime().block_on(async {
        let mut server = place.server();
        let client = place.client(&mut server).await;
        start(&client, 0).await.unwrap();
        server.kill();
    });
    let data = place.data();
    let mount =
        format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", data.display());
    let output = server_after(&place, &mount).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
    assert!(said.contains(&*data.to_string_lossy()), "{said}");
    // Nothing is broken: the next one, with a directory it may write, has what was there.
    runtime().block_on(async {
        let mut server = place.server();
        let client = place.client(&mut server).await;
        start(&client, 0).await.unwrap();
    });
}
