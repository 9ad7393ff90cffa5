import { describe, expect, test } from "vitest";
import { Askers } from "../../src/worker/askers.js";

const piece = (isFirst: boolean, isLast: boolean) => ({ isFirst, isLast });

describe("values are named by hash: who asked when decides who has which piece", () => {
  test("who asks while a value is under way has its own answer", () => {
    const askers = new Askers();
    askers.fetch("h", "first");
    expect(askers.piece("h", piece(true, false))).toEqual(["first"]);
    askers.fetch("h", "second");
    expect(askers.piece("h", piece(false, true))).toEqual(["first"]);
    expect(askers.piece("h", piece(true, true))).toEqual(["second"]);
    expect(askers.piece("h", piece(true, true))).toEqual([]);
  });

  test("who asked before the first piece shares the answer", () => {
    const askers = new Askers();
    askers.fetch("h", "first");
    askers.fetch("h", "second");
    expect(askers.piece("h", piece(true, true))).toEqual(["first", "second"]);
  });

  test("a value that is kept leaves those who fetch it waiting", () => {
    const askers = new Askers();
    askers.fetch("h", "first");
    askers.store("h", "second");
    expect(askers.kept("h")).toEqual(["second"]);
    expect(askers.piece("h", piece(true, true))).toEqual(["first"]);
  });
});
