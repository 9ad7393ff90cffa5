//! The toolbox as process 1 of a box: namespaces of its own, and little room for its state.

use polos_toolbox::message::{Code, Ended, Exec, Reply, Request, Status, WriteRequest};

use crate::harness::{Toolbox, new_mark, processes_with, shell, start_boxed, until};

fn status(toolbox: &Toolbox, command: &str) -> Status {
    match toolbox.client.call(Request::Status { command: command.to_owned() }).unwrap() {
        Reply::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn as_process_1_it_runs_and_ends_commands() {
    let Some(toolbox) = start_boxed(4_096) else { return };
    assert_eq!(toolbox.client.welcome().pid, 1);
    let result = toolbox.shell("a", "echo $$ | grep -q . && echo fine");
    assert_eq!((result.stdout.as_str(), result.exit_code), ("fine\n", Some(0)));
    let mark = new_mark();
    let line = format!("setsid setsid sleep 9.{mark} & (setsid sleep 9.{mark} &); sleep 9.{mark}");
    let slow = toolbox.exec(Exec { timeout_ms: Some(500), ..shell("slow", &line) });
    assert_eq!(slow.ended, Ended::TimedOut);
    assert_eq!(processes_with(&format!("9.{mark}")), 0);
    assert_eq!(toolbox.shell("zombies", "ps -eo stat= | grep -c ^Z").stdout, "0\n");
}

#[test]
fn with_the_box_goes_everything_in_it() {
    let Some(mut toolbox) = start_boxed(4_096) else { return };
    let mark = new_mark();
    let line = format!("setsid sleep 9.{mark} & sleep 9.{mark}");
    let exec = Exec { background: true, timeout_ms: None, ..shell("bg", &line) };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    // The sleeps, not the shells whose lines name them.
    let sleeps = || processes_with(&format!("sleep\09.{mark}"));
    until("it runs", || sleeps() == 2);
    toolbox.process.kill().unwrap();
    until("it is gone", || sleeps() == 0);
}

#[test]
fn a_full_disk_costs_output_and_not_outcomes() {
    let Some(toolbox) = start_boxed(512) else { return };
    for id in ["one", "two", "three"] {
        let result = toolbox.shell(id, "seq 1 200000");
        assert_eq!((result.exit_code, result.ended), (Some(0), Ended::Exited));
        assert!(
            result.why.starts_with("exited with code 0; the output file is not whole: "),
            "{}",
            result.why
        );
        assert!(result.stdout.ends_with("\n200000\n"));
        let Status::Done { result: kept } = status(&toolbox, id) else { panic!("not kept") };
        assert_eq!(*kept, result);
    }
    assert_eq!(toolbox.started(), 3);
}

#[test]
fn row_35_what_is_mounted_read_only_stays() {
    let Some(toolbox) = start_boxed(4_096) else { return };
    let write = |path: &str| {
        let (path, content) = (path.to_owned(), "changed\n".to_owned());
        toolbox.refused(Request::Write(WriteRequest { path, content, ..WriteRequest::default() }))
    };
    for path in ["guarded/hook", "guarded/new", "guarded/deep/new"] {
        let refusal = write(path);
        assert_eq!(refusal.code, Code::PermissionDenied, "{refusal}");
    }
    let result = toolbox.shell("rename", "mv guarded elsewhere || rm -rf guarded");
    assert_ne!(result.exit_code, Some(0), "{result:?}");
    let kept = std::fs::read_to_string(toolbox.workspace().join("guarded/hook")).unwrap();
    assert_eq!(kept, "kept\n");
}
