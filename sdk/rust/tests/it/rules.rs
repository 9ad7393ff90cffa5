//! The rules one by one: `once` steps, changed code, cancellation, waiting, misuse.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "a test that cannot go on has failed")]

use crate::world::{End, World, answer};
use polos_protocol::failure::codes;
use polos_protocol::frame::{Lost, Previous, Settled};
use polos_protocol::record::{AttemptDetail, StepDetail};
use polos_protocol::{Kind, StepKey, Value};
use polos_sdk::{Ctx, Error, Race2, Result, Retry, StepError, Verdict, Workflow, workflow};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn key(name: &str) -> StepKey {
    StepKey::from_recorded(name)
}

fn completed(end: &End) -> String {
    match end {
        End::Completed(value) => value.text().unwrap_or_default().to_owned(),
        other => panic!("not completed: {other:?}"),
    }
}

fn blocked(end: &End) -> &polos_protocol::Blocked {
    match end {
        End::Blocked(blocked) => blocked,
        other => panic!("not blocked: {other:?}"),
    }
}

fn detail(world: &World, name: &str) -> StepDetail {
    let record = world.journal.iter().find(|r| r.kind() == Kind::Step && r.key().as_str() == name);
    record.unwrap().record.detail::<Option<StepDetail>>().unwrap().unwrap_or_default()
}

/// A charge that must not happen twice, and how often it did.
fn charging(verdict: Verdict<u32>, acted: &Arc<AtomicU32>) -> Arc<dyn Workflow> {
    let acted = acted.clone();
    workflow(move |ctx: Ctx, (): ()| {
        let (acted, verdict) = (acted.clone(), verdict.clone());
        async move {
            let run = move || {
                let acted = acted.clone();
                async move { Ok(acted.fetch_add(1, Ordering::SeqCst) + 1) }
            };
            let verify = move |_| {
                let verdict = verdict.clone();
                async move { Ok(verdict) }
            };
            ctx.step("charge", run).once().args(&("eur", 5)).verify(verify).await
        }
    })
}

/// Runs until the intent is durable and the effect has begun, then kills the process.
fn die_in_doubt(code: &Arc<dyn Workflow>) -> World {
    let mut world = World::new(5);
    // The intent, and then nothing: the step's record is what the process dies before.
    world.kill_at = 2;
    assert_eq!(world.drive(code), End::Killed);
    world.journal.truncate(1);
    assert_eq!(world.keys(Kind::Intent), ["charge"]);
    world.kill_at = usize::MAX;
    world
}

#[test]
fn a_doubt_is_settled_by_asking_the_world() {
    let acted = Arc::new(AtomicU32::new(0));
    let code = charging(Verdict::Done(77), &acted);
    let mut world = die_in_doubt(&code);
    assert_eq!(completed(&world.drive(&code)), "77");
    assert_eq!(acted.load(Ordering::SeqCst), 1, "it acted again");
    assert_eq!(detail(&world, "charge").settled_by.as_deref(), Some("verify"));
}

#[test]
fn what_was_not_done_runs_again() {
    let acted = Arc::new(AtomicU32::new(0));
    let code = charging(Verdict::NotDone, &acted);
    let mut world = die_in_doubt(&code);
    assert_eq!(completed(&world.drive(&code)), "2");
    assert_eq!(world.keys(Kind::Attempt), ["charge"], "why it ran again is journaled first");
}

#[test]
fn a_doubt_waits_for_the_old_lease_and_the_time_limit() {
    let acted = Arc::new(AtomicU32::new(0));
    let code = charging(Verdict::Done(1), &acted);
    for (dead, least) in [(false, 1_010_000 + 600_000), (true, 1_000_000)] {
        let mut world = die_in_doubt(&code);
        world.previous = Some(Previous { dead, lease_end_ms: 1_010_000 });
        let before = world.now;
        completed(&world.drive(&code));
        let at = world.journal.last().unwrap().at;
        assert!(at >= least.max(before), "settled at {at}");
        assert!(at < least.max(before) + 1000, "settled at {at}");
    }
}

#[test]
fn a_doubt_outwaits_each_assignment_that_may_still_be_acting_and_no_other() {
    let acted = Arc::new(AtomicU32::new(0));
    let code = charging(Verdict::Done(1), &acted);
    let begun_in = die_in_doubt(&code).assignment;
    for (assignment, waits) in [(begun_in, true), (begun_in - 1, false), (begun_in + 1, true)] {
        let mut world = die_in_doubt(&code);
        world.assignment += 2;
        world.previous = Some(Previous { dead: false, lease_end_ms: 1_010_000 });
        world.lost = vec![Lost { assignment, lease_end_ms: 1_010_000 }];
        completed(&world.drive(&code));
        let at = world.journal.last().unwrap().at;
        assert_eq!(at >= 1_010_000 + 600_000, waits, "settled at {at}");
    }
}

#[test]
fn a_person_settles_what_nobody_knows() {
    for (approved, value, expect) in [(true, Some(serde_json::json!(9)), "9"), (false, None, "2")] {
        let acted = Arc::new(AtomicU32::new(0));
        let code = charging(Verdict::Unknown, &acted);
        let mut world = die_in_doubt(&code);
        assert_eq!(world.drive(&code), End::Parked);
        assert_eq!(world.keys(Kind::Open), ["charge/settle"]);
        assert!(world.seen.contains("park"));
        world.answer = if approved {
            |_, _| Some(answer(true, Some(serde_json::json!(9))))
        } else {
            |_, _| Some(answer(false, None))
        };
        assert_eq!(completed(&world.drive(&code)), expect);
        assert_eq!(value.is_some(), acted.load(Ordering::SeqCst) == 1);
        let again = world.drive(&code);
        assert_eq!(completed(&again), expect, "and the same from the journal");
    }
}

#[test]
fn an_operator_settles_too() {
    let acted = Arc::new(AtomicU32::new(0));
    let code = charging(Verdict::Unknown, &acted);
    for (done, expect) in [(Some("5"), "5"), (None, "2")] {
        acted.store(0, Ordering::SeqCst);
        let mut world = die_in_doubt(&code);
        let done = done.map(|text| Value::from_text(text).unwrap());
        world.settled = vec![Settled { key: key("charge"), done, by: "ada".to_owned() }];
        assert_eq!(completed(&world.drive(&code)), expect);
        // The same order is not followed twice.
        if expect == "2" {
            world.journal.pop();
            assert_eq!(world.drive(&code), End::Parked);
            assert_eq!(acted.load(Ordering::SeqCst), 2);
        }
    }
}

#[test]
fn an_error_of_a_once_step_is_a_doubt_and_never_tried_again_by_itself() {
    let acted = Arc::new(AtomicU32::new(0));
    let counted = acted.clone();
    let code = workflow(move |ctx: Ctx, (): ()| {
        let acted = counted.clone();
        async move {
            let run = move || {
                acted.fetch_add(1, Ordering::SeqCst);
                async { Err::<u32, _>(StepError::retryable("timed out on the wire")) }
            };
            ctx.step("charge", run).once().await
        }
    });
    let mut world = World::new(1);
    assert_eq!(world.drive(&code), End::Parked);
    assert_eq!(acted.load(Ordering::SeqCst), 1);
    assert_eq!(world.keys(Kind::Open), ["charge/settle"]);
}

#[test]
fn not_done_is_tried_again_and_then_raised() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let run = || async { Err::<u32, _>(StepError::not_done("refused before the wire")) };
        let charged = ctx.step("charge", run).once().retry(Retry::attempts(3)).await;
        Ok(charged.unwrap_err().to_string())
    });
    let mut world = World::new(1);
    assert_eq!(completed(&world.drive(&code)), "\"refused before the wire\"");
    assert_eq!(world.keys(Kind::Attempt), ["charge", "charge"]);
    assert_eq!(world.begun["charge"], 3);
}

#[test]
fn attempts_are_journaled_first_and_last() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let run = |step: polos_sdk::StepContext| async move {
            if step.attempt() < 60 { Err(StepError::retryable("no")) } else { Ok(1_u32) }
        };
        let retry = Retry { attempts: 100, initial_ms: 1, max_ms: 5, ..Retry::default() };
        ctx.step_with("s", run).retry(retry).await
    });
    let mut world = World::new(1);
    assert_eq!(completed(&world.drive(&code)), "1");
    assert_eq!(world.keys(Kind::Attempt).len(), 20);
    let last = detail(&world, "s").last_attempts;
    assert_eq!(last.len(), 20);
    assert_eq!(last.last().map(|attempt| attempt.attempt), Some(59));
}

#[test]
fn a_long_backoff_parks() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let run = |step: polos_sdk::StepContext| async move {
            if step.attempt() == 1 {
                return Err(StepError::retryable("busy").retry_after(Duration::from_mins(10)));
            }
            Ok(step.attempt())
        };
        ctx.step_with("s", run).await
    });
    let mut world = World::new(1);
    let begun = world.now;
    assert_eq!(completed(&world.drive(&code)), "2");
    assert!(world.now >= begun + 600_000);
    assert!(world.seen.contains("park"));
    let attempt = world.journal.iter().find(|r| r.kind() == Kind::Attempt).unwrap();
    let detail: AttemptDetail = attempt.record.detail().unwrap();
    assert!(detail.next_ms >= begun + 600_000);
    world.journal.truncate(1);
    assert_eq!(completed(&world.drive(&code)), "2", "another worker goes on with attempt 2");
}

type Body = fn(Ctx) -> futures_util::future::BoxFuture<'static, Result<String>>;

fn body(body: Body) -> Arc<dyn Workflow> {
    workflow(move |ctx: Ctx, (): ()| body(ctx))
}

fn a_then_b() -> Arc<dyn Workflow> {
    body(|ctx| {
        Box::pin(async move {
            let a: String = ctx.step("a", || async { Ok("a".to_owned()) }).await?;
            let b: String = ctx.step("b", || async { Ok("b".to_owned()) }).await?;
            ctx.sleep(Duration::from_secs(100)).await?;
            let c: String = ctx.step("c", || async { Ok("c".to_owned()) }).await?;
            Ok(format!("{a}{b}{c} {}", ctx.now()))
        })
    })
}

/// A run of build `b1` that has recorded `a`, `b` and the timer.
fn recorded() -> World {
    let mut world = World::new(3);
    world.kill_at = 3;
    assert_eq!(world.drive(&a_then_b()), End::Killed);
    world.kill_at = usize::MAX;
    world
}

fn inserting() -> Arc<dyn Workflow> {
    body(|ctx| {
        Box::pin(async move {
            let x: String = ctx.step("x", || async { Ok("x".to_owned()) }).await?;
            let now = ctx.now();
            let a: String = ctx.step("a", || async { Ok("!".to_owned()) }).await?;
            let b: String = ctx.step("b", || async { Ok("!".to_owned()) }).await?;
            Ok(format!("{x}{a}{b} {now} {}", ctx.now()))
        })
    })
}

#[test]
fn the_same_build_must_ask_for_the_same() {
    let mut world = recorded();
    let end = world.drive(&inserting());
    let blocked = blocked(&end);
    assert_eq!(blocked.code, codes::NONDETERMINISM);
    let difference = blocked.difference.as_ref().unwrap();
    assert_eq!(difference.recorded.len(), 3, "{difference:?}");
    assert_eq!(difference.asked, ["step `x`"]);
    assert!(world.begun.keys().all(|key| key != "x"), "it ran before the difference was seen");
}

#[test]
fn another_build_may_insert_a_repeatable_step_which_does_not_move_time() {
    let mut world = recorded();
    world.build = "b2".to_owned();
    world.now += 5_000;
    let times: Vec<u64> = world.journal.iter().map(|record| record.at).collect();
    let end = world.drive(&inserting());
    // The timer of the old build is left over: repeatable, so it is a warning.
    assert_eq!(completed(&end), format!("\"xab 1000000 {}\"", times[1]));
    assert!(detail(&world, "x").inserted);
    assert_eq!(world.keys(Kind::Marker), ["sleep"]);
    let again = world.drive(&inserting());
    assert_eq!(again, end);
}

#[test]
fn another_build_may_not_insert_what_acts_once() {
    for grave in [
        body(|ctx| {
            Box::pin(async move {
                ctx.step("x", || async { Ok("x".to_owned()) }).once().await?;
                ctx.step("a", || async { Ok("!".to_owned()) }).await
            })
        }),
        body(|ctx| Box::pin(async move { ctx.call("x", &1).await })),
    ] {
        let mut world = recorded();
        world.build = "b2".to_owned();
        let end = world.drive(&grave);
        assert_eq!(blocked(&end).code, codes::NONDETERMINISM);
        assert_eq!(blocked(&end).step.as_deref(), Some("x"));
        assert!(!world.keys(Kind::Intent).contains(&"x".to_owned()));
        world.accepted = vec![key("x")];
        let end = world.drive(&grave);
        assert!(matches!(end, End::Completed(_)), "{end:?}");
    }
}

#[test]
fn a_rename_a_removal_and_a_patch_are_declared() {
    let renamed = body(|ctx| {
        Box::pin(async move {
            let first: String = ctx.step("first", || async { Ok("!".to_owned()) }).was("a").await?;
            ctx.removed("b");
            ctx.removed("sleep");
            let patched = ctx.patched("p");
            let c: String = ctx.step("c", || async { Ok("c".to_owned()) }).await?;
            Ok(format!("{first}{c} {patched} {}", ctx.patched("p")))
        })
    });
    let mut world = recorded();
    world.build = "b2".to_owned();
    let end = world.drive(&renamed);
    assert_eq!(completed(&end), "\"ac true true\"");
    assert_eq!(world.drive(&renamed), end);
    assert!(!detail(&world, "c").inserted);
}

#[test]
fn a_patch_is_false_before_the_frontier_and_stays_so() {
    let patched = body(|ctx| {
        Box::pin(async move {
            let mut said = Vec::new();
            for i in 0..4_u32 {
                let patched = ctx.patched("p");
                said.push(patched);
                ctx.step("s", move || async move { Ok(i) }).await?;
            }
            Ok(format!("{said:?}"))
        })
    });
    let plain = body(|ctx| {
        Box::pin(async move {
            for i in 0..4_u32 {
                ctx.step("s", move || async move { Ok(i) }).await?;
            }
            Ok(String::new())
        })
    });
    let mut world = World::new(1);
    world.kill_at = 2;
    assert_eq!(world.drive(&plain), End::Killed);
    world.kill_at = usize::MAX;
    world.build = "b2".to_owned();
    let end = world.drive(&patched);
    assert_eq!(completed(&end), "\"[false, false, true, true]\"");
    assert_eq!(world.drive(&patched), end);
}

#[test]
fn a_forgotten_once_step_blocks_and_a_forgotten_plain_one_warns() {
    let charging = charging(Verdict::Done(1), &Arc::default());
    let mut world = World::new(1);
    completed(&world.drive(&charging));
    world.build = "b2".to_owned();
    let other = body(|_| Box::pin(async { Ok("done".to_owned()) }));
    let end = world.drive(&other);
    assert_eq!(blocked(&end).code, codes::ORPHANED_STEP);
    assert_eq!(blocked(&end).step.as_deref(), Some("charge"));
    world.accepted = vec![key("charge")];
    assert_eq!(completed(&world.drive(&other)), "\"done\"");
}

#[test]
fn other_arguments_block() {
    let charge = |amount: u32| {
        workflow(move |ctx: Ctx, (): ()| async move {
            ctx.step("charge", move || async move { Ok(amount) }).once().args(&amount).await
        })
    };
    let mut world = World::new(1);
    assert_eq!(completed(&world.drive(&charge(5))), "5");
    assert_eq!(completed(&world.drive(&charge(5))), "5");
    let end = world.drive(&charge(6));
    assert_eq!(blocked(&end).code, codes::FINGERPRINT_MISMATCH);
    world.accepted = vec![key("charge")];
    assert_eq!(completed(&world.drive(&charge(6))), "5");
    let call =
        |n: u32| workflow(move |ctx: Ctx, (): ()| async move { ctx.call::<String>("c", &n).await });
    let mut world = World::new(1);
    completed(&world.drive(&call(1)));
    assert_eq!(blocked(&world.drive(&call(2))).code, codes::FINGERPRINT_MISMATCH);
}

#[test]
fn two_of_one_name_at_once_are_refused_before_they_run() {
    let code = body(|ctx| {
        Box::pin(async move {
            let one = ctx.step("s", || async { Ok(1_u32) }).into_future();
            let two = ctx.step("s", || async { Ok(2_u32) }).into_future();
            let (one, two) = futures_util::future::join(one, two).await;
            Ok(format!("{}{}", one?, two?))
        })
    });
    let mut world = World::new(1);
    let end = world.drive(&code);
    assert_eq!(blocked(&end).code, codes::AMBIGUOUS_STEP_KEY);
    assert!(world.begun.is_empty());
}

#[test]
fn misuse_is_said() {
    let dropped = body(|ctx| {
        Box::pin(async move {
            let step = ctx.step("s", || async { Ok(1_u32) }).into_future();
            let other = ctx.step("t", || async { Ok(1_u32) }).into_future();
            futures_util::future::select(step, other).await;
            Ok(String::new())
        })
    });
    let foreign = body(|_| {
        Box::pin(async {
            futures_util::future::pending::<()>().await;
            Ok(String::new())
        })
    });
    for code in [dropped, foreign] {
        let end = World::new(1).drive(&code);
        assert_eq!(blocked(&end).code, codes::MISUSE, "{end:?}");
        assert!(!blocked(&end).hint.is_empty());
    }
}

#[test]
fn an_event_that_is_too_large_is_refused_before_it_is_published() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let refused = ctx.publish("t", &"x".repeat(2 << 20)).await.unwrap_err();
        ctx.publish("t", "small").await?;
        Ok(refused.code().to_owned())
    });
    let mut world = World::new(1);
    assert_eq!(completed(&world.drive(&code)), "\"value_too_large\"");
    assert_eq!(world.keys(Kind::Emit), ["t"]);
}

#[test]
fn a_panic_beside_open_steps_is_the_error_and_not_misuse() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let waits = ctx.signal::<u32>("never");
        let bad = ctx.clone();
        let panics = ctx.branch("bad", async move {
            bad.step("s", || async { Ok(1) }).await?;
            assert!(bad.now() == 0, "in a branch");
            Ok(1)
        });
        ctx.all((waits, panics)).await?;
        Ok(())
    });
    let End::Failed(failure, _) = World::new(1).drive(&code) else { panic!("not failed") };
    assert_eq!((&*failure.code, &*failure.message), ("panic", "in a branch"));
}

#[test]
fn a_panic_is_an_error_of_the_run() {
    let code = body(|ctx| {
        Box::pin(async move {
            let caught: Result<u32> =
                ctx.step("s", || async { panic!("in the step") }).retry(Retry::none()).await;
            assert_eq!(caught.unwrap_err().code(), "panic");
            panic!("in the body")
        })
    });
    let End::Failed(failure, _) = World::new(1).drive(&code) else { panic!("not failed") };
    assert_eq!((&*failure.code, &*failure.message), ("panic", "in the body"));
}

#[test]
fn an_uncaught_error_names_its_step() {
    let code = body(|ctx| {
        Box::pin(async move {
            ctx.step("s", || async { Err(StepError::retryable("no").no_retry()) }).await
        })
    });
    let End::Failed(failure, step) = World::new(1).drive(&code) else { panic!("not failed") };
    assert_eq!((&*failure.message, step), ("no", Some(key("s"))));
}

#[test]
fn cancellation_is_raised_at_its_place_and_cleanup_runs() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = told.clone();
    let code = workflow(move |ctx: Ctx, (): ()| {
        let told = noted.clone();
        async move {
            let slept = ctx.sleep(Duration::from_hours(1)).await;
            told.lock().unwrap().push(format!("{:?}", slept.as_ref().unwrap_err().is_cancelled()));
            let refused = ctx.step("more", || async { Ok(1_u32) }).await;
            told.lock().unwrap().push(format!("{:?}", refused.unwrap_err().is_cancelled()));
            let undo = ctx.clone();
            let undone = ctx
                .cleanup(
                    async move { undo.step("undo", || async { Ok("undone".to_owned()) }).await },
                )
                .await?;
            told.lock().unwrap().push(undone);
            slept
        }
    });
    let mut world = World::new(1);
    world.kill_at = 1;
    assert_eq!(world.drive(&code), End::Killed);
    world.cancel();
    world.kill_at = usize::MAX;
    for _ in 0..2 {
        told.lock().unwrap().clear();
        let End::Failed(failure, _) = world.drive(&code) else { panic!("not failed") };
        assert_eq!(failure.code, "cancelled");
        assert_eq!(*told.lock().unwrap(), ["true", "true", "undone"]);
    }
    assert_eq!(world.keys(Kind::Step), ["cleanup/undo"]);
    assert_eq!(world.begun["cleanup/undo"], 1);
}

#[test]
fn cleanup_has_a_limit() {
    let code = body(|ctx| {
        Box::pin(async move {
            ctx.sleep(Duration::from_hours(1)).await.ok();
            let inner = ctx.clone();
            ctx.cleanup(async move { inner.sleep(Duration::from_hours(2)).await }).await?;
            Ok("never".to_owned())
        })
    });
    let mut world = World::new(1);
    world.kill_at = 1;
    world.drive(&code);
    world.cancel();
    world.kill_at = usize::MAX;
    let before = world.now;
    let End::Failed(failure, _) = world.drive(&code) else { panic!("not failed") };
    assert_eq!(failure.code, "cancelled");
    assert!(world.now >= before + 30_000 && world.now < before + 40_000);
}

#[test]
fn a_race_gives_up_the_loser() {
    let code = body(|ctx| {
        Box::pin(async move {
            let slow = ctx.call::<String>("slow", &());
            match ctx.race((ctx.sleep(Duration::from_millis(1)), slow)).await? {
                Race2::A(()) => Ok("slept".to_owned()),
                Race2::B(said) => Ok(said),
            }
        })
    });
    let mut world = World::new(1);
    world.max_delay = 1_000_000;
    let end = world.drive(&code);
    assert_eq!(completed(&end), "\"slept\"");
    assert_eq!(world.keys(Kind::Lost), ["race/1/slow"]);
    assert_eq!(world.drive(&code), end);
    assert_eq!(world.keys(Kind::Lost).len(), 1);
}

#[test]
fn a_detached_start_is_durable_and_not_awaited() {
    let code = body(|ctx| {
        Box::pin(async move {
            let run = ctx.call::<()>("other", &1).detach().await?;
            Ok(run.to_string())
        })
    });
    let mut world = World::new(1);
    let end = world.drive(&code);
    assert_eq!(world.drive(&code), end);
    let derived = polos_protocol::RunId::derived(world.run.bytes(), "other");
    assert_eq!(completed(&end), format!("\"{derived}\""));
}

#[test]
fn an_event_times_out_as_an_error_that_says_so() {
    let code = body(|ctx| {
        Box::pin(async move {
            match ctx.signal::<u32>("go").timeout(Duration::from_secs(5)).await {
                Err(error) if error.is_timeout() => Ok("late".to_owned()),
                other => Err(Error::msg(format!("{other:?}"))),
            }
        })
    });
    assert_eq!(completed(&World::new(1).drive(&code)), "\"late\"");
}

#[test]
fn a_long_journal_is_replayed_quickly() {
    let code = workflow(|ctx: Ctx, (): ()| async move {
        let mut sum = 0;
        for i in 0..10_000_u64 {
            sum += ctx.step("s", move || async move { Ok(i) }).await?;
        }
        Ok(sum)
    });
    let mut world = World::new(1);
    world.max_delay = 1;
    let end = world.drive(&code);
    let begun = std::time::Instant::now();
    assert_eq!(world.drive(&code), end);
    eprintln!("10,000 steps replayed in {:?}", begun.elapsed());
}
