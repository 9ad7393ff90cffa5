//! A box that is wanted, and the checks that need no kernel.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{Environment, Isolation, ToolsConfig};
use crate::local::order::{Bind, Guard, GuardKind, Order};
use crate::local::{survey, view};

/// A box that is wanted.
#[derive(Debug, Clone)]
pub struct SandboxSpec {
    /// The box's id, such as `sbx_…`; the same id and folder lead to the same box.
    pub id: String,
    /// A folder of the box's own on the host, outside the workspace: its state, its log.
    pub folder: PathBuf,
    /// The folder that the box works on.
    pub workspace: PathBuf,
    /// Whether the workspace is ours to give to the box's user, rather than a folder of a person's.
    pub is_managed: bool,
    pub config: ToolsConfig,
    /// What no box may see even where its workspace contains it: data folders, tokens, keys.
    pub masked: Vec<PathBuf>,
    /// The program that enters [`crate::run_if_asked`]; this one if absent.
    pub program: Option<PathBuf>,
}

/// Why a specification cannot be met.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the `{0}` environment is not in this build; it comes with the sandbox issue\nhint: `env = \"local\"` works on Linux"
    )]
    NotBuilt(&'static str),
    #[error("the path `{path}` cannot be used: {error}")]
    Path { path: PathBuf, error: std::io::Error },
    #[error("`{path}` cannot be shown in a box: {why}")]
    Forbidden { path: PathBuf, why: &'static str },
    #[error(
        "`{path}` holds more {what} than can be guarded\nhint: give the box a smaller folder, or clear away what is not needed"
    )]
    TooMuch { path: PathBuf, what: &'static str },
    #[error("the box id `{0}` may contain letters, digits, `_` and `-` only")]
    Id(String),
}

/// Folders that are never shown as a whole.
const FORBIDDEN: [&str; 10] =
    ["/", "/proc", "/sys", "/dev", "/run", "/var/run", "/etc", "/boot", "/home", "/var"];

impl SandboxSpec {
    /// Resolves all paths, and decides what is bound, guarded and covered.
    pub(crate) fn order(&self) -> Result<(Order, Vec<String>), Error> {
        match self.config.env {
            Environment::Local | Environment::Docker => {}
            Environment::E2b => return Err(Error::NotBuilt("e2b")),
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.id.is_empty() || self.id.len() > 100 || !self.id.chars().all(plain) {
            return Err(Error::Id(self.id.clone()));
        }
        let folder = resolve(&self.folder)?;
        let workspace = resolve(&self.workspace)?;
        check_shown(&workspace)?;
        let is_local = self.config.env == Environment::Local;
        let isolated = !is_local || self.config.local.isolation != Isolation::None;
        let (mut binds, notes) = if isolated {
            self.binds(&workspace)?
        } else {
            (vec![workspace_bind(&workspace)], Vec::new())
        };
        let hidden: Vec<PathBuf> = self
            .masked
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .chain([folder.clone()])
            .collect();
        mask(&mut binds, &hidden)?;
        let local = &self.config.local;
        let order = Order {
            id: self.id.clone(),
            folder,
            workspace,
            binds,
            isolation: local.isolation,
            network: local.network,
            limits: local.limits,
            uid: local.uid,
            grace_ms: local.grace.saturating_mul(1000),
        };
        Ok((order, notes))
    }

    fn binds(&self, workspace: &Path) -> Result<(Vec<Bind>, Vec<String>), Error> {
        let mut first = workspace_bind(workspace);
        let found = self.guard(&mut first)?;
        first.guards.extend(self.further_guards());
        let mut binds = vec![first];
        binds.extend(found.repository);
        for (source, target, writable) in self.further() {
            let source = resolve(&source)?;
            check_shown(&source)?;
            let is_system = view::SYSTEM.iter().any(|system| source.starts_with(system));
            let is_local = self.config.env == Environment::Local;
            if source.starts_with(workspace) || (is_local && is_system && !writable) {
                continue;
            }
            if !target.is_absolute() || target.starts_with("/.polos") {
                let why = "it cannot be shown there";
                return Err(Error::Forbidden { path: target, why });
            }
            let mut bind = Bind { writable, ..Bind::read_only(source, target) };
            let repository = self.guard(&mut bind)?.repository;
            binds.push(bind);
            binds.extend(repository);
        }
        Ok((binds, found.notes))
    }

    /// What is shown besides the workspace: from where, where, and whether it can be written.
    fn further(&self) -> Vec<(PathBuf, PathBuf, bool)> {
        let files = &self.config.files;
        let same =
            |writable| move |path: &String| (PathBuf::from(path), PathBuf::from(path), writable);
        let paths = files.read_paths.iter().map(same(false));
        let mut further: Vec<_> = paths.chain(files.write_paths.iter().map(same(true))).collect();
        if let (Environment::Docker, Some(docker)) = (self.config.env, &self.config.docker) {
            let mounts = docker.mounts.iter();
            further.extend(mounts.map(|m| (m.source.clone(), m.target.clone(), m.writable)));
        }
        further
    }

    /// Guards the repositories in a bind, and covers the sockets.
    fn guard(&self, bind: &mut Bind) -> Result<survey::Survey, Error> {
        let failed = |survey::TooMuch(what)| Error::TooMuch { path: bind.source.clone(), what };
        if !bind.source.is_dir() {
            return Ok(survey::Survey::default());
        }
        if !bind.writable {
            bind.masks = survey::read_only(&bind.source).map_err(failed)?;
            return Ok(survey::Survey::default());
        }
        let mut found = survey::writable(&bind.source).map_err(failed)?;
        if self.config.local.protected.iter().any(|path| path.starts_with(".git/")) {
            bind.guards = std::mem::take(&mut found.guards);
        }
        bind.masks = std::mem::take(&mut found.sockets);
        Ok(found)
    }

    /// Guards of protected paths that are not git's.
    fn further_guards(&self) -> Vec<Guard> {
        let mut guards = Vec::new();
        for path in self.config.local.protected.iter().filter(|path| !path.starts_with(".git/")) {
            let path = Path::new(path.trim_matches('/'));
            let mut parents: Vec<&Path> =
                path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).collect();
            parents.reverse();
            let pin = |parent: &Path| Guard { path: parent.to_owned(), kind: GuardKind::Pinned };
            guards.extend(parents.into_iter().map(pin));
            guards.push(Guard { path: path.to_owned(), kind: GuardKind::ReadOnly });
        }
        guards
    }
}

/// The variables of every command in a box, besides those that it is given.
pub(crate) fn base_env(
    namespaces: bool,
    folder: &Path,
    more: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let on_host = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (tmp, git) = (on_host("tmp"), on_host("gitconfig"));
    let (home, tmp) =
        if namespaces { (view::HOME.to_owned(), "/tmp".to_owned()) } else { (tmp.clone(), tmp) };
    let fixed = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", &home),
        ("TMPDIR", &tmp),
        ("USER", "agent"),
        ("LOGNAME", "agent"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
        ("NO_COLOR", "1"),
        ("PAGER", "cat"),
        ("GIT_PAGER", "cat"),
        ("GIT_EDITOR", "true"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", if namespaces { "/etc/gitconfig" } else { &git }),
        // A repository that the agent made could name a program here.
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", "false"),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    fixed.chain(more.clone()).collect()
}

fn workspace_bind(workspace: &Path) -> Bind {
    Bind { writable: true, ..Bind::read_only(workspace.to_owned(), PathBuf::from("/workspace")) }
}

fn resolve(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_absolute() {
        return Err(Error::Forbidden { path: path.to_owned(), why: "it is not absolute" });
    }
    fs::canonicalize(path).map_err(|error| Error::Path { path: path.to_owned(), error })
}

fn check_shown(path: &Path) -> Result<(), Error> {
    let refuse = |why| Err(Error::Forbidden { path: path.to_owned(), why });
    if FORBIDDEN.iter().any(|forbidden| path == Path::new(forbidden)) {
        return refuse("it holds more than a box may see; name a folder within it");
    }
    if ["/proc", "/sys", "/dev"].iter().any(|system| path.starts_with(system)) {
        return refuse("it belongs to the kernel");
    }
    if std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == path) {
        return refuse("it is a home folder; name a folder within it");
    }
    if path.file_name().is_some_and(|name| name == "docker.sock" || name == "containerd.sock") {
        return refuse("who reaches it rules the host");
    }
    Ok(())
}

/// Covers what is hidden beneath the binds.
fn mask(binds: &mut [Bind], hidden: &[PathBuf]) -> Result<(), Error> {
    for (index, bind) in binds.iter_mut().enumerate() {
        for path in hidden {
            match path.strip_prefix(&bind.source) {
                Ok(inner) if inner.as_os_str().is_empty() => {
                    let why = "it must stay hidden from every box";
                    return Err(Error::Forbidden { path: path.clone(), why });
                }
                Ok(inner) => bind.masks.push(inner.to_owned()),
                Err(_) if index > 0 && bind.source.starts_with(path) => {
                    let why = "it lies in what must stay hidden from every box";
                    return Err(Error::Forbidden { path: bind.source.clone(), why });
                }
                Err(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(root: &Path) -> SandboxSpec {
        for name in ["box", "work/data", "tool"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        SandboxSpec {
            id: "sbx_1".to_owned(),
            folder: root.join("box"),
            workspace: root.join("work"),
            is_managed: false,
            config: ToolsConfig::default(),
            masked: vec![root.join("work/data"), root.join("missing")],
            program: None,
        }
    }

    #[test]
    fn what_must_stay_hidden_is_covered_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let mut spec = spec(&root);
        let (order, _) = spec.order().unwrap();
        assert_eq!(order.binds[0].masks, [PathBuf::from("data")]);
        spec.config.files.read_paths = vec![root.join("work/data").display().to_string()];
        assert_eq!(spec.order().unwrap().0.binds.len(), 1);
        spec.masked.push(root.join("tool"));
        spec.config.files.read_paths = vec![root.join("tool").display().to_string()];
        assert!(matches!(spec.order(), Err(Error::Forbidden { .. })));
        spec.workspace = root.join("work/data");
        assert!(matches!(spec.order(), Err(Error::Forbidden { .. })));
    }

    #[test]
    fn what_is_not_built_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        spec.config.env = Environment::E2b;
        assert!(matches!(spec.order(), Err(Error::NotBuilt(_))));
    }

    #[test]
    fn the_system_and_homes_are_not_shown_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = spec(dir.path());
        for path in ["/", "/etc", "/proc/self", "/dev", "/var", "relative"] {
            spec.config.files.read_paths = vec![path.to_owned()];
            assert!(matches!(spec.order(), Err(Error::Forbidden { .. })), "{path}");
        }
        spec.config.files.read_paths = Vec::new();
        spec.id = "../x".to_owned();
        assert!(matches!(spec.order(), Err(Error::Id(_))));
    }
}
