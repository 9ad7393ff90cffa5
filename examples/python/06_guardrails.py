"""What may go in, and what may come out."""

from pathlib import Path

from polos import Agent, RunFailed

REPLIES = str(Path(__file__).with_suffix(".toml"))


def no_passwords(text: str) -> bool:
    return "password" not in text


def without_numbers(text: str) -> str:
    return "".join("#" if character.isdigit() else character for character in text)


careful = Agent(
    "careful",
    provider="scripted",
    script=REPLIES,
    guardrails=[no_passwords],
    output_guardrails=[without_numbers],
)

if __name__ == "__main__":
    print(careful.run_sync("What is my account?").output)
    try:
        careful.run_sync("My password is 1234")
    except RunFailed as stopped:
        print(stopped.failure.message)
