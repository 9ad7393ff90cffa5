//! Boxes for tests: made, asked, and skipped aloud where the kernel cannot make them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use polos_sandbox::config::ToolsConfig;
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
            config: ToolsConfig::default(),
            masked: Vec::new(),
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_polos-sandbox-box"))),
        };
        Self { dir, spec }
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
