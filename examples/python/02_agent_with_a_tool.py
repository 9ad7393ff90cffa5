"""An agent calls a function of yours."""

from pathlib import Path

from polos import Agent, tool

REPLIES = str(Path(__file__).with_suffix(".toml"))


@tool
def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"clear, 21 degrees in {city}"


forecaster = Agent(
    "forecaster",
    provider="scripted",
    script=REPLIES,
    system_prompt="You tell the weather.",
    tools=[weather],
)

if __name__ == "__main__":
    print(forecaster.run_sync("How is Rome?").output)
