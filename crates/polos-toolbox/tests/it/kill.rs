//! Ends by force: whole trees, whatever they did to get away.

use std::time::{Duration, Instant};

use polos_toolbox::message::{Code, Ended, Exec, Reply, Request, Status};

use rustix::process::{Signal, kill_process};

use crate::harness::{Toolbox, new_mark, processes_with, shell, start, until};

/// Leaves grandchildren behind that changed session and parent, and ignore what can be ignored.
const ESCAPING: &str = "
for i in 1 2 3; do
  setsid sh -c \"trap '' TERM HUP INT; (setsid sh -c \\\"trap '' TERM HUP; while :; do sleep 9.MARK; done\\\" &) ; sleep 9.MARK\" &
  (nohup sh -c 'exec sleep 99.MARK' >/dev/null 2>&1 &)
done
";

fn escaping(mark: u64, then: &str) -> String {
    ESCAPING.replace("MARK", &mark.to_string()) + then
}

fn sleepers(mark: u64) -> usize {
    processes_with(&format!("9.{mark}"))
}

#[test]
fn a_timeout_leaves_nothing_behind() {
    let mark = new_mark();
    let toolbox = start();
    let line = escaping(mark, "wait");
    let began = Instant::now();
    let result = toolbox.exec(Exec { timeout_ms: Some(1_000), ..shell("slow", &line) });
    assert_eq!(sleepers(mark), 0);
    assert_eq!((result.timed_out, result.ended), (true, Ended::TimedOut));
    assert_eq!((result.exit_code, result.left_running), (None, 0));
    assert_eq!(result.why, "stopped after 1 s: the time limit was reached");
    // They ignore the request to end, so the grace is used up.
    assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn what_ends_when_asked_ends_at_once() {
    let toolbox = start();
    let began = Instant::now();
    let line = "trap 'echo cleaned up; exit 0' TERM; sleep 60 & wait";
    let result = toolbox.exec(Exec { timeout_ms: Some(300), ..shell("polite", line) });
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((result.stdout.as_str(), result.exit_code), ("cleaned up\n", None));
    assert!(result.timed_out);
}

#[test]
fn a_kill_reaches_what_a_command_left_behind() {
    let mark = new_mark();
    let toolbox = start();
    let result = toolbox.shell("left", &escaping(mark, "echo done"));
    assert_eq!((result.stdout.as_str(), result.exit_code), ("done\n", Some(0)));
    assert!(result.left_running >= 6, "{}", result.left_running);
    assert!(sleepers(mark) >= 6);
    let kill = || toolbox.client.call(Request::Kill { command: "left".to_owned() }).unwrap();
    let killed = |was_running| Reply::Killed { command: "left".to_owned(), was_running };
    assert_eq!(kill(), killed(true));
    assert_eq!(sleepers(mark), 0);
    assert_eq!(kill(), killed(false));
}

#[test]
fn an_end_does_not_wait_for_inherited_pipes() {
    let toolbox = start();
    let began = Instant::now();
    let result = toolbox.shell("pipes", "sleep 60 & echo done");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!((result.stdout.as_str(), result.left_running), ("done\n", 1));
}

#[test]
fn a_kill_spares_other_commands() {
    let mark = new_mark();
    let toolbox = start();
    for id in ["one", "two"] {
        let exec =
            Exec { background: true, timeout_ms: None, ..shell(id, &escaping(mark, "wait")) };
        toolbox.client.call(Request::Exec(exec)).unwrap();
    }
    until("both run", || sleepers(mark) >= 12 && settled(mark));
    let both = sleepers(mark);
    toolbox.client.call(Request::Kill { command: "one".to_owned() }).unwrap();
    assert_eq!(sleepers(mark), both / 2);
    assert_eq!(status(&toolbox, "two"), Status::Running);
    let Status::Done { result } = status(&toolbox, "one") else { panic!("not done") };
    assert_eq!(
        (result.ended, result.why.as_str()),
        (Ended::Killed, "ended on request before it was done")
    );
    toolbox.client.call(Request::Kill { command: "two".to_owned() }).unwrap();
    assert_eq!(sleepers(mark), 0);
}

fn settled(mark: u64) -> bool {
    let before = sleepers(mark);
    std::thread::sleep(Duration::from_millis(200));
    before == sleepers(mark)
}

fn status(toolbox: &Toolbox, command: &str) -> Status {
    match toolbox.client.call(Request::Status { command: command.to_owned() }).unwrap() {
        Reply::Status(status) => status,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn a_fork_bomb_is_outrun() {
    let mark = new_mark();
    let toolbox = start();
    // Bounded by depth, so that a failure does not take the machine along.
    let bomb = format!(
        "b() {{ if [ $1 -gt 0 ]; then b $(($1-1)) & b $(($1-1)) & fi; exec sleep 9.{mark}; }}; b 7"
    );
    let result = toolbox.exec(Exec { timeout_ms: Some(300), ..shell("bomb", &bomb) });
    assert!(result.timed_out);
    assert_eq!(sleepers(mark), 0);
}

#[test]
fn the_end_of_the_toolbox_ends_everything() {
    let mark = new_mark();
    let mut toolbox = start();
    let exec = Exec { background: true, timeout_ms: None, ..shell("bg", &escaping(mark, "wait")) };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    until("it runs", || sleepers(mark) >= 6);
    toolbox.client.call(Request::Shutdown).unwrap();
    assert!(toolbox.process.wait().unwrap().success());
    assert_eq!(sleepers(mark), 0);
}

#[test]
fn orphans_of_a_killed_supervisor_are_swept() {
    let mark = new_mark();
    let toolbox = start();
    let exec = Exec { background: true, timeout_ms: None, ..shell("bg", &escaping(mark, "wait")) };
    toolbox.client.call(Request::Exec(exec)).unwrap();
    until("it runs", || sleepers(mark) >= 6);
    kill_process(toolbox.supervisor(), Signal::KILL).unwrap();
    until("they are swept", || sleepers(mark) == 0);
    assert!(matches!(status(&toolbox, "bg"), Status::Unknown { .. }));
    let again = toolbox.refused(Request::Attach { command: "bg".to_owned() });
    assert_eq!(again.code, Code::OutcomeUnknown, "{again}");
}

#[test]
fn no_more_than_sixteen_stay_in_the_background() {
    let toolbox = start();
    let background = |id: &str| Exec { background: true, ..shell(id, "sleep 60") };
    for index in 0..16 {
        toolbox.client.call(Request::Exec(background(&format!("b{index}")))).unwrap();
    }
    let refusal = toolbox.refused(Request::Exec(background("b16")));
    assert_eq!(refusal.code, Code::Busy, "{refusal}");
    assert_eq!(toolbox.shell("front", "echo still").stdout, "still\n");
    toolbox.client.call(Request::Kill { command: "b3".to_owned() }).unwrap();
    toolbox.client.call(Request::Exec(background("b16"))).unwrap();
}
