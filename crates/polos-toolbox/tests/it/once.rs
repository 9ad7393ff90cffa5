//! A command starts at most once per id, whoever dies in between.

use std::fs;

use polos_toolbox::client::{Client, Error};
use polos_toolbox::message::{Code, Connector, Exec, ExecResult, Reply, Request, Status, Stream};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Options, Toolbox, connect, pipeline, plan, processes_in, shell, spawn, start, until,
};

fn status(client: &Client, command: &str) -> Status {
    match client.call(Request::Status { command: command.to_owned() }).unwrap() {
        Reply::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

fn attach(client: &Client, command: &str) -> Result<ExecResult, Code> {
    match client.call(Request::Attach { command: command.to_owned() }) {
        Ok(Reply::Exec(result)) => Ok(result),
        Err(Error::Refused(refusal)) => Err(refusal.code),
        other => panic!("neither: {other:?}"),
    }
}

/// Appends a line to `effects`, then waits for the file `go`.
fn waiting(id: &str) -> Exec {
    shell(id, "echo once >> effects; while [ ! -e go ]; do sleep 0.02; done; echo done")
}

fn effects(toolbox: &Toolbox) -> usize {
    fs::read_to_string(toolbox.workspace().join("effects")).unwrap_or_default().lines().count()
}

fn kill_hard(process: &mut std::process::Child) {
    kill_process(Pid::from_child(process), Signal::KILL).unwrap();
    process.wait().unwrap();
}

#[test]
fn a_second_exec_returns_the_first_result() {
    let toolbox = start();
    assert_eq!(status(&toolbox.client, "a"), Status::NotStarted);
    let first = toolbox.shell("a", "echo $$ >> effects; date +%N");
    let second = toolbox.shell("a", "echo $$ >> effects; date +%N");
    assert_eq!(first, second);
    assert_eq!((effects(&toolbox), toolbox.started()), (1, 1));
    let Status::Done { result } = status(&toolbox.client, "a") else { panic!("not done") };
    assert_eq!(*result, first);
    assert_eq!(attach(&toolbox.client, "a"), Ok(first));
}

#[test]
fn an_id_stands_for_one_command() {
    let toolbox = start();
    toolbox.shell("a", "echo one >> effects");
    let other = toolbox.refused(Request::Exec(shell("a", "echo two >> effects")));
    assert_eq!(other.code, Code::CommandConflict, "{other}");
    // Another environment does not make another command: a later worker's may differ.
    let mut again = shell("a", "echo one >> effects");
    again.env.insert("PORT".to_owned(), "2".to_owned());
    assert_eq!(toolbox.exec(again).exit_code, Some(0));
    assert_eq!(effects(&toolbox), 1);
}

#[test]
fn many_at_once_start_it_once() {
    let toolbox = start();
    let again = toolbox.connect_again();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..20)
            .map(|index| {
                let client = if index % 2 == 0 { toolbox.client.clone() } else { again.clone() };
                scope.spawn(move || client.call(Request::Exec(waiting("a"))).unwrap())
            })
            .collect();
        until("it runs", || effects(&toolbox) > 0);
        fs::write(toolbox.workspace().join("go"), "").unwrap();
        for thread in running {
            let Reply::Exec(result) = thread.join().unwrap() else { panic!("no result") };
            assert_eq!(result.stdout, "done\n");
        }
    });
    assert_eq!((effects(&toolbox), toolbox.started()), (1, 1));
}

#[test]
fn the_next_worker_attaches_over_the_socket() {
    let toolbox = start();
    // The first worker is a connection that goes away in the middle.
    let first = toolbox.connect_again();
    let (sender, streams) = std::sync::mpsc::channel();
    first.send(Request::Exec(waiting("a")), move |incoming| drop(sender.send(incoming))).unwrap();
    streams.recv().unwrap();
    until("it runs", || effects(&toolbox) == 1);
    drop(first);

    let next = toolbox.connect_again();
    assert_eq!(next.welcome().running, ["a"]);
    assert_eq!(status(&next, "a"), Status::Running);
    let following = std::thread::spawn({
        let next = next.clone();
        move || {
            let mut pids = 0;
            let reply = next.call_with(Request::Attach { command: "a".to_owned() }, |stream| {
                pids += usize::from(matches!(stream, Stream::Running { .. }));
            });
            (reply, pids)
        }
    });
    until("it follows", || !following.is_finished());
    fs::write(toolbox.workspace().join("go"), "").unwrap();
    let (reply, pids) = following.join().unwrap();
    let Ok(Reply::Exec(result)) = reply else { panic!("no result: {reply:?}") };
    assert_eq!((result.stdout.as_str(), pids), ("done\n", 1));
    assert_eq!((effects(&toolbox), toolbox.started()), (1, 1));
}

#[test]
fn a_killed_toolbox_loses_no_command() {
    let mut toolbox = start();
    let exec = Exec { background: true, timeout_ms: None, ..waiting("a") };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    until("it runs", || effects(&toolbox) == 1);
    kill_hard(&mut toolbox.process);
    until("the connection is lost", || toolbox.client.lost().is_some());

    // Its supervisor went on: a new toolbox over the same state finds and follows it.
    toolbox.process = spawn(toolbox.folder.path(), &Options::default());
    toolbox.client = connect(&mut toolbox.process);
    assert_eq!(status(&toolbox.client, "a"), Status::Running);
    let following = std::thread::spawn({
        let client = toolbox.client.clone();
        move || attach(&client, "a")
    });
    fs::write(toolbox.workspace().join("go"), "").unwrap();
    assert_eq!(following.join().unwrap().unwrap().stdout, "done\n");
    assert_eq!(toolbox.exec(waiting("a")).stdout, "done\n");
    assert_eq!((effects(&toolbox), toolbox.started()), (1, 1));
}

#[test]
fn a_command_of_a_killed_toolbox_can_be_ended() {
    let mut toolbox = start();
    let exec = Exec { background: true, timeout_ms: None, ..waiting("a") };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    until("it runs", || effects(&toolbox) == 1);
    kill_hard(&mut toolbox.process);
    toolbox.process = spawn(toolbox.folder.path(), &Options::default());
    toolbox.client = connect(&mut toolbox.process);
    let killed = toolbox.client.call(Request::Kill { command: "a".to_owned() }).unwrap();
    assert_eq!(killed, Reply::Killed { command: "a".to_owned(), was_running: true });
    assert!(matches!(status(&toolbox.client, "a"), Status::Done { .. }));
}

#[test]
fn an_intent_without_an_outcome_is_in_doubt() {
    let mut toolbox = start();
    let exec = Exec { background: true, timeout_ms: None, ..waiting("a") };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    until("it runs", || effects(&toolbox) == 1);
    // The box dies as a whole: supervisor, command and toolbox at once.
    let supervisor = toolbox.supervisor();
    kill_process(Pid::from_child(&toolbox.process), Signal::STOP).unwrap();
    kill_process(supervisor, Signal::KILL).unwrap();
    kill_hard(&mut toolbox.process);

    toolbox.process = spawn(toolbox.folder.path(), &Options::default());
    toolbox.client = connect(&mut toolbox.process);
    // The supervisor's death may take a moment to be complete.
    until("it is in doubt", || matches!(status(&toolbox.client, "a"), Status::Unknown { .. }));
    let again = toolbox.refused(Request::Exec(waiting("a")));
    assert_eq!(again.code, Code::OutcomeUnknown, "{again}");
    assert_eq!(attach(&toolbox.client, "a"), Err(Code::OutcomeUnknown));
    assert_eq!(attach(&toolbox.client, "b"), Err(Code::NotStarted));
    assert_eq!(effects(&toolbox), 1);
    // What is in doubt may run on; nothing of it outlives this test.
    let folder = toolbox.folder.path().to_owned();
    assert!(!processes_in(&folder).is_empty());
    drop(toolbox);
    assert_eq!(processes_in(&folder), []);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent() {
    use std::os::unix::fs::PermissionsExt as _;
    let toolbox = start();
    toolbox.shell("a", "echo once >> effects");
    let commands = toolbox.state().join("commands");
    let record = fs::read_dir(&commands).unwrap().next().unwrap().unwrap().path();
    if rustix::process::geteuid().is_root() {
        // Nothing keeps root out; what cannot be read is made of something else.
        fs::remove_dir_all(&record).unwrap();
        std::os::unix::fs::symlink(&record, &record).unwrap();
    } else {
        fs::set_permissions(&record, fs::Permissions::from_mode(0o000)).unwrap();
    }
    // Its supervisor, which knows, may take a moment to end.
    until("it is in doubt", || matches!(status(&toolbox.client, "a"), Status::Unknown { .. }));
    let again = toolbox.refused(Request::Exec(shell("a", "echo once >> effects")));
    assert_eq!(again.code, Code::OutcomeUnknown, "{again}");
    assert_eq!((effects(&toolbox), toolbox.started()), (1, 1));
}

#[test]
fn an_intent_that_cannot_be_written_starts_nothing() {
    let toolbox = start();
    let commands = toolbox.state().join("commands");
    fs::remove_dir(&commands).unwrap();
    fs::write(&commands, "in the way").unwrap();
    let refusal = toolbox.refused(Request::Exec(waiting("a")));
    assert_eq!(refusal.code, Code::System, "{refusal}");
    assert_eq!((effects(&toolbox), toolbox.started()), (0, 0));
}

#[test]
fn the_toolbox_outlives_its_worker_for_the_grace() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("workspace")).unwrap();
    let more = vec!["--grace-ms".to_owned(), "1000".to_owned()];
    let mut process = spawn(folder.path(), &Options { more });
    let socket = folder.path().join("state/toolbox.sock");
    drop(connect(&mut process));
    // The next worker comes within the grace, and stays for longer than that.
    let next = Client::connect_unix(&socket, "next").unwrap();
    let slow = shell("slow", "sleep 1.5; echo done");
    let Reply::Exec(result) = next.call(Request::Exec(slow)).unwrap() else { panic!("no result") };
    assert_eq!(result.stdout, "done\n");
    assert!(process.try_wait().unwrap().is_none());
    drop(next);
    assert!(process.wait().unwrap().success());
    assert!(!socket.exists());
}

#[test]
fn a_state_directory_has_one_toolbox() {
    let toolbox = start();
    let second = spawn(toolbox.folder.path(), &Options::default()).wait().unwrap();
    assert!(!second.success());
    let result = toolbox.exec(plan("a", vec![pipeline(Connector::Always, &["echo fine"])]));
    assert_eq!(result.stdout, "fine\n");
}
