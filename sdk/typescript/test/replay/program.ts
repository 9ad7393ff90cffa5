/** Random programs of steps, branches and races, and an interpreter that notes what it is told. */

import type { Context } from "../../src/context/context.js";
import { Context as Ctx } from "../../src/context/context.js";
import type { Body } from "../../src/context/execution.js";
import { NotDone } from "../../src/errors.js";
import { done, notDone } from "../../src/step.js";
import type { Chance } from "./world.js";

export type Node =
  | { do: "step" | "flaky" | "once" | "sleep" | "call" | "publish" | "spawn" | "map"; n: number }
  | { do: "sequence" | "all" | "race" | "promise_all"; nodes: Node[] };

const LEAVES = ["step", "step", "flaky", "once", "sleep", "call", "publish"] as const;
const GROUPS = ["sequence", "sequence", "all", "promise_all", "map", "spawn", "race"] as const;

/** A random program; without races it does the same whatever comes first. */
export function random(chance: Chance, depth: number, races: boolean): Node {
  const kinds = depth === 0 ? LEAVES.length : LEAVES.length + GROUPS.length - (races ? 0 : 1);
  const kind = chance.below(kinds);
  const leaf = LEAVES[kind];
  if (leaf) return { do: leaf, n: chance.below(3) };
  const group = GROUPS[kind - LEAVES.length] ?? "sequence";
  if (group === "map" || group === "spawn") return { do: group, n: 1 + chance.below(3) };
  const count = 1 + chance.below(3);
  const nodes = Array.from({ length: count }, () => random(chance, depth - 1, races));
  return { do: group, nodes };
}

/** The code of a program; `trace` takes a line for everything that the code is told. */
export function codeOf(program: Node, trace: string[]): Body {
  return async (execution) => await go(new Ctx(execution), program, trace, "");
}

async function go(ctx: Context, node: Node, trace: string[], place: string): Promise<string> {
  const said = await run(ctx, node, trace, place);
  trace.push(`${place} ${node.do}: ${said} at ${ctx.now()} ${ctx.uuid()}`);
  return said;
}

async function run(ctx: Context, node: Node, trace: string[], place: string): Promise<string> {
  switch (node.do) {
    case "step":
      return ctx.step(`s${node.n}`, () => `step ${node.n}`);
    case "flaky":
      return ctx
        .step(
          `f${node.n}`,
          (step) => {
            if (step.attempt <= node.n) throw new Error(`not yet ${step.attempt}`);
            return `flaky ${step.attempt}`;
          },
          { retry: { attempts: 2, initialMs: 5, maxMs: 5, jitter: 0 } },
        )
        .catch((error: Error) => `gave up: ${error.message}`);
    case "once":
      return ctx
        .step(
          `o${node.n}`,
          (step) => {
            if (node.n === 2 || step.attempt <= node.n) throw new NotDone("not begun");
            return "once";
          },
          {
            effect: "once",
            input: node.n,
            // The world knows it: with this `n` it never happens.
            verify: () => (node.n < 2 ? done("once") : notDone),
            retry: { attempts: 2, initialMs: 5 },
          },
        )
        .catch((error: Error) => `gave up: ${error.message}`);
    case "sleep":
      await ctx.sleep(1 + node.n * 20);
      return "slept";
    case "call":
      return ctx.call<string>(`c${node.n}`, node.n);
    case "publish":
      await ctx.publish(`t${node.n}`, node.n);
      return "published";
    case "spawn": {
      const child = await ctx.spawn<string>(`p${node.n}`, node.n);
      const step = await go(ctx, { do: "step", n: 9 }, trace, `${place}.s`);
      return `${child.runId} ${step} ${await child.output}`;
    }
    case "map": {
      const items = Array.from({ length: node.n }, (_, i) => i);
      const each = (own: Context, n: number) => go(own, { do: "step", n }, trace, `${place}.m${n}`);
      return (await ctx.map("map", items, each, { concurrency: 2 })).join("|");
    }
    default:
      return group(ctx, node, trace, place);
  }
}

async function group(
  ctx: Context,
  node: Node & { nodes: Node[] },
  trace: string[],
  place: string,
): Promise<string> {
  const branches = node.nodes.map(
    (inner, i) => (own: Context) => go(own, inner, trace, `${place}.${i}`),
  );
  switch (node.do) {
    case "sequence": {
      const said: string[] = [];
      for (const branch of branches) said.push(await branch(ctx));
      return said.join(",");
    }
    case "all":
      return (await ctx.all(branches)).join("+");
    case "promise_all": {
      // The language's own `all`, over branches with scopes of their own.
      const named = branches.map((branch, i) => ctx.branch(`p${i}`, branch));
      return (await Promise.all(named)).join("&");
    }
    default: {
      const { winner, value } = await ctx.race(branches);
      return `${winner} won: ${value}`;
    }
  }
}
