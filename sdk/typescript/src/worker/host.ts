/** Where this process runs, so that a server on the same machine sees it end at once. */

import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { Host } from "../protocol/frames.js";

/** This process, as far as the system tells. */
export function host(): Host {
  return {
    name: hostname(),
    boot: read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8")),
    pid: process.pid,
    pid_start: startTime(read(() => readFileSync("/proc/self/stat", "utf8"))),
    pid_namespace: read(() => readlinkSync("/proc/self/ns/pid")),
  };
}

function read(file: () => string): string {
  try {
    return file().trim();
  } catch {
    return "";
  }
}

/** Field 22 of `/proc/PID/stat`: the program's name before it may hold spaces and parentheses. */
export function startTime(stat: string): number {
  const afterName = stat.slice(stat.lastIndexOf(")") + 1).trim();
  return Number(afterName.split(/\s+/)[19] ?? 0) || 0;
}
