//! Git on the host executes what a repository's hooks and settings name: none of them is written.

use super::{none_succeeds, on_host};
use crate::boxes::{Fixture, sh, text};

const CONFIG: &str = "[core]\n\tbare = false\n";

fn repository(fixture: &Fixture, at: &str) {
    on_host(fixture, &format!("git init -q {at} && printf '{CONFIG}' > {at}/.git/config"));
    if fixture.is_nobodys() {
        on_host(fixture, &format!("chown -R 65534:65534 {at}"));
    }
}

fn unchanged(fixture: &Fixture, at: &str) {
    let git = fixture.dir.path().join(at).join(".git");
    assert_eq!(text(&git.join("config")), CONFIG, "{at}");
    assert!(!git.join("hooks/post-checkout").exists(), "{at}");
    assert!(!git.join("commondir").exists() && !git.join("config.worktree").exists(), "{at}");
}

#[tokio::test]
async fn no_decoy_and_no_other_name_leads_to_hooks() {
    for fixture in Fixture::each() {
        repository(&fixture, "work");
        repository(&fixture, "work/sub/deep");
        on_host(&fixture, "cd work && for i in $(seq 25000); do : > decoy$i; done");
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(
            &sandbox,
            &[
                "echo x > .git/hooks/post-checkout",
                "echo x > sub/deep/.git/hooks/post-checkout",
                "ln .git/config mine && echo x >> mine",
                "ln -T .git/hooks mine",
                "cd .git && echo x > ./hooks/../hooks/post-checkout",
                "cd .git/hooks && echo x > post-checkout",
                "exec 3>.git/hooks/post-checkout",
                "perl -e 'open(F, \"+<\", \".git/config\") or exit 1'",
                "perl -e 'rename(\".git/index\", \".git/config\") or exit 1'",
                "truncate -s 0 .git/config",
                "touch -d 2000-01-01 .git/config",
                "setfattr -n user.x -v y .git/config",
                "chmod +x .git/hooks",
                "rm -rf .git/hooks",
                "rmdir .git/hooks",
                "mv .git x",
                "mv sub/deep x",
                "mv sub x",
                "mv sub/deep/.git x",
                "mv -T --exchange sub/deep .git",
                "rm -rf sub/deep",
                "ln -sfnT /tmp sub",
                "cp -r sub other && rm -rf sub && mv other sub",
                "echo /tmp > .git/commondir",
                "echo x > .git/config.worktree && git config --get core.worktree",
                "git config core.fsmonitor /workspace/x",
                "git config --worktree core.fsmonitor /workspace/x",
                "git remote add evil ext::sh",
                "git submodule add ./sub evil",
            ],
        )
        .await;
        sh(&sandbox, "rm -f .git/config.worktree").await;
        sandbox.stop().await.unwrap();
        unchanged(&fixture, "work");
        unchanged(&fixture, "work/sub/deep");
    }
}

#[tokio::test]
async fn repositories_of_every_writable_folder_are_guarded() {
    for mut fixture in Fixture::each() {
        repository(&fixture, "other");
        repository(&fixture, "more/nested");
        let at = |path: &str| fixture.dir.path().join(path).display().to_string();
        let paths = [at("other"), at("more")];
        fixture.spec.config.files.write_paths = paths.to_vec();
        if fixture.is_nobodys() {
            on_host(&fixture, "chown 65534:65534 more");
        }
        let Some(sandbox) = fixture.open().await else { return };
        let lines: Vec<String> = paths
            .iter()
            .zip([".git", "nested/.git"])
            .flat_map(|(path, git)| {
                [
                    format!("echo x >> {path}/{git}/config"),
                    format!("echo x > {path}/{git}/hooks/post-checkout"),
                    format!("mv {path}/{git} {path}/x"),
                ]
            })
            .collect();
        none_succeeds(&sandbox, &lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let line = format!("echo new > {}/new", paths[0]);
        assert_eq!(sh(&sandbox, &line).await.exit_code, Some(0));
        sandbox.stop().await.unwrap();
        unchanged(&fixture, "other");
        unchanged(&fixture, "more/nested");
    }
}

#[tokio::test]
async fn modules_and_worktrees_of_the_repository_stay_as_they_are() {
    for fixture in Fixture::each() {
        repository(&fixture, "work");
        on_host(
            &fixture,
            "cd work/.git && mkdir -p modules/a/hooks modules/b/c worktrees/w && \
             for m in modules/a modules/b/c; do echo ref > $m/HEAD; echo '[core]' > $m/config; done; \
             echo ../.. > worktrees/w/commondir; echo x > worktrees/w/gitdir",
        );
        if fixture.is_nobodys() {
            on_host(&fixture, "chown -R 65534:65534 work/.git");
        }
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(
            &sandbox,
            &[
                "echo x >> .git/modules/a/config",
                "echo x > .git/modules/a/hooks/post-checkout",
                "echo x >> .git/modules/b/c/config",
                "mv .git/modules/a .git/modules/x",
                "mv .git/modules/b .git/modules/x",
                "mv .git/modules .git/x",
                "mkdir -p .git/modules/b/c/hooks && echo x > .git/modules/b/c/hooks/post-checkout",
                "echo /tmp > .git/worktrees/w/commondir",
                "echo /tmp > .git/worktrees/w/gitdir",
                "mv .git/worktrees .git/x",
            ],
        )
        .await;
        sandbox.stop().await.unwrap();
        unchanged(&fixture, "work");
        assert_eq!(text(&fixture.work().join(".git/worktrees/w/commondir")), "../..\n");
    }
}
