//! What a reader sees, in the states that matter.

use super::*;
use polos_protocol::failure::Difference;
use polos_protocol::record::{
    Answer, AttemptDetail, IntentDetail, Open, OpenApproval, OpenChild, ResetDetail,
    ResolvedDetail, RunOptions, StepDetail,
};
use polos_protocol::rest::ApprovalState;
use polos_protocol::run::RunSummary;
use polos_protocol::{
    ApprovalId, Blocked, DefinitionKind, Failure, Json, Kind, Namespace, NewRecord, Record,
    StepKey, Value, WorkerId,
};
use serde::Serialize;

/// 2026-11-23 12:00:00Z
const START: Millis = 1_795_435_200_000;

fn telling(columns: usize) -> Telling {
    Telling { columns, paint: Paint::OFF, now: START + 245_000, all: false }
}

fn run(name: &str, state: State, why: &str) -> RunDetail {
    let id = RunId::from_parts(START, [u8::try_from(name.len()).unwrap(); 10]);
    let summary = RunSummary {
        id,
        namespace: Namespace::default(),
        workflow: name.to_owned(),
        kind: DefinitionKind::Workflow,
        state,
        why: why.to_owned(),
        parent: None,
        root: id,
        created_ms: START,
        started_ms: Some(START + 12),
        ended_ms: None,
        build: Some("b7f3".to_owned()),
        queue: "default".to_owned(),
    };
    RunDetail {
        summary,
        options: RunOptions::default(),
        start_key: Some("order-42".to_owned()),
        principal: "local".to_owned(),
        input: Json::from_text(r#"{"order":42}"#).unwrap(),
        output: None,
        error: None,
        blocked: None,
        wait: None,
        worker: Some(WorkerId::from_parts(START, [1; 10])),
        assignment: 1,
        seq: 6,
        journal_bytes: 3_200,
        depth: 0,
        parent_key: None,
        cancel_requested: false,
        forked_from: None,
    }
}

fn story(run: RunDetail, records: Vec<NewRecord>) -> Story {
    let journal = (1..)
        .zip(records)
        .map(|(seq, record)| JournalEntry {
            record: Record {
                seq,
                at: START + seq * 1_000,
                assignment: 1,
                worker: None,
                build: None,
                record,
            },
            superseded: false,
        })
        .collect();
    Story { run, journal, approvals: Vec::new(), children: Vec::new(), is_cut: false }
}

fn key(name: &str) -> StepKey {
    StepKey::from_recorded(name)
}

fn record<T: Serialize>(kind: Kind, name: &str, detail: &T) -> NewRecord {
    NewRecord::new(1, kind, key(name), 0).with_detail(detail).unwrap()
}

fn step(name: &str, label: &str, took_ms: u64, value: &str) -> NewRecord {
    let detail = StepDetail { label: Some(label.to_owned()), ..StepDetail::default() };
    let mut step = record(Kind::Step, name, &detail);
    step.value = Some(Value::from_text(value).unwrap());
    step.started_ms = Some(START);
    step.ended_ms = Some(START + took_ms);
    step
}

fn model(name: &str) -> NewRecord {
    let detail = StepDetail {
        label: Some("model".to_owned()),
        cost_micros: Some(23_100),
        tokens: Some([12_400, 803]),
        ..StepDetail::default()
    };
    let mut step = record(Kind::Step, name, &detail);
    step.value = Some(Value::from_text(r#""I will look at the tests first.""#).unwrap());
    step.started_ms = Some(START);
    step.ended_ms = Some(START + 2_140);
    step
}

fn attempt(name: &str, number: u32, message: &str) -> NewRecord {
    let detail = AttemptDetail { attempt: number, next_ms: START, message: None };
    let mut attempt = record(Kind::Attempt, name, &detail);
    attempt.attempt = number;
    attempt.error = Some(Failure::new("error", message));
    attempt
}

fn approval(title: &str) -> OpenApproval {
    OpenApproval { title: title.to_owned(), ..OpenApproval::default() }
}

#[test]
fn a_run_that_waits_for_a_person() {
    let waiting = run(
        "mend",
        State::Waiting,
        "waits for a person to answer `push the branch?` since 12:00:06Z (4 min ago)",
    );
    let mut fetch = step("fetch", "step", 310, r#"{"status":200}"#);
    fetch.attempt = 3;
    let mut told = story(
        waiting,
        vec![
            model("plan"),
            attempt("fetch", 1, "connection refused"),
            attempt("fetch", 2, "connection refused\nby 10.0.0.1"),
            fetch,
            step("tests/unit", "exec", 12_400, r#"{"exit":1}"#),
            record(Kind::Open, "push", &Open::Approval(approval("push the branch?"))),
        ],
    );
    told.approvals.push(Approval {
        id: ApprovalId::from_parts(START, [2; 10]),
        run: told.run.summary.id,
        workflow: "mend".to_owned(),
        key: key("push"),
        state: ApprovalState::Pending,
        question: approval("push the branch?"),
        created_ms: START,
        answer: None,
    });
    insta::assert_snapshot!(told.tell(&telling(100)), @r#"
    run_01m844dzg00g2081040g208104 mend (workflow) waiting
    waits for a person to answer `push the branch?` since 12:00:06Z (4 min ago)

      started   2026-11-23 12:00:00Z (4 min ago) by local, key `order-42`
      worker    wrk_01m844dzg0040g2081040g2081, build b7f3
      queue     default
      input     {"order":42}
      journal   6 records, 3.1 KiB
      spent     $0.0231, 12,400 tokens in, 803 out, 1 model call

      ✓ plan        model    2.1 s       $0.0231 · 12,400 → 803 tokens · I will look at the tests first.
      ✓ fetch       step     310 ms      3 attempts · {"status":200}
          attempt 1: connection refused
          attempt 2: connection refused by 10.0.0.1
      ✓ tests/unit  exec     12.4 s      {"exit":1}
      … push        person               waiting for 3 min · apr_01m844dzg0081040g2081040g2 · push the…
    "#);
}

#[test]
fn a_blocked_run_shows_both_sides_and_the_verb() {
    let mut detail = run("checkout", State::Blocked, "needs a person: code and journal disagree");
    detail.blocked = Some(Blocked {
        code: "nondeterminism".to_owned(),
        message: "the code asked for `ship` where the journal holds `charge`".to_owned(),
        hint: "if the change is meant, say so with `was` or `removed`, deploy and resume"
            .to_owned(),
        step: Some("ship".to_owned()),
        difference: Some(Difference {
            recorded: vec!["1 step reserve".to_owned(), "2 step charge (once)".to_owned()],
            asked: vec!["1 step reserve".to_owned(), "2 step ship".to_owned()],
        }),
        failure: None,
        since: START + 5_000,
    });
    let told = story(detail, vec![step("reserve", "step", 40, "true")]);
    insta::assert_snapshot!(told.tell(&telling(90)), @r#"
    run_01m844dzg01040g2081040g208 checkout (workflow) blocked
    needs a person: code and journal disagree

      started   2026-11-23 12:00:00Z (4 min ago) by local, key `order-42`
      worker    wrk_01m844dzg0040g2081040g2081, build b7f3
      queue     default
      input     {"order":42}
      journal   6 records, 3.1 KiB

      ✓ reserve   step     40 ms       true

    blocked: nondeterminism at `ship`
      the code asked for `ship` where the journal holds `charge`
      since 2026-11-23 12:00:05Z (4 min ago)
        the journal holds                          the code asked for
        1 step reserve                             1 step reserve
      ≠ 2 step charge (once)                       2 step ship
      hint: if the change is meant, say so with `was` or `removed`, deploy and resume
      mend it with
        polos runs resume run_01m844dzg01040g2081040g208
        polos runs resume run_01m844dzg01040g2081040g208 --accept
      more: polos explain nondeterminism
    "#);
    insta::assert_snapshot!(blocked::lines(&told.run, &telling(50)).join("\n"), @r#"
    blocked: nondeterminism at `ship`
      the code asked for `ship` where the journal
      holds `charge`
      since 2026-11-23 12:00:05Z (4 min ago)
      the journal holds
        1 step reserve
        2 step charge (once)
      the code asked for
        1 step reserve
        2 step ship
      hint: if the change is meant, say so with `was`
      or `removed`, deploy and resume
      mend it with
        polos runs resume run_01m844dzg01040g2081040g208
        polos runs resume run_01m844dzg01040g2081040g208 --accept
      more: polos explain nondeterminism
    "#);
}

#[test]
fn a_step_in_doubt_names_its_verbs() {
    let mut detail = run("pay", State::Blocked, "needs a person: did `charge` go through?");
    detail.blocked = Some(Blocked {
        code: "step_in_doubt".to_owned(),
        message: "nobody knows whether `charge` went through".to_owned(),
        hint: "look at the receiver, then settle it".to_owned(),
        step: Some("charge".to_owned()),
        difference: None,
        failure: Some(Failure::new("timeout", "no answer within 600 s")),
        since: START + 5_000,
    });
    let intent = IntentDetail {
        timeout_ms: 600_000,
        idempotency_key: "k".to_owned(),
        label: None,
        has_verify: false,
    };
    let told = story(detail, vec![record(Kind::Intent, "charge", &intent)]);
    insta::assert_snapshot!(told.tell(&telling(90)), @r#"
    run_01m844dzg00c1g60r30c1g60r3 pay (workflow) blocked
    needs a person: did `charge` go through?

      started   2026-11-23 12:00:00Z (4 min ago) by local, key `order-42`
      worker    wrk_01m844dzg0040g2081040g2081, build b7f3
      queue     default
      input     {"order":42}
      journal   6 records, 3.1 KiB

      ▸ charge    step                 once · begun; no outcome is recorded yet

    blocked: step_in_doubt at `charge`
      nobody knows whether `charge` went through
      since 2026-11-23 12:00:05Z (4 min ago)
      error: no answer within 600 s (timeout)
      hint: look at the receiver, then settle it
      mend it with
        polos runs settle run_01m844dzg00c1g60r30c1g60r3 charge --done JSON
        polos runs settle run_01m844dzg00c1g60r30c1g60r3 charge --not-done
      more: polos explain step_in_doubt
    "#);
}

#[test]
fn children_are_nested_and_paid_for() {
    let mut parent = run("release", State::Completed, "completed 1 min ago");
    parent.summary.ended_ms = Some(START + 185_000);
    parent.output = Some(Json::from_text(r#"{"version":"1.2.0","notes":["a","b"]}"#).unwrap());
    let id = RunId::derived(parent.summary.id.bytes(), "coder");
    let open = Open::Child(OpenChild {
        workflow: "coder".to_owned(),
        input: Value::null(),
        options: RunOptions::default(),
        detached: false,
    });
    let mut done = record(
        Kind::Resolved,
        "coder",
        &ResolvedDetail { by: "child".to_owned(), ..ResolvedDetail::default() },
    );
    done.value = Some(Value::from_text(r#""done""#).unwrap());
    let mut told = story(parent, vec![record(Kind::Open, "coder", &open), done]);
    let mut child = run("coder", State::Completed, "completed");
    child.summary.id = id;
    told.children.push(story(child, vec![model("turn"), step("exec", "exec", 900, "0")]));
    insta::assert_snapshot!(told.tell(&telling(100)), @r#"
    run_01m844dzg00w3ge1r70w3ge1r7 release (workflow) completed
    completed 1 min ago

      started   2026-11-23 12:00:00Z (4 min ago) by local, key `order-42`
      ended     2026-11-23 12:03:05Z (1 min ago), after 3 min 5 s
      worker    wrk_01m844dzg0040g2081040g2081, build b7f3
      queue     default
      input     {"order":42}
      journal   6 records, 3.1 KiB
      spent     $0.0231, 12,400 tokens in, 803 out, 1 model call

      ✓ coder     child    1.0 s       `coder`: done
          run_01m844dzg0zx82tpv066mxe73z coder completed
            ✓ turn      model    2.1 s       $0.0231 · 12,400 → 803 tokens · I will look at the tests f…
            ✓ exec      exec     900 ms      0

    output
      {
        "notes": [
          "a",
          "b"
        ],
        "version": "1.2.0"
      }
    "#);
}

#[test]
fn what_a_retry_took_back_is_counted_and_shown_on_request() {
    let answer = Answer {
        approval: ApprovalId::from_parts(START, [2; 10]),
        approved: false,
        feedback: Some("use staging".to_owned()),
        value: None,
        scope: None,
        by: "ada".to_owned(),
        at: START,
    };
    let mut rejected = record(
        Kind::Resolved,
        "ask",
        &ResolvedDetail { by: "approval".to_owned(), ..ResolvedDetail::default() },
    );
    rejected.value = Some(Value::from_serialize(&answer).unwrap());
    let reset = ResetDetail {
        from_seq: 3,
        from_key: key("deploy"),
        only: false,
        again: Vec::new(),
        key_generation: 0,
        by: "ada".to_owned(),
    };
    let mut told = story(
        run("ship", State::Running, "runs on a worker"),
        vec![
            record(Kind::Open, "ask", &Open::Approval(approval("deploy to production?"))),
            rejected,
            step("deploy", "step", 5, "1"),
            record(Kind::Reset, "", &reset),
            step("deploy", "step", 7, "2"),
        ],
    );
    told.journal[2].superseded = true;
    insta::assert_snapshot!(told.tell(&telling(100)), @r#"
    run_01m844dzg00g2081040g208104 ship (workflow) running
    runs on a worker

      started   2026-11-23 12:00:00Z (4 min ago) by local, key `order-42`
      worker    wrk_01m844dzg0040g2081040g2081, build b7f3
      queue     default
      input     {"order":42}
      journal   6 records, 3.1 KiB

      ✓ ask       person   1.0 s       rejected by ada: use staging · deploy to production?
      · ada ordered a retry from `deploy` 12:00:04Z
      ✓ deploy    step     7 ms        2
      (1 superseded step not shown; `--all` shows them)
    "#);
    let all = told.tell(&Telling { all: true, ..telling(100) });
    assert!(all.contains("retried"), "{all}");
}
