// An agent works in a box that the kernel isolates (Linux): it sees its workspace and nothing else.

import { fileURLToPath } from "node:url";
import { defineAgent, sandboxTools } from "@polos/sdk";

const sandbox = sandboxTools({
  env: "local",
  exec: { security: "allowlist", allowlist: ["echo *", "cat *"] },
  files: { approval: "none" },
});

const codingAgent = defineAgent({
  id: "coding_agent",
  provider: "scripted",
  script: fileURLToPath(new URL("../scripts/coder.toml", import.meta.url)),
  systemPrompt: "You are a coding assistant. The repo is at /workspace.",
  tools: sandbox, // exec, read, write, edit, glob, grep
});

console.log((await codingAgent.run("Write a greeting.")).output);
