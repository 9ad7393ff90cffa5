//! A box takes no more than it was given.

use std::time::{Duration, Instant};

use super::{none_succeeds, on_host};
use crate::boxes::{Fixture, request, sh};

/// Processes of the toolbox's own, besides those of the commands.
const OWN: u64 = 24;

#[tokio::test]
async fn a_fork_bomb_is_held_by_the_process_limit() {
    for mut fixture in Fixture::each_user() {
        fixture.spec.config.local.limits.processes = 50;
        let Some(sandbox) = fixture.open().await else { return };
        if fixture.is_nobodys() {
            let groups = &sandbox.report().groups;
            assert!(groups.is_empty(), "the limit of the process must hold by itself: {groups:?}");
        }
        let limits = sh(&sandbox, "grep 'Max processes' /proc/self/limits").await.stdout;
        let limits: Vec<&str> = limits.split_whitespace().collect();
        assert_eq!(limits[2..4], [(50 + OWN).to_string(), (50 + OWN).to_string()]);
        let count = "perl -e '$n = 0; while (defined($pid = fork)) { $pid or sleep 60; $n++; \
                     last if $n > 1000 } print \"$n\"; kill 9, -$$'";
        let count = sh(
            &sandbox,
            &format!("setsid -w sh -c \"{}\"", count.replace('$', "\\$").replace('"', "\\\"")),
        )
        .await;
        let forked: u64 = count.stdout.trim().parse().unwrap_or_else(|_| panic!("{count:?}"));
        assert!((10..=50 + OWN).contains(&forked), "{forked}");
        none_succeeds(&sandbox, &["ulimit -u 1000", "ulimit -Hu unlimited"]).await;
        let mut bomb = request("bomb", "b() { b | b & }; b; wait");
        bomb.timeout_ms = Some(1_000);
        sandbox.exec(bomb, |_| {}).await.unwrap();
        assert_eq!(sh(&sandbox, "echo alive").await.stdout, "alive\n");
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn limits_are_set_and_cannot_be_raised() {
    for fixture in Fixture::each_user() {
        let Some(sandbox) = fixture.open().await else { return };
        let limits = sh(&sandbox, "cat /proc/self/limits").await.stdout;
        let value = |name: &str| {
            let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].split_whitespace().next().unwrap().to_owned()
        };
        // A host that pipes cores to a program starts none at this very limit, and does at 0.
        assert_eq!(value("Max core file size"), "1");
        assert_eq!(value("Max open files"), "1024");
        assert_eq!(value("Max file size"), (1_u64 << 30).to_string());
        let score = sh(&sandbox, "cat /proc/self/oom_score_adj").await.stdout;
        assert!(score.trim().parse::<i32>().unwrap() >= 500, "{score}");
        none_succeeds(
            &sandbox,
            &[
                "ulimit -c 0 && ulimit -Hc unlimited",
                "ulimit -n 100000",
                "ulimit -f unlimited",
                "echo 0 > /proc/self/oom_score_adj",
                "echo -1000 > /proc/self/oom_score_adj",
                "perl -e 'exit(syscall(141, 0, 0, -20) == 0 ? 0 : 1)'",
                "chrt -f 50 true",
                "ionice -c 1 true",
            ],
        )
        .await;
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn private_file_systems_are_small() {
    for mut fixture in Fixture::each_user() {
        fixture.spec.config.local.limits.tmp_bytes = 8 << 20;
        let Some(sandbox) = fixture.open().await else { return };
        none_succeeds(
            &sandbox,
            &[
                "head -c 20m /dev/zero > /tmp/x",
                "head -c 20m /dev/zero > /var/tmp/y",
                "head -c 20m /dev/zero > /dev/shm/x",
                "head -c 20m /dev/zero > /home/agent/x",
                "echo x > /dev/x",
                "echo x > /run/x",
                "echo x > /.polos/x",
                "echo x > /x",
            ],
        )
        .await;
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn trees_that_do_not_want_to_end_end_within_a_second() {
    for fixture in Fixture::each() {
        let Some(sandbox) = fixture.open().await else { return };
        let trees = [
            "trap '' TERM INT HUP QUIT; while :; do sleep 1; done",
            "(setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &) ; sleep 60",
            "perl -e '$SIG{TERM} = \"IGNORE\"; fork; fork; if (!fork) { setpgrp; fork; } sleep 1 while 1'",
            "kill -STOP $$; sleep 60",
            "perl -e 'for (1..20) { fork or do { setpgrp; sleep 60 } } sleep 60'",
        ];
        for (index, tree) in trees.iter().enumerate() {
            let mut exec = request(&format!("tree-{index}"), tree);
            exec.timeout_ms = Some(300);
            let begun = Instant::now();
            sandbox.exec(exec, |_| {}).await.unwrap();
            let took = begun.elapsed();
            assert!(took < Duration::from_millis(1_300), "{tree}: {took:?}");
        }
        let left = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '^sleep' || true";
        assert_eq!(sh(&sandbox, left).await.stdout.trim(), "0");
        sandbox.stop().await.unwrap();
    }
}

#[tokio::test]
async fn groups_are_a_boxs_own_and_go_with_it() {
    let (mut one, mut two) = (Fixture::new(), Fixture::new());
    (one.spec.id, two.spec.id) = ("box-named-same".to_owned(), "box-named-same".to_owned());
    one.spec.config.local.limits.processes = 60;
    two.spec.config.local.limits.processes = 90;
    let (Some(first), Some(second)) = (one.open().await, two.open().await) else { return };
    if first.report().groups.iter().any(|group| group == "pids") {
        let limits = on_host(
            &one,
            "cat $(find /sys/fs/cgroup -path '*polos/box-named-same*' -name pids.max) | sort -n",
        );
        assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), ["84", "114"]);
    }
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let left = "find /sys/fs/cgroup -path '*polos/box-named-same*' | wc -l";
    assert_eq!(on_host(&one, left).trim(), "0");
}
