"""`polos` against the fake: agents over both wires, from the request's bytes to the run's end."""

import json
from itertools import pairwise

import pytest

from brain import Brain
from conftest import REPOSITORY
from model_server import Fault, ModelServer

DEMO = REPOSITORY / "crates/polos/src/demo/content/script.toml"
# How the demo's three agents begin, by which the fake tells them apart.
CREW = {
    "You plan the mending": "planner",
    "You mend one issue": "coder",
    "You test a change": "tester",
}
EDIT = {"path": "a.txt", "old_string": "alpha", "new_string": "omega"}
SCRIPT = {
    "reply": [
        {
            "turn": 0,
            "text": "Let me look: ☔.",
            "tools": [
                {"name": "read", "input": {"path": "a.txt"}},
                {"name": "exec", "input": {"command": "wc -l a.txt"}},
                {"name": "glob", "input": {"pattern": "*.txt"}},
            ],
        },
        {
            "turn": 1,
            "expect": ["alpha", "2 a.txt", "/workspace/a.txt"],
            "tools": [
                {
                    "name": "edit",
                    "input": {"path": "a.txt", "old_string": "alpha", "new_string": "omega"},
                }
            ],
        },
        {"turn": 2, "expect": "edited", "text": "It said alpha."},
    ]
}
READER = """
provider = "PROVIDER"
model = "some-model"
system = "You read."
tools = ["sandbox"]
[sandbox.exec]
allowlist = ["wc *"]
[sandbox.files]
approval = "none"
[sandbox.local]
workspace_dir = ".."
grace = 5
"""
PROVIDERS = pytest.mark.parametrize("provider", ["anthropic", "openai"])


def _project(project, server, provider):
    made = project(server)
    (made.folder / "a.txt").write_text("alpha\nbeta\n")
    made.agent("reader", READER.replace("PROVIDER", provider))
    return made


def _without_markers(value):
    if isinstance(value, dict):
        return {k: _without_markers(v) for k, v in value.items() if k != "cache_control"}
    return [_without_markers(item) for item in value] if isinstance(value, list) else value


@PROVIDERS
def test_an_agent_calls_tools_in_parallel_and_answers(project, provider) -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        made = _project(project, server, provider)
        story = made.run("reader", "What does it say?")
    assert story["run"]["state"] == "completed"
    assert story["run"]["output"]["text"] == "It said alpha."
    assert (made.folder / "a.txt").read_text() == "omega\nbeta\n"
    assert [request.status for request in server.requests] == [200, 200, 200], (
        "the vendor's types fit"
    )


@PROVIDERS
def test_each_request_is_the_one_before_and_more(project, provider) -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        _project(project, server, provider).run("reader", "What does it say?")
    bodies = [_without_markers(request.body) for request in server.requests]
    for before, after in pairwise(bodies):
        grown = after.pop("messages")
        assert grown[: len(before["messages"])] == before.pop("messages")
        assert json.dumps(after) == json.dumps(before), "what comes first stays to the letter"
        after["messages"] = grown


@PROVIDERS
def test_an_overloaded_model_is_asked_again_and_paid_once(project, provider) -> None:
    faults = [Fault(429, "rate_limit_error", {"retry-after": "1"}), Fault(503, "overloaded_error")]
    with ModelServer(Brain(SCRIPT), faults) as server:
        story = _project(project, server, provider).run("reader", "What does it say?")
    assert story["run"]["state"] == "completed"
    assert [request.status for request in server.requests] == [429, 503, 200, 200, 200]


def test_keys_go_where_they_belong_and_nowhere_else(project) -> None:
    with ModelServer(Brain(SCRIPT)) as server:
        made = _project(project, server, "anthropic")
        story = made.run("reader", "What does it say?")
        made.agent("reader", READER.replace("PROVIDER", "openai"))
        (made.folder / "a.txt").write_text("alpha\nbeta\n")
        made.run("reader", "What does it say?")
    for request in server.requests:
        if request.path == "/v1/messages":
            assert request.headers["x-api-key"] == "sk-ant-secret"
            assert request.headers["anthropic-version"]
        else:
            assert request.headers["authorization"] == "Bearer sk-secret"
        assert "secret" not in json.dumps(request.body)
    assert "secret" not in json.dumps(story)
    database = (made.folder / ".polos/polos.db").read_bytes()
    assert b"sk-ant-secret" not in database and b"sk-secret" not in database


@pytest.mark.parametrize("keys", [("ANTHROPIC",), ("OPENAI",)])
def test_the_demo_mends_its_bug_through_a_killed_worker_and_server(project, keys) -> None:
    with ModelServer(Brain.load(DEMO, CREW)) as server:
        said = project(server).polos("demo", "--crash", "--answer", "approve", "--json", keys=keys)
    summary = json.loads(said.splitlines()[-1])
    assert summary["outcome"] == "approved"
    assert summary["model_calls_repeated"] == summary["commands_repeated"] == 0
    assert summary["model_calls"] == len(server.answered), "what the model was really asked"
