"""What the service says is what its schemas and the examples for clients say."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator

from commands.events import FINAL, NAMES, Event
from commands.request import Request
from commands.run import run
from prompts import SHIPPED
from server.client import _parsed
from server.errors import STATUS, Refusal
from server.house import open_house
from server.runs import Runs
from tests.edge import AUTH, HOST, Call, House, Reply, aask, ask, config, make, refuses
from tests.ollama_double import double
from tests.vaults import write

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "tests" / "contract"
EVENTS: dict[str, Any] = json.loads((CONTRACT / "events.json").read_text("utf-8"))
ERRORS: dict[str, Any] = json.loads((CONTRACT / "errors.json").read_text("utf-8"))["errors"]
WIRE: dict[str, Any] = EVENTS["run"]
SCHEMAS: dict[str, Any] = {
    file.stem: json.loads(file.read_text("utf-8")) for file in (ROOT / "docs" / "schema").glob("*.json")
}


def closed(schema: Any) -> Any:
    """The schema, allowing no field that it does not describe: what we say is all described."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(one) for name, one in schema.items()}
    return {"additionalProperties": False, **inner} if isinstance(schema.get("properties"), dict) else inner


CHECKS = {name: Draft202012Validator(closed(schema)) for name, schema in SCHEMAS.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == name
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(schema["required"]) <= set(schema["properties"])


def test_every_event_has_a_schema_and_an_example() -> None:
    assert set(SCHEMAS) == {*NAMES, "error", "edit"}
    assert set(EVENTS["examples"]) == set(NAMES)
    assert {one["event"] for one in WIRE["events"]} == set(NAMES) - {"failed"}


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_fit(name: str) -> None:
    for example in EVENTS["examples"][name]:
        CHECKS[name].validate(example)
        wrong = {field: value for field, value in example.items() if field != SCHEMAS[name]["required"][-1]}
        assert not CHECKS[name].is_valid(wrong)


def test_the_example_of_a_run_is_a_run() -> None:
    events = WIRE["events"]
    for one in events:
        CHECKS[one["event"]].validate(one["data"])
    assert [one["id"] for one in events] == list(range(1, len(events) + 1))
    order = [one["event"] for one in events]
    assert order[0] == "started"
    assert [name for name in order if name in FINAL] == [order[-1]] == ["done"]
    assert order.index("gathered") < order.index("token")
    assert "".join(one["data"]["text"] for one in events if one["event"] == "token") == events[-1]["data"]["answer"]


async def replays(_: Call) -> AsyncIterator[Event]:
    for one in WIRE["events"]:
        yield Event(one["event"], one["data"])


@pytest.mark.parametrize(("accept", "form"), [("text/event-stream", "sse"), ("application/x-ndjson", "ndjson")])
def test_a_stream_is_written_to_the_byte(tmp_path: Path, accept: str, form: str) -> None:
    reply = ask(make(tmp_path, House(script=replays)), "POST", "/orient", {}, {"Accept": accept})
    assert reply.body.decode("utf-8") == WIRE[form]
    assert reply.headers["content-type"].partition(";")[0] == accept


def test_the_answer_without_a_stream_is_the_last_event(tmp_path: Path) -> None:
    reply = ask(make(tmp_path, House(script=replays)), "POST", "/orient", {})
    assert (reply.status, reply.json) == (200, WIRE["events"][-1]["data"])


def test_our_own_client_reads_the_stream(tmp_path: Path) -> None:
    stream = cast("Any", io.BytesIO(WIRE["sse"].encode("utf-8")))
    assert [(one.name, one.data) for one in _parsed(stream)] == [(one["event"], one["data"]) for one in WIRE["events"]]


# --- what really happens

VAULT = {
    "Daily/2025-09-13.md": "# Saturday\n- [x] order the riser [[Riser]]\n",
    "Daily/2025-09-14.md": "# Sunday\n## Log\n- [ ] pay the [[Riser]] 📅 2025-09-01\n- see [[Nowhere]]\n",
    "Projects/Riser.md": "---\ntype: project\nstatus: active\ndue: 2025-09-10\n---\n# Riser\n## Next\nKörper.\n",
    "Maps/Home.md": "---\ntype: moc\n---\n# Projects\n- [[Riser]]\n",
    "Broken.md": "---\n: [\n---\ntext\n",
}
CLOSED = "http://127.0.0.1:9"


def happens(folder: Path, command: str, *, model: bool, **fields: Any) -> list[Event]:
    """The events of a real run, with a model or without one."""
    run_id = "0123456789abcdef"

    async def events() -> list[Event]:
        async with AsyncExitStack() as stack:
            url = (await stack.enter_async_context(double())).url if model else CLOSED
            known = config(folder, ollama_url=url, cache="memory", now="2025-09-14")
            write(folder / "vault", VAULT)
            house = await open_house(known)
            stack.push_async_callback(house.close)
            return [event async for event in run(house, command, Request(**fields), run_id=run_id)]

    return asyncio.run(events())


@pytest.mark.parametrize("model", [True, False], ids=["with a model", "without"])
@pytest.mark.parametrize("command", SHIPPED)
def test_a_real_run_says_what_the_schemas_say(tmp_path: Path, command: str, model: bool) -> None:
    events = happens(tmp_path, command, model=model, text="what is due for the riser?")
    for event in events:
        CHECKS[event.name].validate(json.loads(json.dumps(event.data)))
    order = [event.name for event in events]
    assert order[0] == "started"
    assert [name for name in order if name in FINAL] == ["done"]
    assert order.index("gathered") < order.index("token") < order.index("checked") < order.index("done")
    final = events[-1].data
    assert "".join(event.data["text"] for event in events if event.name == "token") == final["answer"]
    assert (
        events[0].data == {"run": final["run"], "command": command} == {"run": "0123456789abcdef", "command": command}
    )
    if model and final["decision"]:
        assert order.index("gathered") < order.index("decided") < order.index("token")
        assert not final["degraded"]
    if not model:
        assert final["degraded"] == ["model"]


def test_a_dry_run_says_what_the_schemas_say(tmp_path: Path) -> None:
    events = happens(tmp_path, "ask", model=True, text="the riser?", dry_run=True)
    for event in events:
        CHECKS[event.name].validate(json.loads(json.dumps(event.data)))
    assert [event.name for event in events if event.name in {"token", *FINAL}] == ["done"]


@pytest.mark.parametrize(
    "fields", [{}, {"text": "x", "node": "nobody"}, {"text": "x", "note": "Nowhere.md"}, {"text": "x", "apply": "all"}]
)
def test_a_real_failure_says_what_the_schemas_say(tmp_path: Path, fields: dict[str, Any]) -> None:
    events = happens(tmp_path, "ask", model=True, **fields)
    for event in events:
        CHECKS[event.name].validate(json.loads(json.dumps(event.data)))
    order = [event.name for event in events]
    assert (order[0], [name for name in order if name in FINAL]) == ("started", [order[-1]]) == ("started", ["failed"])
    assert events[-1].data["code"] in STATUS


def test_an_end_that_the_edge_makes_says_what_the_schemas_say() -> None:
    async def ends() -> list[Any]:
        async def endless(run_id: str) -> AsyncIterator[Event]:
            yield Event("started", {"run": run_id, "command": "ask"})
            await asyncio.sleep(60)

        registry = Runs()
        one, two = registry.start("ask", endless), registry.start("ask", endless)
        await registry.cancel(one)
        await registry.close()
        return [one.outcome(), two.outcome()]

    ended = asyncio.run(ends())
    assert [data["code"] for data in ended] == ["cancelled", "shutting_down"]
    for data in ended:
        CHECKS["failed"].validate(data)


# --- errors


def test_the_codes_are_the_same_everywhere() -> None:
    assert set(ERRORS) == set(STATUS)
    assert SCHEMAS["failed"]["properties"]["code"]["enum"] == list(STATUS)
    assert SCHEMAS["error"]["properties"]["error"]["properties"]["code"]["enum"] == list(STATUS)
    assert {code: one["status"] for code, one in ERRORS.items()} == dict(STATUS)


@pytest.mark.parametrize("code", STATUS)
def test_the_example_of_an_error_fits(code: str) -> None:
    body = ERRORS[code]["body"]
    CHECKS["error"].validate(body)
    assert body["error"]["code"] == code


@pytest.mark.parametrize("code", STATUS)
def test_a_run_that_fails_is_told_with_its_code_and_status(tmp_path: Path, code: str) -> None:
    reply = ask(make(tmp_path, House(script=refuses(code, retry_after=1.2))), "POST", "/ask", {})
    CHECKS["error"].validate(reply.json)
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (STATUS[code], code, "2")
    CHECKS["failed"].validate(Refusal(code, "m").event("0123456789abcdef"))


def told(folder: Path, code: str) -> Reply:
    """The answer in which the service itself tells an error."""
    app = make(folder, House())
    if code == "conflict":
        key = {"idempotency_key": "k"}

        async def twice() -> Reply:
            await aask(app, "POST", "/orient", {**key, "text": "a"})
            return await aask(app, "POST", "/orient", {**key, "text": "b"})

        return asyncio.run(twice())
    if code == "too_large":
        return ask(app, "POST", "/orient", b" " * (1 << 20) + b" ")
    path, body, headers = {
        "invalid": ("/orient", {"budget_tokens": 1}, {}),
        "unauthorized": ("/orient", {}, {"Authorization": ""}),
        "forbidden_origin": ("/orient", {}, {"Origin": "https://evil.example"}),
        "wrong_host": ("/orient", {}, {"Host": "evil.example"}),
        "not_found": ("/nowhere", {}, {}),
        "unsupported_media": ("/orient", {}, {"Content-Type": "text/plain"}),
    }[code]
    return ask(app, "POST", path, body, {"Host": HOST, **AUTH, **headers})


@pytest.mark.parametrize(
    "code",
    "invalid unauthorized forbidden_origin wrong_host not_found conflict too_large unsupported_media".split(),
)
def test_the_example_of_an_error_is_what_the_service_says(tmp_path: Path, code: str) -> None:
    reply = told(tmp_path, code)
    assert (reply.status, reply.json) == (ERRORS[code]["status"], ERRORS[code]["body"])
