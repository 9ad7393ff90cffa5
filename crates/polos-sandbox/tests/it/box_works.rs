//! What a box is for: ordinary work, and a life longer than its worker's.

use std::os::unix::fs::MetadataExt as _;

use polos_sandbox::config::{Isolation, Network};
use polos_sandbox::{Executed, Level, OpenError, Sandbox};
use polos_toolbox::message::{ReadRequest, Status, WriteRequest};

use crate::boxes::{Fixture, request, sh, text};

#[tokio::test]
async fn commands_and_files_work_in_the_workspace() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    let result = sh(&sandbox, "pwd; cat file; echo new > made; id -u; echo $HOME; hostname").await;
    assert_eq!(result.stdout, "/workspace\nhello\n1000\n/home/agent\nsandbox\n", "{result:?}");
    assert_eq!(text(&fixture.work().join("made")), "new\n");
    let owner = |path| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(fixture.work().join("made")), owner(fixture.work()));
    let write = WriteRequest {
        path: "src/a.txt".to_owned(),
        content: "x\n".to_owned(),
        ..WriteRequest::default()
    };
    assert!(sandbox.write(write).await.unwrap().created);
    let read = ReadRequest { path: "/workspace/src/a.txt".to_owned(), ..ReadRequest::default() };
    assert_eq!(sandbox.read(read).await.unwrap().size_bytes, 2);
    assert_eq!(owner(fixture.work().join("src/a.txt")), owner(fixture.work()));
    assert_eq!(text(&sandbox.ledger()).lines().count(), 1);
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn git_works_as_in_the_main_job() {
    let fixture = Fixture::new();
    let git = |line: &str| {
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", line])
            .current_dir(fixture.work())
            .status();
        assert!(status.unwrap().success(), "{line}");
    };
    git("git init -q -b main . && git add . && \
         git -c user.name=u -c user.email=u@x commit -q -m first");
    let Some(sandbox) = fixture.open().await else { return };
    let result = sh(
        &sandbox,
        "git status --short && git checkout -q -b fix/x && echo more >> file && git add file && \
         git commit -q -m 'fix: x' && git diff --stat main && git log --oneline | wc -l && \
         git log -1 --format=%an",
    )
    .await;
    assert_eq!(result.exit_code, Some(0), "{result:?}");
    assert!(result.stdout.ends_with("2\nPolos agent\n"), "{result:?}");
    sandbox.stop().await.unwrap();
    git("git fsck && git log fix/x --format=%s | grep -q 'fix: x' && test ! -e .git/commondir");
}

#[tokio::test]
async fn repositories_that_an_agent_disguises_run_nothing() {
    let fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    let line = "git init -q --bare fake && git -C fake config core.bare false && \
                git -C fake config core.worktree /workspace && \
                git -C fake config core.fsmonitor 'touch /workspace/ran; false' && \
                cd fake && git status; \
                cd /workspace && git init -q other && cd other && \
                git config core.fsmonitor 'touch /workspace/ran; false' && git status";
    sh(&sandbox, line).await;
    sandbox.stop().await.unwrap();
    assert!(fixture.work().join("other/.git").exists());
    assert!(!fixture.work().join("ran").exists());
}

#[tokio::test]
async fn a_worktree_can_commit() {
    let fixture = Fixture::new();
    let main = fixture.outside().join("main");
    let line = format!(
        "git init -q -b main {main} && cd {main} && echo a > a && git add a && \
         git -c user.name=u -c user.email=u@x commit -q -m first && \
         rm -rf {work} && git worktree add -q {work} -b tree",
        main = main.display(),
        work = fixture.work().display()
    );
    let status = std::process::Command::new("/bin/sh").args(["-c", &line]).status();
    assert!(status.unwrap().success());
    let Some(sandbox) = fixture.open().await else { return };
    let line = "echo b > b && git add b && git commit -q -m second && git log --oneline | wc -l";
    let result = sh(&sandbox, line).await;
    assert_eq!(result.stdout, "2\n", "{result:?}");
    let attempts = format!(
        "echo x > .git; mv .git y; echo x > {0}/.git/hooks/pre-commit; echo x >> {0}/.git/config; \
         echo x > {0}/a; echo /tmp > {0}/.git/worktrees/work/commondir",
        main.display()
    );
    sh(&sandbox, &attempts).await;
    sandbox.stop().await.unwrap();
    assert!(text(&fixture.work().join(".git")).starts_with("gitdir:"));
    assert!(!main.join(".git/hooks/pre-commit").exists());
    assert!(!text(&main.join(".git/config")).contains('x'));
    assert_eq!(text(&main.join("a")), "a\n");
    assert_eq!(text(&main.join(".git/worktrees/work/commondir")), "../..\n");
}

#[tokio::test]
async fn toolchains_are_seen_where_they_are_admitted() {
    let mut fixture = Fixture::new();
    let outside = fixture.outside().display().to_string();
    fixture.spec.config.files.read_paths = vec![outside.clone()];
    let Some(sandbox) = fixture.open().await else { return };
    let line = format!("cat {outside}/secret; echo x > {outside}/secret; echo x > {outside}/new");
    assert_eq!(sh(&sandbox, &line).await.stdout, "canary");
    sandbox.stop().await.unwrap();
    assert_eq!(text(&fixture.outside().join("secret")), "canary");
    assert!(!fixture.outside().join("new").exists());
    fixture.spec.config.files.read_paths.clear();
    fixture.spec.config.files.write_paths = vec![outside.clone()];
    let Some(sandbox) = fixture.open().await else { return };
    sh(&sandbox, &format!("echo x > {outside}/new")).await;
    sandbox.stop().await.unwrap();
    assert_eq!(text(&fixture.outside().join("new")), "x\n");
}

#[tokio::test]
async fn the_next_worker_finds_the_box_and_its_commands() {
    let fixture = Fixture::new();
    let Some(first) = fixture.open().await else { return };
    let mut exec = request("long", "echo begun; read line < gate; echo $line");
    sh(&first, "mkfifo gate").await;
    exec.background = true;
    assert!(matches!(first.exec(exec, |_| {}).await.unwrap(), Executed::Started(_)));
    drop(first);
    let second = Sandbox::open(fixture.spec.clone()).await.unwrap();
    assert!(second.was_attached());
    assert_eq!(second.status("long").await.unwrap(), Status::Running);
    assert_eq!(second.status("never").await.unwrap(), Status::NotStarted);
    sh(&second, "echo through > gate").await;
    let result = second.attach("long", |_| {}).await.unwrap();
    assert_eq!(result.stdout, "begun\nthrough\n");
    // A second start under the same id gives the first one's result.
    let again = request("long", "echo begun; read line < gate; echo $line");
    let Executed::Ended(again) = second.exec(again, |_| {}).await.unwrap() else { panic!() };
    assert_eq!(again.stdout, result.stdout);
    assert_eq!(text(&second.ledger()).lines().count(), 3);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn records_outlive_the_box() {
    let fixture = Fixture::new();
    let Some(first) = fixture.open().await else { return };
    let run = |sandbox: Sandbox| async move {
        match sandbox.exec(request("once", "echo x >> file; wc -l < file"), |_| {}).await.unwrap() {
            Executed::Ended(result) => result.stdout,
            Executed::Started(_) => panic!(),
        }
    };
    assert_eq!(run(first.clone()).await, "2\n");
    first.stop().await.unwrap();
    let second = fixture.open().await.unwrap();
    assert!(!second.was_attached());
    assert_eq!(run(second.clone()).await, "2\n");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_box_ends_with_its_grace() {
    let mut fixture = Fixture::new();
    fixture.spec.config.local.grace = 0;
    let Some(sandbox) = fixture.open().await else { return };
    let mut exec = request("background", "setsid sleep 1000 & sleep 1000");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    let keeper = fixture.spec.folder.join("box.json");
    drop(sandbox);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    while keeper.exists() {
        assert!(std::time::Instant::now() < deadline, "the box outlives its grace");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn other_settings_are_not_attached_to() {
    let mut fixture = Fixture::new();
    let Some(sandbox) = fixture.open().await else { return };
    fixture.spec.config.local.network = Network::Loopback;
    let other = Sandbox::open(fixture.spec.clone()).await;
    assert!(matches!(other, Err(OpenError::Different { .. })), "{other:?}");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn no_isolation_is_only_had_by_name() {
    let mut fixture = Fixture::new();
    fixture.spec.config.local.isolation = Isolation::None;
    let sandbox = Sandbox::open(fixture.spec.clone()).await.unwrap();
    assert_eq!(sandbox.report().level, Level::L0);
    let result = sh(&sandbox, "pwd; cat ../outside/secret").await;
    assert!(result.stdout.ends_with("canary"), "{result:?}");
    let mut exec = request("left", "setsid sleep 1007 & sleep 1007");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    sandbox.stop().await.unwrap();
    let processes = std::process::Command::new("/bin/sh")
        .args([
            "-c",
            "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '^sleep 1007' || true",
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&processes.stdout).trim(), "0");
}

#[tokio::test]
async fn a_loopback_network_is_the_boxs_own() {
    let mut fixture = Fixture::new();
    fixture.spec.config.local.network = Network::Loopback;
    let Some(sandbox) = fixture.open().await else { return };
    let line = "exec 3<>/dev/tcp/127.0.0.1/9 || echo refused; cat /proc/net/dev | wc -l";
    let result = sh(&sandbox, line).await;
    assert!(result.stderr.contains("Connection refused"), "{result:?}");
    sandbox.stop().await.unwrap();
}
