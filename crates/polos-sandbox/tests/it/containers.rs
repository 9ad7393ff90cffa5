//! The docker environment: what is its own. Its walls are attacked with those of the other boxes.

use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use polos_sandbox::config::{DockerNetwork, MountConfig, Pull};
use polos_sandbox::{DockerError, Executed, OpenError, Sandbox};
use polos_toolbox::message::{
    Connector, Ended, Pipeline, Program, ReadRequest, Stage, Status, Word, WriteRequest,
};

use crate::boxes::{Fixture, request, sh, text};

const SHELL: &str = "polos-test-busybox";

fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Containers of a box, running or not.
fn containers(fixture: &Fixture) -> Vec<String> {
    let filter = format!("label=polos.id={}", fixture.spec.id);
    let listed = docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]);
    listed.lines().map(str::to_owned).collect()
}

fn boxed(image: &str, id: &str) -> Option<Fixture> {
    let mut fixture = Fixture::docker(image)?;
    fixture.spec.id = format!("test-{id}-{}", std::process::id());
    Some(fixture)
}

async fn refusal(fixture: &Fixture) -> DockerError {
    match Sandbox::open(fixture.spec.clone()).await {
        Err(OpenError::Docker(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn commands_and_files_work_and_belong_to_the_workspaces_owner() {
    let Some(fixture) = boxed(SHELL, "work") else { return };
    let sandbox = fixture.open().await.unwrap();
    let result = sh(&sandbox, "pwd; cat file; echo new > made; hostname; echo $HOME").await;
    assert_eq!(result.stdout, "/workspace\nhello\nsandbox\n/home/agent\n", "{result:?}");
    let write = WriteRequest {
        path: "deep/a".to_owned(),
        content: "x\n".to_owned(),
        ..WriteRequest::default()
    };
    assert!(sandbox.write(write).await.unwrap().created);
    assert_ne!(sh(&sandbox, "id -u").await.stdout, "0\n");
    sandbox.stop().await.unwrap();
    let owner = std::fs::metadata(fixture.work()).unwrap().uid();
    for name in ["made", "deep", "deep/a"] {
        assert_eq!(std::fs::metadata(fixture.work().join(name)).unwrap().uid(), owner, "{name}");
    }
    assert_eq!(containers(&fixture), Vec::<String>::new());
    assert_eq!(text(&fixture.spec.folder.join("state/ledger")).lines().count(), 2);
}

#[tokio::test]
async fn a_container_is_hardened() {
    let Some(fixture) = boxed(SHELL, "hard") else { return };
    let sandbox = fixture.open().await.unwrap();
    let [id] = &containers(&fixture)[..] else { panic!("not one container") };
    let inspected: serde_json::Value = serde_json::from_str(&docker(&["inspect", id])).unwrap();
    let host = &inspected[0]["HostConfig"];
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(host["IpcMode"], "private");
    assert_eq!(host["MemorySwap"], host["Memory"]);
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert!(host["SecurityOpt"].to_string().contains("no-new-privileges"));
    assert!(!host["SecurityOpt"].to_string().contains("unconfined"));
    let status = "grep -E '^(Cap(Eff|Prm|Inh|Bnd|Amb)|NoNewPrivs):' /proc/self/status | \
                  tr -d '\\t' | sort -u | tr '\\n' ' '";
    let zero = "0000000000000000";
    let expected = format!(
        "CapAmb:{zero} CapBnd:{zero} CapEff:{zero} CapInh:{zero} CapPrm:{zero} NoNewPrivs:1 "
    );
    assert_eq!(sh(&sandbox, status).await.stdout, expected);
    assert_eq!(sh(&sandbox, "ls -A /proc/self/fd | wc -l").await.stdout.trim(), "4");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn an_image_without_a_shell_has_tools_and_plain_commands() {
    let Some(fixture) = boxed("polos-test-none", "none") else { return };
    let sandbox = fixture.open().await.unwrap();
    let read = ReadRequest { path: "file".to_owned(), ..ReadRequest::default() };
    assert_eq!(sandbox.read(read).await.unwrap().size_bytes, 6);
    let mut plain = request("plain", "");
    let argv = ["/plain/echo", "hi"].map(|word| Word::Literal(word.to_owned())).to_vec();
    let stages = vec![Stage { argv, redirects: Vec::new() }];
    plain.program =
        Program::Plan { pipelines: vec![Pipeline { after: Connector::Always, stages }] };
    let Executed::Ended(result) = sandbox.exec(plain, |_| {}).await.unwrap() else { panic!() };
    assert_eq!(result.stdout, "hi\n", "{result:?}");
    assert_eq!(sh(&sandbox, "echo hi").await.ended, Ended::NotSpawned);
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let Some(mut fixture) = boxed(SHELL, "refused") else { return };
    let mut with = |change: &dyn Fn(&mut polos_sandbox::config::DockerConfig)| {
        let mut config = polos_sandbox::config::DockerConfig {
            image: SHELL.to_owned(),
            pull: Pull::Never,
            ..Default::default()
        };
        change(&mut config);
        fixture.spec.config.docker = Some(config);
        fixture.spec.clone()
    };
    let specs = [
        (with(&|c| c.image = "polos-test-other".to_owned()), "made for"),
        (with(&|c| c.image = String::new()), "is missing"),
        (with(&|c| c.image = "polos-test-nowhere".to_owned()), "`never`"),
        (with(&|c| c.network = DockerNetwork::Allow(vec!["x".to_owned()])), "not in this build"),
        (with(&|c| c.user = Some("0".to_owned())), "never root"),
        (with(&|c| c.runtime = Some("nowhere".to_owned())), "nowhere"),
        (with(&|c| c.setup = vec!["echo told; exit 9".to_owned()]), "told"),
    ];
    for (spec, words) in specs {
        fixture.spec = spec;
        let message = refusal(&fixture).await.to_string();
        assert!(message.contains(words), "{words}: {message}");
    }
    assert_eq!(containers(&fixture), Vec::<String>::new());
    for source in ["/", "/etc", "/var/run/docker.sock", "/proc", "/root/../etc"] {
        let mount = MountConfig { source: source.into(), target: "/mnt".into(), writable: false };
        let docker = fixture.spec.config.docker.as_mut().unwrap();
        docker.setup.clear();
        docker.runtime = None;
        docker.mounts = vec![mount];
        let refused = Sandbox::open(fixture.spec.clone()).await;
        assert!(matches!(refused, Err(OpenError::Spec(_))), "{source}: {refused:?}");
    }
}

#[tokio::test]
async fn setup_lines_run_once_and_leave_the_box_hardened() {
    let Some(mut fixture) = boxed(SHELL, "setup") else { return };
    let mark = format!("mark-{}", std::process::id());
    fixture.spec.config.docker.as_mut().unwrap().setup =
        vec!["mkdir -p /opt".to_owned(), format!("echo {mark} $(cat /proc/uptime) > /opt/mark")];
    let mut seen = Vec::new();
    for _ in 0..2 {
        let sandbox = fixture.open().await.unwrap();
        seen.push(sh(&sandbox, "cat /opt/mark").await.stdout);
        assert_ne!(sh(&sandbox, "echo x > /opt/mark").await.exit_code, Some(0));
        sandbox.stop().await.unwrap();
    }
    assert!(seen[0].starts_with(&mark), "{seen:?}");
    assert_eq!(seen[0], seen[1], "the lines ran twice");
    let images = docker(&["images", "-q", "polos-setup"]);
    for image in images.lines() {
        docker(&["rmi", image]);
    }
}

#[tokio::test]
async fn the_next_worker_finds_the_container_and_its_commands() {
    let Some(fixture) = boxed(SHELL, "adopt") else { return };
    let first = fixture.open().await.unwrap();
    sh(&first, "mkfifo gate").await;
    let mut exec = request("long", "echo begun; read line < gate; echo $line");
    exec.background = true;
    assert!(matches!(first.exec(exec, |_| {}).await.unwrap(), Executed::Started(_)));
    let before = containers(&fixture);
    drop(first);
    let second = Sandbox::open(fixture.spec.clone()).await.unwrap();
    assert!(second.was_attached());
    assert_eq!(containers(&fixture), before);
    assert_eq!(second.status("long").await.unwrap(), Status::Running);
    assert_eq!(second.status("never").await.unwrap(), Status::NotStarted);
    sh(&second, "echo through > gate").await;
    assert_eq!(second.attach("long", |_| {}).await.unwrap().stdout, "begun\nthrough\n");
    second.stop().await.unwrap();
    // Its records are there when it comes back.
    let third = fixture.open().await.unwrap();
    assert!(!third.was_attached());
    assert!(matches!(third.status("long").await.unwrap(), Status::Done { .. }));
    third.stop().await.unwrap();
    assert_eq!(containers(&fixture), Vec::<String>::new());
}

#[tokio::test]
async fn other_settings_are_not_attached_to() {
    let Some(mut fixture) = boxed(SHELL, "other") else { return };
    let sandbox = fixture.open().await.unwrap();
    fixture.spec.config.docker.as_mut().unwrap().network = DockerNetwork::Full;
    assert!(matches!(refusal(&fixture).await, DockerError::Different(_)));
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn a_container_that_was_killed_is_made_anew() {
    let Some(fixture) = boxed(SHELL, "killed") else { return };
    let rounds = if std::env::var_os("POLOS_FULL").is_some() { 100 } else { 8 };
    for round in 0..rounds {
        let sandbox = fixture.open().await.unwrap();
        assert!(!sandbox.was_attached());
        let mut exec = request(&format!("left-{round}"), "setsid sleep 1000 & sleep 1000");
        exec.background = true;
        sandbox.exec(exec, |_| {}).await.unwrap();
        let [id] = &containers(&fixture)[..] else { panic!("not one container") };
        docker(&["kill", id]);
        while sandbox.lost().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    let last = fixture.open().await.unwrap();
    assert!(matches!(last.status("left-0").await.unwrap(), Status::Unknown { .. }));
    last.stop().await.unwrap();
    assert_eq!(containers(&fixture), Vec::<String>::new());
}

#[tokio::test]
async fn a_container_goes_with_its_grace_by_itself() {
    let Some(mut fixture) = boxed(SHELL, "grace") else { return };
    fixture.spec.config.docker.as_mut().unwrap().grace = 1;
    let sandbox = fixture.open().await.unwrap();
    let mut exec = request("left", "setsid sleep 1000 & sleep 1000");
    exec.background = true;
    sandbox.exec(exec, |_| {}).await.unwrap();
    // The worker dies: nobody is there to clear away.
    drop(sandbox);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !containers(&fixture).is_empty() {
        assert!(std::time::Instant::now() < deadline, "the container outlives its grace");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn limits_are_those_of_the_configuration() {
    let Some(mut fixture) = boxed(SHELL, "limits") else { return };
    let config = fixture.spec.config.docker.as_mut().unwrap();
    (config.pids, config.memory) = (40, "64m".parse().unwrap());
    let sandbox = fixture.open().await.unwrap();
    let mut bomb = request("bomb", "b() { b | b & }; b; sleep 30");
    bomb.timeout_ms = Some(1_000);
    sandbox.exec(bomb, |_| {}).await.unwrap();
    assert_eq!(sh(&sandbox, "echo alive").await.stdout, "alive\n");
    let hog = sh(&sandbox, "x=x; while :; do x=$x$x; done").await;
    assert_ne!(hog.exit_code, Some(0), "{hog:?}");
    assert_eq!(sh(&sandbox, "echo alive").await.stdout, "alive\n");
    assert_ne!(sh(&sandbox, "head -c 100m /dev/zero > /tmp/x").await.exit_code, Some(0));
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_reaches_the_network_or_the_toolbox_but_the_worker() {
    let Some(fixture) = boxed("polos-test-debian", "reach") else { return };
    let tcp = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    tcp.set_nonblocking(true).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let sandbox = fixture.open().await.unwrap();
    for host in ["127.0.0.1", "172.17.0.1", "169.254.169.254", "1.1.1.1"] {
        let line = format!("exec 3<>/dev/tcp/{host}/{port}");
        assert_ne!(sh(&sandbox, &line).await.exit_code, Some(0), "{host}");
    }
    // A command may open the toolbox's socket, and is not spoken to.
    let line = "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); \
                connect(S, pack_sockaddr_un(\"/.polos/run/toolbox.sock\")) or exit 0; \
                print sysread(S, $x, 1) ? \"heard\" : \"closed\"'";
    let result = sh(&sandbox, line).await;
    assert!(!result.stdout.contains("heard"), "{result:?}");
    let line = "rm -f /.polos/run/toolbox.sock; rm -rf /.polos/state/commands; \
                echo x > /.polos/state/ledger; echo x > /.polos/bin/polos; ls /.polos/run";
    assert_eq!(sh(&sandbox, line).await.stdout, "toolbox.sock\n");
    let again = Sandbox::open(fixture.spec.clone()).await.unwrap();
    assert!(again.was_attached());
    sandbox.stop().await.unwrap();
    assert!(tcp.accept().is_err());
}
