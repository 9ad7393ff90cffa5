import { describe, expect, test } from "vitest";
import { Context } from "../../src/context/context.js";
import type { Body } from "../../src/context/execution.js";
import {
  Cancelled,
  NonRetryableError,
  NotDone,
  RetryableError,
  StepFailed,
  TerminalError,
} from "../../src/errors.js";
import type { AttemptDetail, StepDetail } from "../../src/protocol/details.js";
import { derivedId } from "../../src/protocol/id.js";
import { done, notDone, unknown, type Verdict } from "../../src/step.js";
import { answer, type End, World } from "./world.js";

const body =
  (code: (ctx: Context) => unknown): Body =>
  async (execution) =>
    await code(new Context(execution));

function completed(end: End): unknown {
  expect(end.how, JSON.stringify(end)).toBe("completed");
  return end.how === "completed" ? end.value : undefined;
}

function blocked(end: End) {
  expect(end.how, JSON.stringify(end)).toBe("blocked");
  if (end.how !== "blocked") throw new Error("not blocked");
  return end.blocked;
}

function detail(world: World, key: string): StepDetail {
  const found = world.journal.find(({ record }) => record.kind === "step" && record.key === key);
  return (found?.record.detail ?? {}) as StepDetail;
}

/** A charge that must not happen twice, and how often it did. */
function charging(verdict: Verdict<number> | "raise") {
  const acted = { count: 0 };
  const code = body((ctx) =>
    ctx.step(
      "charge",
      () => {
        acted.count += 1;
        return acted.count;
      },
      {
        effect: "once",
        input: ["eur", 5],
        verify: () => {
          if (verdict === "raise") throw new Error("the bank does not answer");
          return verdict;
        },
      },
    ),
  );
  return { code, acted };
}

/** Runs until the effect has happened, then the process dies before its record. */
async function dieInDoubt(code: Body): Promise<World> {
  const world = new World(5);
  world.killAt = 2;
  expect((await world.drive(code)).how).toBe("killed");
  world.journal.length = 1;
  expect(world.keys("intent")).toEqual(["charge"]);
  world.killAt = Number.POSITIVE_INFINITY;
  return world;
}

describe("once steps in doubt", () => {
  test("are settled by asking the world", async () => {
    const { code, acted } = charging(done(77));
    const world = await dieInDoubt(code);
    expect(completed(await world.drive(code))).toBe(77);
    expect(acted.count, "it acted again").toBe(1);
    expect(detail(world, "charge").settled_by).toBe("verify");
  });

  test("run again if they were not done, and why is journaled first", async () => {
    const { code } = charging(notDone);
    const world = await dieInDoubt(code);
    expect(completed(await world.drive(code))).toBe(2);
    expect(world.keys("attempt")).toEqual(["charge"]);
  });

  test.each([
    ["a process that may live", { previous: { dead: false, lease_end_ms: 1_010_000 } }, 1_610_000],
    ["one that is gone", { previous: { dead: true, lease_end_ms: 1_010_000 } }, 1_000_000],
    [
      "an earlier assignment that may live",
      { lost: [{ assignment: 1, lease_end_ms: 1_020_000 }] },
      1_620_000,
    ],
    [
      "one before the intent, which cannot have begun it",
      { lost: [{ assignment: 0, lease_end_ms: 1_020_000 }] },
      1_000_000,
    ],
  ])("outwait %s", async (_who, given, least) => {
    const { code } = charging(done(1));
    const world = await dieInDoubt(code);
    world.given = given;
    completed(await world.drive(code));
    const at = world.journal.at(-1)?.at ?? 0;
    expect(at).toBeGreaterThanOrEqual(least);
    expect(at).toBeLessThan(least + 1000);
  });

  test.each([
    [true, 9, 9, 1],
    [false, undefined, 2, 2],
  ])("are settled by a person who says %s", async (approved, value, expected, acts) => {
    for (const verdict of [unknown, "raise"] as const) {
      const { code, acted } = charging(verdict);
      const world = await dieInDoubt(code);
      expect((await world.drive(code)).how).toBe("parked");
      expect(world.keys("open")).toEqual(["charge/settle"]);
      expect(world.seen).toContain("park");
      world.answer = () => answer(approved, value);
      expect(completed(await world.drive(code))).toBe(expected);
      expect(acted.count).toBe(acts);
      expect(completed(await world.drive(code)), "the same from the journal").toBe(expected);
    }
  });

  test("are settled by an operator's verb, which is followed once", async () => {
    const { code, acted } = charging(unknown);
    const world = await dieInDoubt(code);
    world.given = { settled: [{ key: "charge", done: { v: 5 }, by: "ada" }] };
    expect(completed(await world.drive(code))).toBe(5);
    const again = await dieInDoubt(code);
    again.given = { settled: [{ key: "charge", by: "ada" }] };
    const before = acted.count;
    expect(completed(await again.drive(code))).toBe(before + 1);
    again.journal.pop();
    expect((await again.drive(code)).how).toBe("parked");
    expect(acted.count).toBe(before + 1);
  });

  test("an error is a doubt, and never tried again by itself", async () => {
    let acted = 0;
    const code = body((ctx) =>
      ctx.step(
        "charge",
        () => {
          acted += 1;
          throw new RetryableError("timed out on the wire");
        },
        { effect: "once" },
      ),
    );
    const world = new World();
    expect((await world.drive(code)).how).toBe("parked");
    expect(acted).toBe(1);
    expect(world.keys("open")).toEqual(["charge/settle"]);
  });

  test("an error that says not done is tried again, and then raised", async () => {
    const code = body(async (ctx) => {
      const run = () => {
        throw new NotDone("refused before the wire");
      };
      const charged = ctx.step("charge", run, { effect: "once", retry: { attempts: 3 } });
      return charged.catch((error: Error) => error.message);
    });
    const world = new World();
    expect(completed(await world.drive(code))).toBe("refused before the wire");
    expect(world.keys("attempt")).toEqual(["charge", "charge"]);
    expect(world.begun.get("charge")).toBe(3);
  });
});

describe("retries", () => {
  test("are journaled first and last", async () => {
    const code = body((ctx) =>
      ctx.step(
        "s",
        (step) => {
          if (step.attempt < 60) throw new Error("no");
          return 1;
        },
        { retry: { attempts: 100, initialMs: 1, maxMs: 5 } },
      ),
    );
    const world = new World();
    expect(completed(await world.drive(code))).toBe(1);
    expect(world.keys("attempt").length).toBe(20);
    const last = detail(world, "s").last_attempts ?? [];
    expect(last.length).toBe(20);
    expect(last.at(-1)?.attempt).toBe(59);
  });

  test("park while they wait long, and go on elsewhere", async () => {
    const code = body((ctx) =>
      ctx.step("s", (step) => {
        if (step.attempt === 1) throw new RetryableError("busy", { retryAfterMs: 600_000 });
        return step.attempt;
      }),
    );
    const world = new World();
    const begun = world.now;
    expect(completed(await world.drive(code))).toBe(2);
    expect(world.now).toBeGreaterThanOrEqual(begun + 600_000);
    expect(world.seen).toContain("park");
    const [attempt] = world.journal;
    const { next_ms } = (attempt?.record.detail ?? {}) as Partial<AttemptDetail>;
    expect(next_ms).toBeGreaterThanOrEqual(begun + 600_000);
    world.journal.length = 1;
    expect(completed(await world.drive(code))).toBe(2);
  });

  test("used up, the error is thrown with its code, cause and step", async () => {
    const code = body(async (ctx) => {
      const run = () => {
        throw new RetryableError("outer", { code: "busy", cause: new Error("inner") });
      };
      try {
        await ctx.step("s", run, { retry: { attempts: 2, initialMs: 1 } });
      } catch (error) {
        const { cause, code, message, step } = error as StepFailed;
        return [error instanceof StepFailed, code, message, step, (cause as Error).message];
      }
      return undefined;
    });
    const world = new World();
    expect(completed(await world.drive(code))).toEqual([true, "busy", "outer", "s", "inner"]);
    expect(completed(await world.drive(code))).toEqual([true, "busy", "outer", "s", "inner"]);
  });

  test("an uncaught error names its step; a terminal one says so", async () => {
    const plain = body((ctx) =>
      ctx.step("s", () => {
        throw new NonRetryableError("no");
      }),
    );
    const end = await new World().drive(plain);
    expect(end).toMatchObject({ how: "failed", step: "s", error: { message: "no" } });
    const terminal = await new World().drive(
      body(() => {
        throw new TerminalError("never", { code: "declined", details: { id: 5n } });
      }),
    );
    expect(terminal).toMatchObject({ how: "failed", error: { code: "declined", terminal: true } });
  });

  test("what cannot be recorded is refused, naming its place", async () => {
    const code = body((ctx) => ctx.step("s", () => ({ at: { f: () => 1 } })));
    const end = await new World().drive(code);
    expect(end).toMatchObject({
      how: "failed",
      step: "s",
      error: { code: "value", terminal: true },
    });
    expect(JSON.stringify(end)).toContain("at.f");
  });
});

const aThenB = body(async (ctx) => {
  const a = await ctx.step("a", () => "a");
  const b = await ctx.step("b", () => "b");
  await ctx.sleep("100s");
  const c = await ctx.step("c", () => "c");
  return `${a}${b}${c} ${ctx.now()}`;
});

/** A run of build `b1` that has recorded `a`, `b` and the timer. */
async function recordedRun(): Promise<World> {
  const world = new World(3);
  world.killAt = 3;
  expect((await world.drive(aThenB)).how).toBe("killed");
  world.killAt = Number.POSITIVE_INFINITY;
  return world;
}

const inserting = body(async (ctx) => {
  const x = await ctx.step("x", () => "x");
  const now = ctx.now();
  const a = await ctx.step("a", () => "!");
  const b = await ctx.step("b", () => "!");
  return `${x}${a}${b} ${now} ${ctx.now()}`;
});

describe("changed code", () => {
  test("the same build must ask for the same", async () => {
    const world = await recordedRun();
    const { code, difference } = blocked(await world.drive(inserting));
    expect(code).toBe("nondeterminism");
    expect(difference?.recorded.length).toBe(3);
    expect(difference?.asked).toEqual(["step `x`"]);
    expect(world.begun.has("x"), "it ran before the difference was seen").toBe(false);
  });

  test("another build may insert a repeatable step, which does not move time", async () => {
    const world = await recordedRun();
    world.build = "b2";
    world.now += 5_000;
    const times = world.journal.map((record) => record.at);
    const end = await world.drive(inserting);
    // The timer of the old build is left over: repeatable, so it is a warning.
    expect(completed(end)).toBe(`xab 1000000 ${times[1]}`);
    expect(detail(world, "x").inserted).toBe(true);
    expect(world.keys("marker")).toEqual(["sleep"]);
    expect(world.warnings.length).toBe(1);
    expect(await world.drive(inserting)).toEqual(end);
  });

  test.each([
    ["a once step", (ctx: Context) => ctx.step("x", () => "x", { effect: "once" })],
    ["a child", (ctx: Context) => ctx.call("x", 1)],
  ])("another build may not insert %s unless told", async (_what, insert) => {
    const grave = body(async (ctx) => {
      await insert(ctx);
      return ctx.step("a", () => "!");
    });
    const world = await recordedRun();
    world.build = "b2";
    expect(blocked(await world.drive(grave))).toMatchObject({ code: "nondeterminism", step: "x" });
    expect(world.keys("intent")).toEqual([]);
    world.given = { accepted: ["x"] };
    completed(await world.drive(grave));
  });

  test("a rename, a removal and a patch are declared", async () => {
    const renamed = body(async (ctx) => {
      const first = await ctx.step("first", () => "!", { was: "a" });
      ctx.removed("b");
      ctx.removed("sleep");
      const patched = ctx.patched("p");
      const c = await ctx.step("c", () => "c");
      return `${first}${c} ${patched} ${ctx.patched("p")}`;
    });
    const world = await recordedRun();
    world.build = "b2";
    const end = await world.drive(renamed);
    expect(completed(end)).toBe("ac true true");
    expect(await world.drive(renamed)).toEqual(end);
    expect(detail(world, "c").inserted).toBeUndefined();
  });

  test("a patch is false before the frontier and stays so", async () => {
    const steps = (say: (ctx: Context) => boolean) =>
      body(async (ctx) => {
        const said: boolean[] = [];
        for (let i = 0; i < 4; i++) {
          said.push(say(ctx));
          await ctx.step("s", () => i);
        }
        return said;
      });
    const world = new World();
    world.killAt = 2;
    await world.drive(steps(() => false));
    world.killAt = Number.POSITIVE_INFINITY;
    world.build = "b2";
    const patched = steps((ctx) => ctx.patched("p"));
    const end = await world.drive(patched);
    expect(completed(end)).toEqual([false, false, true, true]);
    expect(await world.drive(patched)).toEqual(end);
  });

  test("a forgotten once step blocks", async () => {
    const world = new World();
    completed(await world.drive(charging(done(1)).code));
    world.build = "b2";
    const other = body(() => "done");
    expect(blocked(await world.drive(other))).toMatchObject({
      code: "orphaned_step",
      step: "charge",
    });
    world.given = { accepted: ["charge"] };
    expect(completed(await world.drive(other))).toBe("done");
  });

  test("other arguments block, unless accepted", async () => {
    const charge = (amount: number, onMismatch?: "accept" | "warn") =>
      body((ctx) =>
        ctx.step("charge", () => amount, {
          effect: "once",
          input: amount,
          ...(onMismatch ? { onMismatch } : {}),
        }),
      );
    const world = new World();
    expect(completed(await world.drive(charge(5)))).toBe(5);
    expect(completed(await world.drive(charge(5)))).toBe(5);
    expect(blocked(await world.drive(charge(6))).code).toBe("fingerprint_mismatch");
    expect(completed(await world.drive(charge(6, "accept")))).toBe(5);
    expect(completed(await world.drive(charge(6, "warn")))).toBe(5);
    expect(world.warnings.length).toBe(1);
    world.given = { accepted: ["charge"] };
    expect(completed(await world.drive(charge(6)))).toBe(5);
  });

  test("a step that became another thing blocks", async () => {
    const world = await recordedRun();
    const other = body(async (ctx) => {
      await ctx.sleep("1s", { name: "a" });
    });
    expect(blocked(await world.drive(other))).toMatchObject({ code: "nondeterminism", step: "a" });
  });
});

describe("misuse is said, with the way out", () => {
  const cases: Array<[string, (ctx: Context) => unknown, string]> = [
    [
      "Promise.race over steps",
      (ctx) => Promise.race([ctx.step("s", () => 1), ctx.step("t", () => 2)]),
      "ctx.race",
    ],
    [
      "Promise.any over steps",
      (ctx) => Promise.any([ctx.step("s", () => 1), ctx.sleep("1h")]),
      "ctx.race",
    ],
    [
      "a race hidden in functions of their own",
      (ctx) => {
        const own = async (name: string) => await ctx.sleep(name === "a" ? 1 : 1000, { name });
        return Promise.race([own("a"), own("b")]);
      },
      "ctx.race",
    ],
    ["a foreign promise", () => new Promise(() => {}), "ctx.step"],
    [
      "a foreign promise beside a step",
      async (ctx) => {
        await Promise.all([
          ctx.sleep("1h"),
          new Promise((resolve) => setTimeout(resolve, 1)),
        ]).catch(() => {});
        const late = new Promise((resolve) => setImmediate(resolve));
        await Promise.all([late.then(() => ctx.step("late", () => 1)), ctx.sleep("2h")]);
      },
      "ctx.step",
    ],
    [
      "a step that is not awaited",
      (ctx) => {
        ctx.step("forgotten", () => 1);
        return "done";
      },
      "await it",
    ],
    [
      "a branch that goes on after its end",
      async (ctx) => {
        let kept: Context | undefined;
        await ctx.branch("b", (own) => {
          kept = own;
        });
        await kept?.step("s", () => 1);
      },
      "context that the branch",
    ],
  ];
  test.each(cases)("%s", async (_name, code, hint) => {
    const world = new World();
    const end = await world.drive(body(code));
    const said = blocked(end);
    expect(said.code).toBe("misuse");
    expect(said.hint).toContain(hint);
  });

  test("two of one name at once are refused before they run", async () => {
    const code = body((ctx) => Promise.all([ctx.step("s", () => 1), ctx.step("s", () => 2)]));
    const world = new World();
    expect(blocked(await world.drive(code)).code).toBe("ambiguous_step_key");
    expect(world.begun.size).toBe(0);
  });

  test("a native promise is no branch", async () => {
    const code = body((ctx) => ctx.all([Promise.resolve(1) as never]));
    const end = await new World().drive(code);
    expect(end).toMatchObject({ how: "failed", error: { code: "misuse" } });
  });
});

describe("cancellation", () => {
  test("is raised at its place, and cleanup runs", async () => {
    let told: unknown[] = [];
    const code = body(async (ctx) => {
      try {
        await ctx.sleep("1h");
      } catch (error) {
        told.push(error instanceof Cancelled, ctx.signal.aborted);
        await ctx.step("more", () => 1).catch((e) => told.push(e instanceof Cancelled));
        told.push(await ctx.cleanup((own) => own.step("undo", () => "undone")));
        throw error;
      }
    });
    const world = new World();
    world.killAt = 1;
    await world.drive(code);
    world.cancel();
    world.killAt = Number.POSITIVE_INFINITY;
    for (let life = 0; life < 2; life++) {
      told = [];
      expect(await world.drive(code)).toMatchObject({
        how: "failed",
        error: { code: "cancelled" },
      });
      expect(told).toEqual([true, true, true, "undone"]);
    }
    expect(world.keys("step")).toEqual(["cleanup/undo"]);
    expect(world.begun.get("cleanup/undo")).toBe(1);
  });

  test("gives cleanup a limit", async () => {
    const code = body(async (ctx) => {
      await ctx.sleep("1h").catch(() => {});
      await ctx.cleanup((own) => own.sleep("2h"));
    });
    const world = new World();
    world.killAt = 1;
    await world.drive(code);
    world.cancel();
    world.killAt = Number.POSITIVE_INFINITY;
    const before = world.now;
    expect(await world.drive(code)).toMatchObject({ how: "failed", error: { code: "cancelled" } });
    expect(world.now).toBeGreaterThanOrEqual(before + 30_000);
    expect(world.now).toBeLessThan(before + 40_000);
  });
});

describe("branches", () => {
  test("have keys of their own, and their values their places", async () => {
    const code = body(async (ctx) => {
      const [one, two] = await ctx.all([ctx.step("s", () => 1), (own) => own.step("s", () => 2)]);
      const named = await ctx.all({ a: ctx.step("s", () => 3), b: ctx.sleep("1s") });
      const mapped = await ctx.map("each", ["x", "y"], (own, item) => own.step("s", () => item), {
        key: (item) => item,
        concurrency: 1,
      });
      const branch = await ctx.branch("own", (own) => own.step("s", () => 4));
      return [one, two, named, mapped, branch];
    });
    const world = new World();
    const end = await world.drive(code);
    expect(completed(end)).toEqual([1, 2, { a: 3 }, ["x", "y"], 4]);
    expect(world.keys("step").sort()).toEqual(
      ["all/0/s", "all/1/s", "all#2/a/s", "each/x/s", "each/y/s", "own/s"].sort(),
    );
    expect(await world.drive(code)).toEqual(end);
  });

  test("the first error of the list is thrown, once all have ended", async () => {
    const ended: string[] = [];
    const fail = (name: string) => () => {
      ended.push(name);
      throw new NonRetryableError(name);
    };
    const code = body((ctx) => ctx.all([ctx.step("a", fail("a")), ctx.step("b", fail("b"))]));
    expect(await new World().drive(code)).toMatchObject({ how: "failed", error: { message: "a" } });
    expect(ended.sort()).toEqual(["a", "b"]);
  });

  test("a race gives up its losers, and the replay repeats it", async () => {
    const code = body(async (ctx) => {
      const won = await ctx.race({ slow: ctx.call("slow"), fast: ctx.sleep(1) });
      return won.winner;
    });
    const world = new World();
    world.maxDelay = 1_000_000;
    const end = await world.drive(code);
    expect(completed(end)).toBe("fast");
    expect(world.keys("lost")).toEqual(["race/slow/slow"]);
    expect(await world.drive(code)).toEqual(end);
    expect(world.keys("lost").length).toBe(1);
  });

  test("Promise.all over steps is replayed as it was", async () => {
    const code = body((ctx) =>
      Promise.all(
        ["a", "b", "c"].map(async (name) => (await ctx.step(name, () => name)) + ctx.now()),
      ),
    );
    const world = new World(9);
    const end = await world.drive(code);
    completed(end);
    expect(await world.drive(code)).toEqual(end);
  });
});

describe("children and waits", () => {
  test("a handle goes on beside other steps; a detached start is not awaited", async () => {
    const code = body(async (ctx) => {
      const child = await ctx.spawn("other", 1);
      const step = await ctx.step("s", () => 1);
      const id = await ctx.start("third", 2);
      return [child.runId, step, await child.output, id];
    });
    const world = new World();
    const end = await world.drive(code);
    const ids = [derivedId("run", world.run, "other"), derivedId("run", world.run, "third")];
    expect(completed(end)).toEqual([ids[0], 1, "child other", ids[1]]);
    expect(await world.drive(code)).toEqual(end);
  });

  test("an event times out as an error that says so", async () => {
    const code = body((ctx) =>
      ctx
        .waitForSignal("go", { timeout: "5s" })
        .catch((error) => error instanceof StepFailed && error.isTimeout),
    );
    expect(completed(await new World().drive(code))).toBe(true);
  });

  test("a person's answer is given whole; without a form a no is no error", async () => {
    const code = body((ctx) => ctx.ask("Ship it?", { timeout: "1d", subject: { id: 5n } }));
    const world = new World();
    expect((await world.drive(code)).how).toBe("parked");
    world.answer = () => answer(false);
    expect(completed(await world.drive(code))).toMatchObject({ approved: false, by: "ada" });
  });

  test("an event that is too large is refused before it is published", async () => {
    const code = body(async (ctx) => {
      const refused = await (async () => ctx.publish("t", "x".repeat(2 << 20)))().catch(
        (error: TerminalError) => error.code,
      );
      await ctx.publish("t", "small");
      return refused;
    });
    const world = new World();
    expect(completed(await world.drive(code))).toBe("value_too_large");
    expect(world.keys("emit")).toEqual(["t"]);
  });

  test("a child's large input is stored first, and referred to", async () => {
    const code = body((ctx) => ctx.call("c", "x".repeat(2 << 20)));
    const world = new World();
    const end = await world.drive(code);
    expect(completed(end)).toBe("child c");
    expect(world.seen).toContain("store");
    expect(world.journal[0]?.record.detail).toMatchObject({
      child: { input: { ref: { size: (2 << 20) + 2 } } },
    });
    expect(await world.drive(code)).toEqual(end);
  });

  test("undefined and falsy results come back as they were", async () => {
    const code = body(async (ctx) => {
      const values = [undefined, null, 0, "", false];
      const same: boolean[] = [];
      for (const value of values) same.push((await ctx.step("s", () => value)) === value);
      return same;
    });
    const world = new World();
    expect(completed(await world.drive(code))).toEqual([true, true, true, true, true]);
    expect(completed(await world.drive(code))).toEqual([true, true, true, true, true]);
  });

  test("time and chance are the run's own", async () => {
    const code = body(async (ctx) => {
      const said = [ctx.now(), ctx.uuid(), ctx.random()];
      await ctx.step("s", () => 1);
      const inner = await ctx.branch("b", (own) => [own.uuid(), own.random()]);
      return [...said, ctx.now(), ctx.uuid(), ...inner];
    });
    const world = new World();
    const end = await world.drive(code);
    world.now += 99_999;
    expect(await world.drive(code)).toEqual(end);
    const said = completed(end) as unknown[];
    expect(new Set(said).size).toBe(said.length - (said[0] === said[3] ? 1 : 0));
  });
});
