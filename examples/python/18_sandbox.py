"""An agent that runs commands in a box. Linux only."""

from pathlib import Path

from polos import Agent, ExecToolConfig, SandboxToolsConfig, sandbox_tools

REPLIES = str(Path(__file__).with_suffix(".toml"))

coder = Agent(
    "coder",
    provider="scripted",
    script=REPLIES,
    system_prompt="You are a coding assistant. The repo is at /workspace.",
    tools=sandbox_tools(
        SandboxToolsConfig(env="local", exec=ExecToolConfig(security="full", timeout="30s"))
    ),
)

if __name__ == "__main__":
    print(coder.run_sync("How much is six times seven?").output)
