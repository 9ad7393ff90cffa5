//! The boxes of a worker: opened when a tool first needs one, found again after a crash, stopped
//! when nobody has used them for a while. A box's workspace stays; it is what a run comes back to.

#![expect(clippy::format_push_string, reason = "a few short lines")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polos_sandbox::config::{Scope, ToolsConfig};
use polos_sandbox::{OpenError, Sandbox, SandboxSpec};
use polos_sdk::StepError;

/// How long a box stays up without use.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// The same for a box in which something was started in the background.
const IDLE_BACKGROUND_MAX: Duration = Duration::from_mins(30);

/// Where boxes are kept, and what they must never show.
#[derive(Debug, Clone, Default)]
pub struct BoxesConfig {
    /// The folder of all boxes, one folder each.
    pub root: PathBuf,
    /// A folder that every box works on, instead of one of its own.
    pub workspace: Option<PathBuf>,
    /// What no box may see even where its workspace contains it.
    pub masked: Vec<PathBuf>,
    /// The program that becomes a box; this one if absent.
    pub program: Option<PathBuf>,
}

/// The boxes of a worker. Clones share them.
#[derive(Debug, Clone)]
pub struct Boxes {
    config: Arc<BoxesConfig>,
    open: Arc<Mutex<HashMap<String, Arc<Slot>>>>,
}

#[derive(Debug)]
struct Slot {
    /// Held while the box is opened or stopped, so that nobody gets one that is on its way out.
    sandbox: tokio::sync::Mutex<Option<Sandbox>>,
    usage: Mutex<Usage>,
}

#[derive(Debug)]
struct Usage {
    users: usize,
    last: Instant,
    has_background: bool,
}

/// A box in use: it is not stopped while this is held.
#[derive(Debug)]
pub(crate) struct InUse {
    sandbox: Sandbox,
    slot: Arc<Slot>,
}

impl std::ops::Deref for InUse {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

impl InUse {
    /// Says that something stays behind that runs.
    pub(crate) fn has_background(&self) {
        self.slot.usage().has_background = true;
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut usage = self.slot.usage();
        usage.users -= 1;
        usage.last = Instant::now();
    }
}

impl Slot {
    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        let usage = self.usage();
        let max = if usage.has_background { IDLE_BACKGROUND_MAX } else { IDLE_MAX };
        usage.users == 0 && usage.last.elapsed() >= max
    }
}

/// One box and how to open it: what the steps of a run hold.
#[derive(Debug, Clone)]
pub struct Desk {
    boxes: Boxes,
    id: String,
    config: ToolsConfig,
}

impl Desk {
    pub fn new(boxes: Boxes, id: impl Into<String>, config: ToolsConfig) -> Self {
        Self { boxes, id: id.into(), config }
    }

    /// The box's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn config(&self) -> &ToolsConfig {
        &self.config
    }

    /// The box, for as long as the value is held. If it cannot be opened, nothing has happened yet.
    pub(crate) async fn open(&self) -> Result<InUse, StepError> {
        self.boxes.get(&self.id, &self.config).await.map_err(|error| {
            let code = match &error {
                OpenError::Refused(_) | OpenError::Docker(_) => "sandbox_refused",
                _ => "sandbox_unavailable",
            };
            let refused = StepError::not_done(error.to_string()).code(code);
            // What the kernel refuses now it refuses in a second too.
            if matches!(error, OpenError::Refused(_) | OpenError::Spec(_) | OpenError::Docker(_)) {
                refused.no_retry()
            } else {
                refused
            }
        })
    }
}

/// The id of the box that a run works in.
pub(crate) fn id_of(scope: &Scope, root_run: &str, session: Option<&str>) -> String {
    match (scope, session) {
        (Scope::Named(name), _) => named_id(name),
        (Scope::Session, Some(session)) => format!("box-{session}"),
        (Scope::Session | Scope::Run, _) => format!("box-{root_run}"),
    }
}

/// The id of a box with a name; what an id cannot hold is spelled out.
pub fn named_id(name: &str) -> String {
    let mut id = "box-named-".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => id.push(char::from(byte)),
            other => id.push_str(&format!("_{other:02x}")),
        }
    }
    id
}

impl Default for Boxes {
    fn default() -> Self {
        Self::new(BoxesConfig::default())
    }
}

impl Boxes {
    pub fn new(config: BoxesConfig) -> Self {
        Self { config: Arc::new(config), open: Arc::default() }
    }

    /// The box's own folder on the host.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.config.root.join(id).join("box")
    }

    /// The folder on the host that the box works on, unless its agent names one of the user's own.
    pub fn workspace(&self, id: &str) -> PathBuf {
        let own = || self.config.root.join(id).join("workspace");
        self.config.workspace.clone().unwrap_or_else(own)
    }

    /// The file with a line for each command that was really started in the box.
    pub fn ledger(&self, id: &str) -> PathBuf {
        self.folder(id).join("state/ledger")
    }

    /// The boxes that have a workspace here: what this worker is near to.
    pub fn held(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.config.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The box, opened if it is not open.
    pub(crate) async fn get(&self, id: &str, config: &ToolsConfig) -> Result<InUse, OpenError> {
        let slot = self.slot(id);
        // Counted before it is opened: who counts idle boxes must see us.
        slot.usage().users += 1;
        let counted = Counted(&slot);
        let mut held = slot.sandbox.lock().await;
        let sandbox = match held.as_ref().filter(|sandbox| sandbox.lost().is_none()) {
            Some(sandbox) => sandbox.clone(),
            None => Sandbox::open(self.spec(id, config)?).await?,
        };
        *held = Some(sandbox.clone());
        drop(held);
        std::mem::forget(counted);
        Ok(InUse { sandbox, slot: slot.clone() })
    }

    fn slot(&self, id: &str) -> Arc<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = Usage { users: 0, last: Instant::now(), has_background: false };
        let new = || {
            let sandbox = tokio::sync::Mutex::new(None);
            Arc::new(Slot { sandbox, usage: Mutex::new(usage) })
        };
        open.entry(id.to_owned()).or_insert_with(new).clone()
    }

    fn spec(&self, id: &str, config: &ToolsConfig) -> Result<SandboxSpec, OpenError> {
        let folder = self.folder(id);
        make_private(&folder)?;
        let workspace = self.workspace_for(id, config)?;
        Ok(SandboxSpec {
            id: id.to_owned(),
            folder,
            workspace,
            is_managed: self.config.workspace.is_none() && config.workspace_dir().is_none(),
            config: config.clone(),
            masked: self.config.masked.clone(),
            program: self.config.program.clone(),
        })
    }

    fn workspace_for(&self, id: &str, config: &ToolsConfig) -> Result<PathBuf, OpenError> {
        if let Some(directory) = config.workspace_dir() {
            return users_own(directory);
        }
        let own = self.workspace(id);
        make_private(&own)?;
        Ok(own)
    }

    /// Stops boxes that nobody has used for a while; their workspaces stay.
    pub async fn stop_idle(&self) {
        for slot in self.slots() {
            let mut held = slot.sandbox.lock().await;
            if !slot.is_idle() {
                continue;
            }
            if let Some(sandbox) = held.take()
                && let Err(error) = sandbox.stop().await
            {
                tracing::warn!(%error, "an idle box could not be stopped");
            }
        }
    }

    /// Stops every box that nobody uses at this moment.
    pub async fn stop_all(&self) {
        for slot in self.slots() {
            let mut held = slot.sandbox.lock().await;
            if slot.usage().users == 0
                && let Some(sandbox) = held.take()
                && let Err(error) = sandbox.stop().await
            {
                tracing::warn!(%error, "a box could not be stopped");
            }
        }
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Takes the count back if the box cannot be opened.
struct Counted<'a>(&'a Slot);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.usage().users -= 1;
    }
}

/// A directory of the user's own is never made: a misspelt name would be an empty workspace.
fn users_own(directory: &Path) -> Result<PathBuf, OpenError> {
    let found = fs::canonicalize(directory).ok().filter(|path| path.is_dir());
    found.ok_or_else(|| {
        OpenError::Refused(format!(
            "`workspace_dir` is `{}`, and there is no such directory\nhint: make it, or leave \
             `workspace_dir` out for one of the box's own",
            directory.display()
        ))
    })
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_scope() {
        assert_eq!(id_of(&Scope::Run, "run_1", Some("ses_1")), "box-run_1");
        assert_eq!(id_of(&Scope::Session, "run_1", Some("ses_1")), "box-ses_1");
        assert_eq!(id_of(&Scope::Session, "run_1", None), "box-run_1");
        assert_eq!(id_of(&Scope::Named("a/b_c".into()), "run_1", None), "box-named-a_2fb_5fc");
    }
}
