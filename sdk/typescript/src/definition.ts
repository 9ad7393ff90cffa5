/** What workflows, agents and tools have in common: a name, schemas, and where their runs go. */

import type { Body } from "./context/execution.js";
import type { Definition as WireDefinition } from "./protocol/frames.js";

/** A workflow, agent or tool: what a worker registers and a run is a run of. */
export interface Definition<Input = never, Output = unknown> {
  /** Its name, unique in the namespace. */
  readonly id: string;
  /** Only for inference: no such field exists. */
  readonly "~types"?: { input: (input: Input) => void; output: Output };
  /** What the server is told of it. */
  readonly registered: WireDefinition;
  /** What must be served with it: an agent's tools. */
  readonly parts?: readonly Definition[];
  /** Its code. @internal */
  readonly body: Body;
  /** Its code as text: a change of it is another build. @internal */
  readonly source: string;
}

/** The definitions and all that must be served with them, each once. */
export function withParts(definitions: readonly Definition[]): Definition[] {
  const all = new Set<Definition>();
  for (const definition of definitions) {
    all.add(definition);
    for (const part of definition.parts ?? []) all.add(part);
  }
  return [...all];
}

/** All definitions that this program has made, the latest of each name. */
const made = new Map<string, Definition>();

/** Notes a definition: what a program makes, it can serve where nobody else does. */
export function noteMade(definition: Definition): void {
  made.set(definition.id, definition);
}

/** What this program can serve; of two of one name, `first`. */
export function allMade(first: Definition): Definition[] {
  const others = [...made.values()].filter(({ id }) => id !== first.id);
  const all = withParts([first, ...others]);
  const byName = new Map(all.reverse().map((definition) => [definition.id, definition]));
  return [...byName.values()];
}
