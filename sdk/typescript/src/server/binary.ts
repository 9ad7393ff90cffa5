/**
 * Where the `polos` program is: said by POLOS_BINARY, brought by a platform package, built in this
 * repository, or on the PATH. One of another version is refused, showing both.
 */

import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { NoServer } from "../errors.js";
import { VERSION } from "../version.js";

const PROGRAM = process.platform === "win32" ? "polos.exe" : "polos";

/** A program that was found, and where. */
export interface Binary {
  path: string;
  from: "POLOS_BINARY" | "package" | "repository" | "PATH";
}

/** The platform package that brings the program, such as `@polos/linux-x64`. */
export function platformPackage(
  platform: string = process.platform,
  arch: string = process.arch,
): string {
  return `@polos/${platform}-${arch}`;
}

/** Finds the program; says how to get it if there is none. */
export function findBinary(): Binary {
  const named = process.env.POLOS_BINARY;
  if (named) {
    if (!isFile(named)) {
      const hint = "point it at the `polos` program, or unset it";
      throw new NoServer(`POLOS_BINARY names \`${named}\`, which is no file`, hint);
    }
    return { path: named, from: "POLOS_BINARY" };
  }
  const found = ofPackage() ?? ofRepository() ?? ofPath();
  if (found) return found;
  throw new NoServer(
    "the `polos` program is not here",
    `install \`${platformPackage()}\` (an optional dependency of @polos/sdk that npm leaves out ` +
      "with --omit=optional), or put `polos` on the PATH, or name it in POLOS_BINARY",
  );
}

function ofPackage(): Binary | undefined {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve(`${platformPackage()}/package.json`);
    const path = join(dirname(manifest), "bin", PROGRAM);
    return isFile(path) ? { path, from: "package" } : undefined;
  } catch {
    return undefined;
  }
}

/** The newest build of the repository that this file stands in. */
function ofRepository(): Binary | undefined {
  const root = fileURLToPath(new URL("../../../..", import.meta.url));
  if (!existsSync(join(root, "crates", "polos", "Cargo.toml"))) return undefined;
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const triples = ["", ...RUST_TARGETS];
  const paths = triples.flatMap((triple) =>
    ["debug", "release"].map((profile) => join(target, triple, profile, PROGRAM)),
  );
  const [newest] = paths
    .filter(isFile)
    .map((path) => ({ path, at: statSync(path).mtimeMs }))
    .sort((a, b) => b.at - a.at);
  return newest ? { path: newest.path, from: "repository" } : undefined;
}

const RUST_ARCH = process.arch === "arm64" ? "aarch64" : "x86_64";
const RUST_TARGETS = [
  `${RUST_ARCH}-unknown-linux-gnu`,
  `${RUST_ARCH}-unknown-linux-musl`,
  `${RUST_ARCH}-apple-darwin`,
];

function ofPath(): Binary | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const path = folders.map((folder) => join(folder, PROGRAM)).find(isFile);
  return path ? { path, from: "PATH" } : undefined;
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Refuses a program whose version does not fit this package. */
export function checkBinary(binary: Binary, wanted: string = VERSION): void {
  const said = execFileSync(binary.path, ["--version"], { encoding: "utf8" }).trim();
  const found = /\d+\.\d+\.\d+\S*/.exec(said)?.[0] ?? said;
  if (release(found) === release(wanted)) return;
  throw new NoServer(
    `\`${binary.path}\` (${binary.from}) is polos ${found}, and this is @polos/sdk ${wanted}`,
    "install the two in one version",
  );
}

/** What must be the same: before 1.0 the minor version, then the major one. */
function release(version: string): string {
  const [major = "0", minor = "0"] = version.split(".");
  return major === "0" ? `${major}.${minor}` : major;
}
