"""An answer that follows a type."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from polos import Agent

REPLIES = str(Path(__file__).with_suffix(".toml"))


class Ticket(BaseModel):
    urgency: Literal["low", "high"]
    summary: str


triage = Agent("triage", provider="scripted", script=REPLIES, output_type=Ticket)

if __name__ == "__main__":
    ticket = triage.run_sync("HELP! Nothing loads since this morning!!").output
    print(f"{ticket.urgency} - {ticket.summary}")
