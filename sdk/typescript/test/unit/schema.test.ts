import { type } from "arktype";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import manifest from "../../package.json" with { type: "json" };
import { defineAgent } from "../../src/agent.js";
import { toMs } from "../../src/duration.js";
import { sandboxTools } from "../../src/sandbox.js";
import { check, jsonSchemaOf } from "../../src/schema.js";
import { defineTool } from "../../src/tool.js";
import { VERSION } from "../../src/version.js";

describe("schemas of any library", () => {
  test.each([
    ["zod", z.object({ n: z.number().min(1), deep: z.object({ a: z.string() }) })],
    [
      "valibot",
      v.object({ n: v.pipe(v.number(), v.minValue(1)), deep: v.object({ a: v.string() }) }),
    ],
    ["arktype", type({ n: "number >= 1", deep: { a: "string" } })],
  ])("%s checks, and names what does not fit", (_library, schema) => {
    expect(check(schema, { n: 1, deep: { a: "x" } }, "it")).toEqual({ n: 1, deep: { a: "x" } });
    expect(() => check(schema, { n: 0, deep: { a: 5 } }, "the input")).toThrow(
      /the input does not fit: (?=.*\bn: )(?=.*deep\.a: )/s,
    );
  });

  test("one that checks asynchronously is refused", () => {
    const schema = z.string().refine(async () => true);
    expect(() => check(schema, "x", "it")).toThrow(/asynchronously/);
  });

  test("their JSON Schema is what the model is told", () => {
    const properties = { city: { type: "string" } };
    expect(jsonSchemaOf(z.object({ city: z.string() }), "input")).toMatchObject({ properties });
    expect(jsonSchemaOf(type({ city: "string" }), "input")).toMatchObject({ properties });
    expect(jsonSchemaOf(v.object({ city: v.string() }), "input")).toBeUndefined();
    const silent = { id: "w", description: "w", input: v.object({ city: v.string() }) };
    expect(() => defineTool(silent, () => 1)).toThrow(/does not say its JSON Schema/);
    const parameters = { type: "object", properties };
    expect(defineTool({ id: "w", description: "w", parameters }, () => 1).parameters).toBe(
      parameters,
    );
  });
});

test("the coding agent is what its file would say", () => {
  const coding = (env: "docker" | "local") =>
    defineAgent({
      id: "coding_agent",
      provider: "anthropic",
      model: "claude-sonnet-4-5",
      systemPrompt: "You are a coding assistant. The repo is at /workspace.",
      tools: sandboxTools({
        env,
        docker: { image: "node:20-slim", workspaceDir: "./workspace", memory: "2g" },
      }),
    });
  expect(() => coding("docker")).toThrow(
    /Docker environment is not in this version\nhint: .*local/,
  );
  expect(coding("local").registered).toEqual({
    name: "coding_agent",
    kind: "agent",
    info: { provider: "anthropic", model: "claude-sonnet-4-5", tools: ["sandbox"] },
  });
});

test("durations are milliseconds, or say their unit", () => {
  expect([toMs(5), toMs("250ms"), toMs("1.5s"), toMs("24h"), toMs("2w")]).toEqual([
    5, 250, 1500, 86_400_000, 1_209_600_000,
  ]);
  for (const wrong of ["5", "h", "-1s", "1 s"]) {
    expect(() => toMs(wrong as "1s")).toThrow(/is no duration/);
  }
  expect(() => toMs(Number.NaN)).toThrow(/is no duration/);
});

test("the version is the package's", () => {
  expect(VERSION).toBe(manifest.version);
});
