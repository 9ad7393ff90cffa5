/**
 * Schemas of any library that keeps to Standard Schema (zod, valibot, arktype and others): values
 * are checked by the library itself, and it says what JSON Schema its schema amounts to.
 */

import { InvalidValue, Misuse } from "./errors.js";

/** A schema, by the part of Standard Schema (https://standardschema.dev) that is used here. */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Checked<Output> | PromiseLike<Checked<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
    readonly jsonSchema?: JsonSchemaWriter | undefined;
  };
}

type Checked<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<Issue> };

interface Issue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

interface JsonSchemaWriter {
  readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
  readonly output: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
}

/** What a schema takes. */
export type InputOf<S> = S extends Schema<infer I, unknown> ? I : never;
/** What a schema gives. */
export type OutputOf<S> = S extends Schema<unknown, infer O> ? O : never;

/** The value as the schema gives it. `what` names it in the error. */
export function check<O>(schema: Schema<unknown, O>, value: unknown, what: string): O {
  const checked = schema["~standard"].validate(value);
  if (isPromise(checked)) {
    const hint = "what replay repeats must not wait for anything: check that in a step";
    throw new Misuse(`the schema of ${what} checks asynchronously`, hint);
  }
  if (checked.issues) throw new InvalidValue(what, checked.issues.map(describe));
  return checked.value;
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T>).then === "function";
}

function describe(issue: Issue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === "object" ? part.key : part));
  return path.length === 0 ? issue.message : `${path.join(".")}: ${issue.message}`;
}

/** The JSON Schema of what a schema takes or gives, if its library says it. */
export function jsonSchemaOf(
  schema: Schema,
  side: "input" | "output",
): Record<string, unknown> | undefined {
  try {
    return schema["~standard"].jsonSchema?.[side]({ target: "draft-2020-12" });
  } catch {
    // The library cannot express this one; whoever needs it says so.
    return undefined;
  }
}
