/** Compares what came of a scenario with what must have come of it. */

import { expect } from "vitest";
import { writeJson } from "../../src/protocol/json.js";
import type { JournalRecord, RunDetail } from "../../src/protocol/rest.js";
import { idempotencyKey } from "../../src/replay/derive.js";
import type { Play } from "./play.js";
import type { Expectation, JournalEntry } from "./scenario.js";

/** Frames that say nothing about what the code did. */
const LEFT_OUT = new Set(["hello", "pong", "stream", "more", "fetch", "store", "busy", "drain"]);

export async function checkAll(play: Play, run: RunDetail, expected: Expectation): Promise<void> {
  const journal = await play.journal();
  if (expected.state !== undefined) {
    expect(run.state, JSON.stringify(run.error ?? run.blocked)).toBe(expected.state);
  }
  if ("output" in expected) expect(run.output ?? null).toEqual(expected.output);
  if (expected.error) expect(run.error).toMatchObject(expected.error);
  if (expected.blocked) expect(run.blocked).toMatchObject(expected.blocked);
  const told = journal.filter(({ record }) => record.kind !== "verb");
  if (expected.journal) checkJournal(told, expected.journal);
  checkEffects(play, expected);
  await checkChildren(play, journal, expected);
  if (expected.stream) await checkStream(play, expected.stream);
  if (expected.turns) await checkTurns(play, expected.turns);
  if (expected.frames) expect(framesOf(play)).toEqual(expected.frames);
  checkNothingTwice(play, journal, run);
}

function checkJournal(journal: JournalRecord[], expected: JournalEntry[]): void {
  const rest = [...journal];
  for (const entry of expected) {
    if (!("any_order" in entry)) {
      const record = rest.shift();
      expect(record && fits(record, entry), mismatch(journal, entry)).toBe(true);
      continue;
    }
    const these = rest.splice(0, entry.any_order.length);
    for (const one of entry.any_order) {
      const at = these.findIndex((record) => !("any_order" in one) && fits(record, one));
      expect(at, mismatch(journal, one)).not.toBe(-1);
      these.splice(at, 1);
    }
  }
  expect(rest.map(line), "more records than expected").toEqual([]);
}

function mismatch(journal: JournalRecord[], entry: JournalEntry): string {
  return `expected ${writeJson(entry)} in\n${journal.map(line).join("\n")}`;
}

const line = ({ seq, record }: JournalRecord): string => {
  const { kind, key, value, error, detail } = record;
  return `${seq} ${kind} ${key} ${writeJson({ value, error, detail }).slice(0, 300)}`;
};

type Plain = Exclude<JournalEntry, { any_order: JournalEntry[] }>;

function fits({ record }: JournalRecord, [kind, key, fields = {}]: Plain): boolean {
  if (record.kind !== kind || record.key !== key) return false;
  return Object.entries(fields).every(([name, wanted]) => {
    const found = fieldOf(record, name);
    return writeJson(sorted(found) ?? null) === writeJson(sorted(wanted) ?? null);
  });
}

function fieldOf(record: JournalRecord["record"], name: string): unknown {
  if (name === "value") return record.value?.v;
  if (name === "error") return record.error?.code;
  if (name === "attempt") return record.attempt ?? 1;
  return (record.detail as { [field: string]: unknown } | undefined)?.[name];
}

/** The same value with its fields in one order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sorted(field)]));
}

interface EffectLine {
  key: string;
  attempt: number;
  idempotency_key: string;
}

const effectsOf = (play: Play): EffectLine[] =>
  play.place.lines("effects").map((text) => JSON.parse(text) as EffectLine);

function checkEffects(play: Play, expected: Expectation): void {
  const counts: { [key: string]: number } = {};
  for (const { key } of effectsOf(play)) counts[key] = (counts[key] ?? 0) + 1;
  const { effects, effects_max } = expected;
  for (const [key, most] of Object.entries(effects_max ?? {})) {
    expect(counts[key] ?? 0, `effects of \`${key}\``).toBeLessThanOrEqual(most);
    delete counts[key];
  }
  if (effects) expect(counts).toEqual(withoutZeros(effects));
  else if (effects_max) expect(counts).toEqual({});
}

const withoutZeros = (counts: { [key: string]: number }) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

async function checkChildren(
  play: Play,
  journal: JournalRecord[],
  expected: Expectation,
): Promise<void> {
  for (const [key, wanted] of Object.entries(expected.children ?? {})) {
    const opened = journal.some(({ record }) => record.kind === "open" && record.key === key);
    expect(opened, `a child under \`${key}\``).toBe(true);
    const { items } = await play.client.runs({ root: play.runId });
    const details = await Promise.all(items.map(({ id }) => play.client.get(id)));
    const child = details.find((run) => run.parent_key === key);
    expect(child, `the child of \`${key}\``).toBeDefined();
    if (!child) continue;
    const result = await play.client.wait(child.id);
    expect(result.state).toBe(wanted.state);
    if ("output" in wanted) expect(result.output).toEqual(wanted.output);
  }
}

async function checkStream(
  play: Play,
  expected: NonNullable<Expectation["stream"]>,
): Promise<void> {
  const read = async (after?: string) => {
    const items = [];
    for await (const event of play.client.events(play.runId, after ? { after } : {})) {
      if (event.type !== "stream") continue;
      const { position, key, attempt, kind, data } = event;
      items.push({ position, item: { key, attempt, kind, data } });
    }
    return items;
  };
  const whole = await read();
  expect(whole.map(({ item }) => item)).toEqual(expected);
  for (const [i, { position }] of whole.entries()) {
    const rest = await read(position);
    expect(rest.map(({ item }) => item)).toEqual(expected.slice(i + 1));
  }
}

async function checkTurns(play: Play, expected: NonNullable<Expectation["turns"]>): Promise<void> {
  const { items } = await play.client.turns(play.session ?? "");
  expect(items.length).toBe(expected.length);
  for (const [i, wanted] of expected.entries()) expect(items[i]).toMatchObject(wanted);
}

/** The types of the frames that the worker sent for the run, runs of `record` counted as one. */
function framesOf(play: Play): string[] {
  const types: string[] = [];
  for (const { type, body } of play.wiretap.frames) {
    if (LEFT_OUT.has(type)) continue;
    const runs = (body.runs as Array<{ run: string }> | undefined) ?? [{ run: body.run as string }];
    if (!runs.some(({ run }) => run === play.runId)) continue;
    if (type !== "record" || types.at(-1) !== "record") types.push(type);
  }
  return types;
}

/** What holds for every scenario. */
function checkNothingTwice(play: Play, journal: JournalRecord[], run: RunDetail): void {
  const steps = journal.filter(({ record }) => record.kind === "step");
  const keys = steps.map(({ record }) => record.key);
  expect(new Set(keys).size, "a step has two records that stand").toBe(keys.length);
  const retried = journal.some(({ record }) => record.kind === "reset");
  for (const { key, idempotency_key } of effectsOf(play)) {
    if (retried) continue;
    const runs = [run.id];
    const derived = runs.map((id) => idempotencyKey(id, key, 0));
    const isOwn = steps.some(({ record }) => record.key === key);
    if (isOwn) expect(derived, `the idempotency key of \`${key}\``).toContain(idempotency_key);
  }
}
