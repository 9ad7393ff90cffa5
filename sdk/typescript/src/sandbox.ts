/**
 * The sandbox of an agent: where its six tools (exec, read, write, edit, glob, grep) work, and what
 * they may do without a person. The names are those of agent files; see docs/guides/agents.md.
 */

import { resolve } from "node:path";
import { Misuse } from "./errors.js";

/** How commands are let through. */
export interface ExecToolConfig {
  /** `allowlist`: what fits runs, all else asks. `ask`, `full` and `deny` say it for everything. */
  security?: "allowlist" | "ask" | "full" | "deny";
  /** Patterns such as `npm test` and `git diff *`. */
  allowlist?: readonly string[];
  /** Variables that the model may set without a question. */
  envAllowlist?: readonly string[];
  /** How long a command may take, in seconds. */
  timeout?: number;
}

/** How files are let through. */
export interface FileToolConfig {
  /** What asks a person, who sees the change. */
  approval?: "none" | "writes" | "always";
  /** Absolute paths outside the workspace. */
  readPaths?: readonly string[];
  writePaths?: readonly string[];
}

/** A child process under the kernel's isolation. Linux only. */
export interface LocalEnvironmentConfig {
  /** The folder that becomes `/workspace`; one of the box's own if absent. */
  workspaceDir?: string;
  isolation?: "strict" | "standard" | "none";
  network?: "none" | "loopback" | "full";
  /** Variables of every command. */
  env?: { readonly [name: string]: string };
  /** Paths beneath the workspace that are read-only in the box. */
  protected?: readonly string[];
}

/** A container. */
export interface DockerEnvironmentConfig {
  image: string;
  /** The folder that becomes `/workspace`. */
  workspaceDir?: string;
  /** Such as `2g`. */
  memory?: string;
  cpus?: number;
  network?: "none" | "full";
}

/** What the sandbox is made of. */
export interface SandboxToolsConfig {
  env?: "local" | "docker" | "e2b";
  local?: LocalEnvironmentConfig;
  docker?: DockerEnvironmentConfig;
  e2b?: { readonly [option: string]: unknown };
  exec?: ExecToolConfig;
  files?: FileToolConfig;
  /** To whom the box belongs: one run, a conversation, or every run that says this name. */
  scope?: "run" | "session" | { readonly name: string };
}

/** The six tools of a sandbox: goes into an agent's `tools`. */
export class SandboxTools {
  /** @internal */
  constructor(
    /** As agent files have it. */
    readonly config: { readonly [field: string]: unknown },
  ) {}
}

/** The six tools of a sandbox, for an agent's `tools`. */
export function sandboxTools(config: SandboxToolsConfig = {}): SandboxTools {
  const { env = "local", exec, files, local, scope } = config;
  if (env !== "local") {
    throw new Misuse(
      `the ${env === "docker" ? "Docker" : "E2B"} environment is not in this version`,
      'use `env: "local"`: an isolated process on Linux',
    );
  }
  return new SandboxTools({
    env,
    ...(local ? { local: localConfig(local) } : {}),
    ...(exec ? { exec: execConfig(exec) } : {}),
    ...(files ? { files: filesConfig(files) } : {}),
    ...(scope === undefined
      ? {}
      : { scope: typeof scope === "string" ? scope : { named: scope.name } }),
  });
}

/** A relative folder is one of this program's. */
function localConfig({ workspaceDir, ...local }: LocalEnvironmentConfig): object {
  return { ...local, ...(workspaceDir ? { workspace_dir: resolve(workspaceDir) } : {}) };
}

function execConfig({ envAllowlist, ...exec }: ExecToolConfig): object {
  return { ...exec, ...(envAllowlist ? { env_allowlist: envAllowlist } : {}) };
}

function filesConfig({ readPaths, writePaths, ...files }: FileToolConfig): object {
  return {
    ...files,
    ...(readPaths ? { read_paths: readPaths } : {}),
    ...(writePaths ? { write_paths: writePaths } : {}),
  };
}
