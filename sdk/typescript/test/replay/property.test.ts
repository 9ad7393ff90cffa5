import fc from "fast-check";
import { expect, test } from "vitest";
import type { Kind } from "../../src/protocol/frames.js";
import { codeOf, type Node, random } from "./program.js";
import { Chance, type End, World } from "./world.js";

const SEEDS = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const KILLS = fc.array(fc.nat(5), { maxLength: 5 });

function programOf(seed: number, races: boolean): Node {
  const chance = new Chance(seed);
  const count = 1 + chance.below(3);
  return { do: "sequence", nodes: Array.from({ length: count }, () => random(chance, 3, races)) };
}

/** Runs a program under crashes until it ends: the world, and what the last life was told. */
async function live(
  program: Node,
  seed: number,
  kills: number[],
): Promise<{ world: World; told: string[]; end: End }> {
  const world = new World(seed);
  for (const kill of kills) {
    world.killAt = world.journal.length + 1 + kill;
    const told: string[] = [];
    const end = await world.drive(codeOf(program, told));
    world.killAt = Number.POSITIVE_INFINITY;
    if (end.how !== "killed") return { world, told, end };
  }
  const told: string[] = [];
  const end = await world.drive(codeOf(program, told));
  return { world, told, end };
}

const KINDS: Kind[] = ["step", "open", "resolved", "emit", "lost", "intent"];

function checkRecordedOnce(world: World): void {
  for (const kind of KINDS) {
    const keys = world.keys(kind);
    expect(new Set(keys).size, `${kind} recorded twice: ${keys}`).toBe(keys.length);
  }
}

test("what was told is told again, whenever the process dies, and nothing is done twice", async () => {
  await fc.assert(
    fc.asyncProperty(SEEDS, KILLS, async (seed, kills) => {
      const program = programOf(seed, true);
      const { world, told, end } = await live(program, seed, kills);
      expect(end.how, JSON.stringify({ end, program, shape: world.shape() })).toBe("completed");
      checkRecordedOnce(world);

      // The whole journal again: told the same, does nothing, ends the same.
      const length = world.journal.length;
      world.begun.clear();
      world.page = 3;
      const again: string[] = [];
      expect(await world.drive(codeOf(program, again))).toEqual(end);
      expect(again).toEqual(told);
      expect(world.shape().slice(length), "replay has recorded something").toEqual([]);
      expect([...world.begun.keys()], "replay has done something").toEqual([]);

      // Any prefix: what is told up to its end is what was told before.
      const { journal } = world;
      for (let cut = 0; cut < length; cut += 1 + Math.floor(length / 8)) {
        const other = new World(seed + 77);
        other.journal = journal.slice(0, cut);
        other.now = journal[cut - 1]?.at ?? other.now;
        other.assignment = 50;
        const toldAgain: string[] = [];
        const ended = await other.drive(codeOf(program, toldAgain));
        expect(ended.how, JSON.stringify({ ended, cut, program })).toBe("completed");
        checkRecordedOnce(other);
        const by = await toldBy(journal.slice(0, cut), program, seed);
        expect(toldAgain.slice(0, by.length), `after ${cut} records`).toEqual(
          told.slice(0, by.length),
        );
        expect(by).toEqual(told.slice(0, by.length));
      }
    }),
  );
});

/** What a prefix of the journal alone tells, with nothing live after it. */
async function toldBy(journal: World["journal"], program: Node, seed: number): Promise<string[]> {
  const world = new World(seed);
  world.journal = [...journal];
  world.assignment = 99;
  world.killAt = 0;
  world.now = journal.at(-1)?.at ?? world.now;
  const told: string[] = [];
  await world.drive(codeOf(program, told));
  return told;
}

test("a program killed at random leaves the journal of the undisturbed run", async () => {
  await fc.assert(
    fc.asyncProperty(SEEDS, KILLS, async (seed, kills) => {
      const program = programOf(seed, false);
      const undisturbed = await live(program, seed, []);
      const killed = await live(program, seed + 1, kills);
      expect(killed.end).toEqual(undisturbed.end);
      // What runs side by side is recorded in any order; attempts are left out, as times are.
      const shape = (world: World) =>
        world
          .shape()
          .filter((line) => !line.startsWith("attempt "))
          .sort();
      expect(shape(killed.world)).toEqual(shape(undisturbed.world));
    }),
  );
});

test("two runs of one seed are the same to the letter", async () => {
  for (let seed = 1; seed < 30; seed++) {
    const program = programOf(seed * 7919, true);
    const one = await live(program, seed, [2, 3]);
    const two = await live(program, seed, [2, 3]);
    expect(one.world.shape()).toEqual(two.world.shape());
    expect(one.told).toEqual(two.told);
  }
});
