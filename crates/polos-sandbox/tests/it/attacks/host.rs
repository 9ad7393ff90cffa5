//! What an agent leaves behind for those who come later: the keeper and the worker on the host.

use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use polos_sandbox::{OpenError, Sandbox};

use super::{none_succeeds, on_host};
use crate::boxes::{Fixture, sh, text};

/// Opens a box, which must not take long whatever lies in its way.
async fn opens_soon(fixture: &Fixture) -> Result<Sandbox, OpenError> {
    let opening = Sandbox::open(fixture.spec.clone());
    tokio::time::timeout(Duration::from_secs(10), opening).await.expect("the worker hangs")
}

#[tokio::test]
async fn a_link_to_a_repository_cannot_hold_the_worker_up() {
    for trap in
        ["mkfifo fake/commondir", "ln -s /dev/zero fake/commondir", "truncate -s 1T fake/commondir"]
    {
        let fixture = Fixture::new();
        let line = format!("cd work && echo 'gitdir: fake' > .git && mkdir fake && {trap}");
        on_host(&fixture, &line);
        if let Ok(sandbox) = opens_soon(&fixture).await {
            sandbox.stop().await.unwrap();
        }
    }
    for trap in ["mkfifo .git", "ln -s /dev/zero .git", "truncate -s 1T .git"] {
        let fixture = Fixture::new();
        on_host(&fixture, &format!("cd work && {trap}"));
        if let Ok(sandbox) = opens_soon(&fixture).await {
            sandbox.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn clearing_away_follows_no_link() {
    for fixture in Fixture::each() {
        on_host(&fixture, "mkdir -p outside/.git work/sub/.git && touch outside/.git/config");
        fixture.give(&["work/sub", "work/sub/.git", "outside/.git", "outside/.git/config"]);
        let Some(sandbox) = fixture.open().await else { return };
        assert!(fixture.work().join("sub/.git/config").exists() || !sandbox.report().namespaces);
        let line = "mv sub gone; ln -s ../outside sub; mv sub/.git/config x; rm sub/.git/config; \
                    mv -T sub/.git y && ln -s ../../outside/.git sub/.git";
        sh(&sandbox, line).await;
        sandbox.stop().await.unwrap();
        assert!(fixture.outside().join(".git/config").exists(), "a file outside was removed");
    }
}

#[tokio::test]
async fn nothing_is_left_in_the_workspace_by_the_keeper() {
    for fixture in Fixture::each() {
        on_host(&fixture, "mkdir work/.git");
        fixture.give(&["work/.git"]);
        let Some(sandbox) = fixture.open().await else { return };
        assert!(fixture.work().join(".git/commondir").exists());
        sandbox.stop().await.unwrap();
        assert!(!fixture.work().join(".git/commondir").exists());
        assert!(!fixture.work().join(".git/config").exists());
    }
}

#[tokio::test]
async fn sockets_are_not_spoken_to_wherever_they_are_shown() {
    for mut fixture in Fixture::each() {
        on_host(&fixture, "mkdir -p read/deep write/deep");
        let at = |path: &str| fixture.dir.path().join(path);
        let listeners: Vec<_> = ["work/a.sock", "read/b.sock", "read/deep/c.sock", "write/d.sock"]
            .map(|path| {
                let listener = UnixListener::bind(at(path)).unwrap();
                listener.set_nonblocking(true).unwrap();
                std::fs::set_permissions(
                    at(path),
                    std::os::unix::fs::PermissionsExt::from_mode(0o777),
                )
                .unwrap();
                listener
            })
            .into();
        fixture.spec.config.files.read_paths = vec![at("read").display().to_string()];
        fixture.spec.config.files.write_paths = vec![at("write").display().to_string()];
        let Some(sandbox) = fixture.open().await else { return };
        let root = fixture.dir.path().display();
        let connect = |path: &str| {
            format!(
                "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0) or exit 1; \
                 connect(S, pack_sockaddr_un(\"{path}\")) or exit 1; print \"through\"'"
            )
        };
        let lines = [
            connect("/workspace/a.sock"),
            connect(&format!("{root}/read/b.sock")),
            connect(&format!("{root}/read/deep/c.sock")),
            connect(&format!("{root}/write/d.sock")),
        ];
        none_succeeds(&sandbox, &lines.each_ref().map(String::as_str)).await;
        sandbox.stop().await.unwrap();
        for listener in listeners {
            assert!(listener.accept().is_err());
        }
        assert!(std::fs::symlink_metadata(at("work/a.sock")).unwrap().file_type().is_socket());
    }
}

#[tokio::test]
async fn a_box_whose_protection_is_replaced_on_the_host_ends() {
    for fixture in Fixture::each_user() {
        on_host(&fixture, "mkdir work/.git && echo '[core]' > work/.git/config");
        fixture.give(&["work/.git", "work/.git/config"]);
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(&sandbox, &["echo x >> .git/config"]).await;
        // As `git config` does.
        on_host(&fixture, "cd work/.git && echo '[core]' > config.lock && mv config.lock config");
        fixture.give(&["work/.git/config"]);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while sandbox.lost().is_none() {
            assert!(std::time::Instant::now() < deadline, "the box lives on unprotected");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let again = Sandbox::open(fixture.spec.clone()).await.unwrap();
        none_succeeds(&again, &["echo x >> .git/config"]).await;
        again.stop().await.unwrap();
        assert_eq!(text(&fixture.work().join(".git/config")), "[core]\n");
    }
}

#[tokio::test]
async fn what_the_worker_has_open_stays_with_it() {
    use std::os::fd::AsRawFd as _;
    for fixture in Fixture::each_user() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        let pipe = std::fs::read_link(format!("/proc/self/fd/{}", read.as_raw_fd())).unwrap();
        let Some(sandbox) = fixture.open().await else { return };
        let alive: serde_json::Value =
            serde_json::from_str(&text(&fixture.spec.folder.join("box.json"))).unwrap();
        for process in ["keeper", "first"] {
            let fds = format!("/proc/{}/fd", alive[process]["pid"]);
            for fd in std::fs::read_dir(fds).unwrap().flatten() {
                assert_ne!(std::fs::read_link(fd.path()).ok().as_ref(), Some(&pipe), "{process}");
            }
        }
        let fds = sh(&sandbox, "ls -l /proc/self/fd").await.stdout;
        assert!(!fds.contains(&*pipe.to_string_lossy()), "{fds}");
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn links_in_the_workspace_lead_the_worker_nowhere() {
    for fixture in Fixture::each() {
        symlink("../outside", fixture.work().join("folder")).unwrap();
        symlink("../outside/secret", fixture.work().join("link")).unwrap();
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(&sandbox, &["cat folder/secret", "cat link", "echo x > folder/new"]).await;
        sandbox.stop().await.unwrap();
        assert_eq!(text(&fixture.outside().join("secret")), "canary");
        assert_eq!(std::fs::read_dir(fixture.outside()).unwrap().count(), 1);
    }
}
