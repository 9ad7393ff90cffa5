//! Boxes for tests: made, asked, and skipped aloud where the kernel cannot make them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use polos_sandbox::config::{DockerConfig, Environment, ToolsConfig};
use polos_sandbox::{Executed, Level, OpenError, Sandbox, SandboxSpec, probe};
use polos_toolbox::message::{Exec, ExecResult, OutputLimits, Program, Stdin};
use tempfile::TempDir;

/// A box on a workspace of its own, and a host around it to be harmed.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) spec: SandboxSpec,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The user of a root worker's boxes must not be kept out by the temporary folder.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["work", "box", "outside"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("outside/secret"), "canary").unwrap();
        std::fs::write(dir.path().join("work/file"), "hello\n").unwrap();
        let spec = SandboxSpec {
            id: format!("sbx_test{}", std::process::id()),
            folder: dir.path().join("box"),
            workspace: dir.path().join("work"),
            is_managed: false,
            config: ToolsConfig::default(),
            masked: Vec::new(),
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_polos-sandbox-box"))),
        };
        Self { dir, spec }
    }

    /// One for each kind of user that a worker may be: this one, and, where this is root, `nobody`.
    pub(crate) fn each_user() -> Vec<Self> {
        let mut fixtures = vec![Self::new()];
        if rustix::process::geteuid().is_root() {
            fixtures.push(Self::as_nobody());
        }
        fixtures
    }

    /// One for each environment and user: the same attacks are made on all of them.
    pub(crate) fn each() -> Vec<Self> {
        let mut fixtures = Self::each_user();
        fixtures.extend(Self::docker("polos-test-debian"));
        fixtures
    }

    /// A box of Docker's; `None`, said aloud, where there is no daemon with the images of the tests.
    pub(crate) fn docker(image: &str) -> Option<Self> {
        let there = std::process::Command::new("docker")
            .args(["image", "inspect", image])
            .output()
            .is_ok_and(|output| output.status.success());
        if !there {
            let required = std::env::var_os("POLOS_REQUIRE_DOCKER").is_some_and(|wish| wish == "1");
            assert!(!required, "no image `{image}`: `.ci/docker` makes it");
            println!("skipped: no Docker, or no image `{image}`: `.ci/docker` makes it");
            return None;
        }
        let mut fixture = Self::new();
        fixture.spec.config.env = Environment::Docker;
        let docker = DockerConfig { image: image.to_owned(), ..DockerConfig::default() };
        fixture.spec.config.docker = Some(docker);
        Some(fixture)
    }

    pub(crate) fn is_docker(&self) -> bool {
        self.spec.config.env == Environment::Docker
    }

    /// A box whose keeper is `nobody`, as that of a worker without any rights.
    fn as_nobody() -> Self {
        let mut fixture = Self::new();
        let real = fixture.spec.program.take().unwrap();
        // The program may lie where `nobody` has no access to.
        let reachable = fixture.dir.path().join("real");
        std::fs::hard_link(&real, &reachable)
            .or_else(|_| std::fs::copy(&real, &reachable).map(drop))
            .unwrap();
        let program = fixture.dir.path().join("program");
        let script = "#!/usr/bin/perl\n$) = \"65534 65534\"; $( = 65534; $< = $> = 65534;\n\
                      die if $> == 0; exec \"PROGRAM\", @ARGV;\n";
        let script = script.replace("PROGRAM", &reachable.display().to_string());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        fixture.spec.program = Some(program);
        fixture.give_away(&["work", "work/file", "box", "outside", "outside/secret"]);
        fixture
    }

    /// Gives paths to the user of a box whose keeper is `nobody`; otherwise does nothing.
    pub(crate) fn give(&self, paths: &[&str]) {
        if self.is_nobodys() {
            self.give_away(paths);
        }
    }

    fn give_away(&self, paths: &[&str]) {
        for path in paths {
            std::os::unix::fs::lchown(self.dir.path().join(path), Some(65_534), Some(65_534))
                .unwrap();
        }
    }

    pub(crate) fn is_nobodys(&self) -> bool {
        self.dir.path().join("program").exists()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// Opens the box; `None` where this machine cannot, which is said.
    pub(crate) async fn open(&self) -> Option<Sandbox> {
        match Sandbox::open(self.spec.clone()).await {
            Ok(sandbox) if sandbox.report().level >= Level::L3 => Some(sandbox),
            Ok(sandbox) => {
                let report = sandbox.report().clone();
                sandbox.stop().await.unwrap();
                skip(&format!("{report:?}"));
                None
            }
            Err(OpenError::Refused(why)) => {
                skip(&why);
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A test that fails half-way leaves no box behind.
impl Drop for Fixture {
    fn drop(&mut self) {
        let folder = self.spec.folder.clone();
        let stopping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(polos_sandbox::stop_by_folder(folder)).unwrap();
        });
        assert!(stopping.join().is_ok() || std::thread::panicking());
    }
}

/// Skips a test, unless the machine is said to be able to run it.
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("POLOS_REQUIRE_SANDBOX").is_some_and(|value| value == "1");
    assert!(!required, "no box here: {why}\n{:#?}", probe());
    println!("skipped: no box here: {why}");
}

pub(crate) fn request(command: &str, line: &str) -> Exec {
    Exec {
        command: command.to_owned(),
        program: Program::Shell { line: line.to_owned() },
        cwd: None,
        env: BTreeMap::new(),
        stdin: Stdin::None,
        timeout_ms: Some(20_000),
        background: false,
        limits: OutputLimits::default(),
    }
}

/// Runs a shell line in a box.
pub(crate) async fn sh(sandbox: &Sandbox, line: &str) -> ExecResult {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("step-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    match sandbox.exec(request(&id, line), |_| {}).await.unwrap() {
        Executed::Ended(result) => *result,
        Executed::Started(started) => panic!("{started:?}"),
    }
}

pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}
