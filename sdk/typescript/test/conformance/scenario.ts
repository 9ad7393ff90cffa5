/** A scenario as tests/conformance/README.md describes it. */

export interface Scenario {
  about: string;
  programs: { [build: string]: unknown[] };
  children?: { [workflow: string]: unknown[] };
  input?: unknown;
  key?: string;
  options?: { session?: true | string; [option: string]: unknown };
  faults?: Fault[];
  script?: Action[];
  expect: Expectation;
}

export interface Fault {
  at: { step: string; point: string; nth?: number };
  do: "kill_worker" | "kill_server" | "drop_connection" | "deploy";
  build?: string;
}

export type Action = { [word: string]: unknown };

export type JournalEntry =
  | [kind: string, key: string]
  | [kind: string, key: string, fields: { [name: string]: unknown }]
  | { any_order: JournalEntry[] };

export interface Expectation {
  state?: string;
  output?: unknown;
  error?: { [field: string]: unknown };
  blocked?: { [field: string]: unknown };
  journal?: JournalEntry[];
  effects?: { [key: string]: number };
  effects_max?: { [key: string]: number };
  children?: { [key: string]: { state: string; output?: unknown } };
  stream?: Array<{ key: string; attempt: number; kind: string; data: unknown }>;
  turns?: Array<{ [field: string]: unknown }>;
  frames?: string[];
}

const FIELDS = new Set([
  "about",
  "programs",
  "children",
  "input",
  "key",
  "options",
  "faults",
  "script",
  "expect",
]);

const EXPECTATIONS = new Set([
  "state",
  "output",
  "error",
  "blocked",
  "journal",
  "effects",
  "effects_max",
  "children",
  "stream",
  "turns",
  "frames",
]);

/** Fails on a word that this harness does not know: nothing is skipped in silence. */
export function checkWords(scenario: Scenario): void {
  const unknown = [
    ...Object.keys(scenario).filter((word) => !FIELDS.has(word)),
    ...Object.keys(scenario.expect).filter((word) => !EXPECTATIONS.has(word)),
  ];
  if (unknown.length > 0) throw new Error(`unknown words: ${unknown.join(", ")}`);
}
