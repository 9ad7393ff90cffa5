//! Commands: what runs, what it sees, what is kept of what it says.

use std::fs;
use std::sync::mpsc;

use polos_toolbox::Incoming;
use polos_toolbox::message::{
    Code, Connector, Ended, Exec, Output, OutputLimits, OutputRequest, Pipeline, Program, Redirect,
    Reply, Request, Stage, Stdin, StdinRequest, Stream, Word,
};

use crate::harness::{of, pipeline, plan, shell, stage, start, until};

#[test]
fn a_plan_runs_without_a_shell() {
    let toolbox = start();
    let words = ["printf", "%s|", "$HOME", "a b", "*", "`id`", ";"];
    let argv = words.iter().map(|word| Word::Literal((*word).to_owned())).collect();
    let stage = Stage { argv, redirects: Vec::new() };
    let result =
        toolbox.exec(plan("a", vec![Pipeline { after: Connector::Always, stages: vec![stage] }]));
    assert_eq!(result.stdout, "$HOME|a b|*|`id`|;|");
    assert_eq!(
        (result.exit_code, result.ended, result.why.as_str()),
        (Some(0), Ended::Exited, "exited with code 0")
    );
    assert_eq!(result.truncated, None);
}

#[test]
fn pipelines_follow_their_connectors() {
    type Case<'a> = (&'a str, &'a [(Connector, &'a [&'a str])], &'a str, i32);
    use Connector::{Always, And, Or};
    let toolbox = start();
    let cases: [Case<'_>; 6] = [
        ("pipe", &[(Always, &["printf b\\na\\n", "sort", "head -n1"])], "a\n", 0),
        ("and", &[(Always, &["false"]), (And, &["echo no"]), (Or, &["echo yes"])], "yes\n", 0),
        ("or", &[(Always, &["true"]), (Or, &["echo no"]), (And, &["echo yes"])], "yes\n", 0),
        ("always", &[(Always, &["false"]), (Always, &["echo yes"])], "yes\n", 0),
        ("last", &[(Always, &["true", "false"])], "", 1),
        ("skipped", &[(Always, &["false"]), (And, &["true"])], "", 1),
    ];
    for (id, pipelines, stdout, code) in cases {
        let pipelines =
            pipelines.iter().map(|(after, commands)| pipeline(*after, commands)).collect();
        let result = toolbox.exec(plan(id, pipelines));
        assert_eq!((result.stdout.as_str(), result.exit_code), (stdout, Some(code)), "{id}");
    }
}

#[test]
fn a_reader_that_stops_ends_its_writer() {
    let toolbox = start();
    let result = toolbox.exec(plan("yes", vec![pipeline(Connector::Always, &["yes", "head -n2"])]));
    assert_eq!(result.stdout, "y\ny\n");
    assert_eq!(result.exit_code, Some(0));
}

#[test]
fn redirections_apply_in_their_order() {
    use Redirect::{StderrToNull, StderrToStdout, StdoutToNull};
    let toolbox = start();
    let cases: [(&str, &[Redirect], &str, &str); 5] = [
        ("none", &[], "out\n", "err\n"),
        ("2>&1", &[StderrToStdout], "out\nerr\n", ""),
        ("2>/dev/null", &[StderrToNull], "out\n", ""),
        (">/dev/null 2>&1", &[StdoutToNull, StderrToStdout], "", ""),
        ("2>&1 >/dev/null", &[StderrToStdout, StdoutToNull], "err\n", ""),
    ];
    for (id, redirects, stdout, stderr) in cases {
        let argv =
            ["sh", "-c", "echo out; echo err >&2"].map(|word| Word::Literal(word.to_owned()));
        let stage = Stage { argv: argv.into(), redirects: redirects.to_vec() };
        let pipeline = Pipeline { after: Connector::Always, stages: vec![stage] };
        let result = toolbox.exec(plan(id, vec![pipeline]));
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), (stdout, stderr), "{id}");
    }
}

#[test]
fn cd_moves_what_follows() {
    let toolbox = start();
    fs::create_dir_all(toolbox.workspace().join("a/b")).unwrap();
    let moved = vec![
        pipeline(Connector::Always, &["cd a"]),
        pipeline(Connector::And, &["cd b"]),
        pipeline(Connector::And, &["pwd"]),
    ];
    let result = toolbox.exec(plan("cd", moved));
    assert!(result.stdout.ends_with("/workspace/a/b\n"), "{}", result.stdout);
    let lost =
        vec![pipeline(Connector::Always, &["cd nowhere"]), pipeline(Connector::And, &["pwd"])];
    let result = toolbox.exec(plan("lost", lost));
    assert_eq!((result.stdout.as_str(), result.exit_code), ("", Some(1)));
    assert_eq!(result.stderr, "polos: cd: `nowhere`: no such directory\n");
}

#[test]
fn patterns_are_expanded_where_it_runs() {
    let toolbox = start();
    for name in ["b.txt", "a.txt", "-n"] {
        fs::write(toolbox.workspace().join(name), "").unwrap();
    }
    let glob = |glob: &str| Word::Glob { glob: glob.to_owned() };
    let argv = vec![Word::Literal("echo".to_owned()), glob("*.txt"), glob("-*"), glob("*.none")];
    let stage = Stage { argv, redirects: Vec::new() };
    let pipeline = Pipeline { after: Connector::Always, stages: vec![stage] };
    let result = toolbox.exec(plan("glob", vec![pipeline]));
    assert_eq!(result.stdout, "a.txt b.txt ./-n *.none\n");
}

#[test]
fn what_cannot_be_started_is_said() {
    let toolbox = start();
    let result =
        toolbox.exec(plan("none", vec![pipeline(Connector::Always, &["no-such-program x"])]));
    assert_eq!((result.exit_code, result.ended), (Some(127), Ended::NotSpawned));
    assert_eq!(result.why, "could not be started: `no-such-program`: command not found");
    assert_eq!(result.stderr, "polos: `no-such-program`: command not found\n");
    assert_eq!(toolbox.started(), 0);

    fs::write(toolbox.workspace().join("plain"), "text").unwrap();
    let result = toolbox.exec(plan("plain", vec![pipeline(Connector::Always, &["./plain"])]));
    assert_eq!((result.exit_code, result.ended), (Some(126), Ended::NotSpawned));

    let list = vec![
        pipeline(Connector::Always, &["no-such-program"]),
        pipeline(Connector::Or, &["echo instead"]),
    ];
    let result = toolbox.exec(plan("instead", list));
    assert_eq!((result.stdout.as_str(), result.exit_code), ("instead\n", Some(0)));
    assert_eq!(result.ended, Ended::Exited);
}

#[test]
fn the_environment_is_what_is_given_and_nothing_else() {
    let toolbox = start();
    let mut exec = plan("env", vec![pipeline(Connector::Always, &["env"])]);
    exec.env.insert("GIVEN".to_owned(), "1".to_owned());
    let path = exec.env["PATH"].clone();
    let result = toolbox.exec(exec);
    assert_eq!(result.stdout, format!("GIVEN=1\nPATH={path}\n"));
}

#[test]
fn nothing_but_the_standard_streams_is_inherited() {
    let toolbox = start();
    let result =
        toolbox.exec(plan("fds", vec![pipeline(Connector::Always, &["ls /proc/self/fd"])]));
    // The fourth is the directory that `ls` itself has open.
    assert_eq!(result.stdout, "0\n1\n2\n3\n");
    let result = toolbox.shell("fds2", "for fd in /proc/$$/fd/*; do readlink $fd; done");
    let ends: Vec<&str> = result.stdout.lines().collect();
    assert_eq!(ends.len(), 3, "{ends:?}");
    assert_eq!(ends[0], "/dev/null");
}

#[test]
fn signals_are_as_a_fresh_program_expects() {
    let toolbox = start();
    let status = "cat /proc/self/status";
    let result = toolbox.exec(plan("signals", vec![pipeline(Connector::Always, &[status])]));
    let mask = |name: &str| {
        let line = result.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    // Signals 32 and 33 belong to the C library, which ignores them in what it starts.
    let of_ours = 0x7fff_ffff;
    assert_eq!((mask("SigBlk:"), mask("SigIgn:") & of_ours), (0, 0));
}

#[test]
fn standard_input_is_given_and_ended() {
    let toolbox = start();
    let cat =
        |id: &str, stdin| Exec { stdin, ..plan(id, vec![pipeline(Connector::Always, &["cat"])]) };
    assert_eq!(toolbox.exec(cat("none", Stdin::None)).stdout, "");
    let text = "x".repeat(200_000);
    let result = toolbox.exec(cat("text", Stdin::Text { text: text.clone() }));
    assert_eq!(result.truncated.unwrap().stdout_bytes, 200_000);
    let unread = Exec {
        stdin: Stdin::Text { text },
        ..plan("unread", vec![pipeline(Connector::Always, &["true"])])
    };
    assert_eq!(toolbox.exec(unread).exit_code, Some(0));
}

#[test]
fn a_command_can_be_talked_to() {
    let toolbox = start();
    let exec = Exec {
        stdin: Stdin::Open,
        background: true,
        ..shell("talk", "read line; echo got $line; cat")
    };
    let Reply::Started(started) = toolbox.client.call(Request::Exec(exec)).unwrap() else {
        panic!("not started")
    };
    assert_eq!(started.command, "talk");
    let say = |text: &str, close| {
        let request = StdinRequest { command: "talk".to_owned(), text: text.to_owned(), close };
        toolbox.client.call(Request::Stdin(request)).unwrap()
    };
    say("hello\n", false);
    until("an answer", || output(&toolbox.client, "talk", 0).text == "got hello\n");
    assert!(output(&toolbox.client, "talk", 0).running);
    say("rest\n", true);
    until("an end", || !output(&toolbox.client, "talk", 0).running);
    let rest = output(&toolbox.client, "talk", 10);
    assert_eq!((rest.text.as_str(), rest.next_offset), ("rest\n", 15));
    assert_eq!(rest.result.unwrap().exit_code, Some(0));
    let late = StdinRequest { command: "talk".to_owned(), text: String::new(), close: true };
    assert_eq!(toolbox.refused(Request::Stdin(late)).code, Code::NotRunning);
}

#[test]
fn requests_are_begun_in_their_order() {
    let toolbox = start();
    let (sender, answers) = mpsc::channel();
    let send = |request| {
        let sender = sender.clone();
        toolbox.client.send(request, move |incoming| drop(sender.send(incoming))).unwrap();
    };
    // A kill sent right after a command finds it; input arrives as it was sent.
    for index in 0..10 {
        let command = format!("c{index}");
        send(Request::Exec(shell(&command, "sleep 60")));
        let killed = toolbox.client.call(Request::Kill { command: command.clone() }).unwrap();
        assert_eq!(killed, Reply::Killed { command, was_running: true });
    }
    send(Request::Exec(Exec { stdin: Stdin::Open, ..shell("cat", "cat") }));
    for index in 0..50 {
        let text = format!("{index}\n");
        let close = index == 49;
        send(Request::Stdin(StdinRequest { command: "cat".to_owned(), text, close }));
    }
    let expect = (0..50).map(|index| index.to_string() + "\n").collect::<String>();
    let cat = answers.iter().find_map(|incoming| match incoming {
        Incoming::Reply(reply) => match *reply {
            Reply::Exec(result) if result.command == "cat" => Some(result),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(cat.unwrap().stdout, expect);
}

fn output(client: &polos_toolbox::Client, command: &str, offset: u64) -> Output {
    let request = OutputRequest { command: command.to_owned(), offset, bytes_max: None };
    match client.call(Request::Output(request)).unwrap() {
        Reply::Output(output) => output,
        other => panic!("not output: {other:?}"),
    }
}

#[test]
fn output_is_streamed_while_it_runs() {
    let toolbox = start();
    let (sender, streams) = mpsc::channel();
    let client = toolbox.client.clone();
    let exec = shell("live", "echo one; read line; echo two");
    let waiting = std::thread::spawn(move || {
        let exec = Exec { stdin: Stdin::Open, ..exec };
        client.call_with(Request::Exec(exec), |stream| sender.send(stream).unwrap())
    });
    let Stream::Running { pid } = streams.recv().unwrap() else { panic!("not running") };
    assert!(pid > 1);
    let Stream::Output { text, .. } = streams.recv().unwrap() else { panic!("no output") };
    assert_eq!(text, "one\n");
    let close = StdinRequest { command: "live".to_owned(), text: "\n".to_owned(), close: true };
    toolbox.client.call(Request::Stdin(close)).unwrap();
    let Reply::Exec(result) = waiting.join().unwrap().unwrap() else { panic!("no result") };
    assert_eq!(result.stdout, "one\ntwo\n");
    let Stream::Output { text, .. } = streams.recv().unwrap() else { panic!("no output") };
    assert_eq!(text, "two\n");
}

#[test]
fn long_output_is_cut_in_the_middle_and_kept_in_a_file() {
    let toolbox = start();
    let result = toolbox.shell("long", "seq 1 200000");
    let truncated = result.truncated.unwrap();
    let limits = OutputLimits::default();
    assert_eq!(truncated.stdout_bytes, 1_288_895);
    let kept = limits.head_bytes + limits.tail_bytes;
    assert_eq!(truncated.stdout_omitted_bytes, 1_288_895 - kept);
    assert!(result.stdout.starts_with("1\n2\n3\n"), "{}", &result.stdout[..20]);
    assert!(result.stdout.ends_with("199999\n200000\n"));
    assert_eq!(fs::metadata(&result.output_file).unwrap().len(), 1_288_895);
    let request = polos_toolbox::message::ReadRequest {
        path: result.output_file,
        offset: Some(100_000),
        limit: Some(1),
        ..Default::default()
    };
    let Reply::Read(read) = toolbox.client.call(Request::Read(request)).unwrap() else {
        panic!("not read")
    };
    assert!(format!("{:?}", read.content).contains("100000\\t100000\\n"), "{read:?}");
}

#[test]
fn a_flood_is_stopped_at_its_limit() {
    let toolbox = start();
    let limits = OutputLimits { file_bytes: 1_000_000, ..OutputLimits::default() };
    let flood = plan("flood", vec![pipeline(Connector::Always, &["yes"])]);
    let result = toolbox.exec(Exec { limits, ..flood });
    assert_eq!((result.ended, result.exit_code), (Ended::OutputLimit, None));
    assert_eq!(result.why, "stopped: it wrote more than 1000000 bytes");
    assert_eq!(fs::metadata(&result.output_file).unwrap().len(), 1_000_000);
}

#[test]
fn terminal_escapes_do_not_pass() {
    let toolbox = start();
    let result = toolbox.shell("escapes", "printf '\\033[31mred\\033[0m \\033]0;title\\007\\377.'");
    assert_eq!(result.stdout, "red \u{fffd}.");
}

#[test]
fn a_signal_is_named() {
    let toolbox = start();
    let result = toolbox.shell("segv", "kill -SEGV $$");
    assert_eq!((result.exit_code, result.signal.as_deref()), (None, Some("SIGSEGV")));
    assert_eq!((result.ended, result.why.as_str()), (Ended::Signaled, "ended by signal SIGSEGV"));
}

#[test]
fn many_commands_run_at_once() {
    let toolbox = start();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..16)
            .map(|index| {
                let client = toolbox.client.clone();
                scope.spawn(move || {
                    client.call(Request::Exec(shell(&format!("c{index}"), "sleep 0.3; echo $$")))
                })
            })
            .collect();
        for thread in running {
            let Reply::Exec(result) = thread.join().unwrap().unwrap() else { panic!("no result") };
            assert_eq!(result.exit_code, Some(0));
        }
    });
    assert_eq!(toolbox.started(), 16);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let toolbox = start();
    let stageless = Pipeline { after: Connector::Always, stages: Vec::new() };
    let nameless = Stage { argv: vec![Word::Glob { glob: "*".to_owned() }], redirects: Vec::new() };
    let nameless = Pipeline { after: Connector::Always, stages: vec![nameless, stage("cat")] };
    let cases = [
        plan("", vec![pipeline(Connector::Always, &["true"])]),
        plan("empty", Vec::new()),
        plan("stageless", vec![stageless]),
        plan("nameless", vec![nameless]),
        of("nul", Program::Shell { line: "a\0b".to_owned() }),
    ];
    for exec in cases {
        let refusal = toolbox.refused(Request::Exec(exec));
        assert_eq!(refusal.code, Code::BadRequest, "{refusal}");
    }
    let outside = Exec { cwd: Some("/etc".to_owned()), ..shell("outside", "pwd") };
    assert_eq!(toolbox.refused(Request::Exec(outside)).code, Code::OutsideWorkspace);
    let missing = Exec { cwd: Some("nowhere".to_owned()), ..shell("missing", "pwd") };
    assert_eq!(toolbox.refused(Request::Exec(missing)).code, Code::NotFound);
    assert_eq!(toolbox.started(), 0);
}
