"""Every failure has one code, one status and one shape, and tells nothing that was sent."""

import errno
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from server.body import CommandBody
from server.config import ConfigError
from server.errors import STATUS, Refusal, failure, refusal
from tests.edge import House, ask, make

ROOT = Path(__file__).parent.parent
ERRORS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/contract/errors.json").read_text("utf-8"))["errors"]
BODY: dict[str, Any] = json.loads((ROOT / "docs/schema/error.json").read_text("utf-8"))
SCHEMA = Draft202012Validator(BODY)
CANARY = "canary-7f3a /home/person/vault/Secret.md"


def test_the_table_is_the_one_that_clients_read() -> None:
    assert dict(STATUS) == {code: one["status"] for code, one in ERRORS.items()}


def test_the_schema_names_the_codes_of_the_table() -> None:
    assert BODY["properties"]["error"]["properties"]["code"]["enum"] == list(STATUS)


@pytest.mark.parametrize("code", ERRORS)
def test_a_code_becomes_its_status_and_body(code: str) -> None:
    example = ERRORS[code]
    error = example["body"]["error"]
    retry = None if example["retry_after"] is None else int(example["retry_after"]) - 0.5
    response = Refusal(code, error["message"], error["hint"], run=error["run"], retry_after=retry).response()
    assert response.status_code == example["status"]
    assert json.loads(bytes(response.body)) == example["body"]
    assert response.headers.get("retry-after") == example["retry_after"]
    SCHEMA.validate(example["body"])


def test_waiting_is_told_in_whole_seconds_and_never_as_none() -> None:
    assert Refusal("busy", "full", retry_after=0.01).response().headers["retry-after"] == "1"
    assert "retry-after" not in Refusal("busy", "full").response().headers


class ModelGoneError(Exception):
    code = "model_missing"
    hint = "pull it"
    retry_after = 3.0


def test_an_error_that_names_itself_keeps_its_code_message_hint_and_wait() -> None:
    told = refusal(ModelGoneError("not there"))
    assert (told.code, told.message, told.hint, told.retry_after) == ("model_missing", "not there", "pull it", 3.0)
    assert told.status == 424


@pytest.mark.parametrize("code", ["made_up", 404, None, ["busy"]])
def test_a_code_outside_the_table_is_an_unexpected_fault(code: object) -> None:
    error = RuntimeError("x")
    error.code = code  # type: ignore[attr-defined]
    assert refusal(error).code == "internal"


def test_an_unexpected_fault_is_told_by_an_id_that_the_log_places(caplog: pytest.LogCaptureFixture) -> None:
    def fall() -> None:
        raise KeyError(CANARY)

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError) as caught:
        fall()
    told = refusal(caught.value)
    assert told.status == 500
    name = told.message.partition("(id ")[2].rstrip(")")
    assert len(name) == 8
    assert name in caplog.text
    assert "KeyError" in caplog.text
    assert "test_server_errors.py" in caplog.text
    assert "canary" not in caplog.text + told.message + told.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_as_such(number: int) -> None:
    assert refusal(OSError(number, "No space left", CANARY)).code == "disk_full"
    assert "canary" not in refusal(OSError(number, "No space left", CANARY)).message


def test_another_fault_of_the_system_is_internal() -> None:
    assert refusal(OSError(errno.EIO, "Input/output error", CANARY)).code == "internal"


def test_a_setting_is_not_told_to_clients() -> None:
    told = refusal(ConfigError(CANARY))
    assert (told.code, told.status) == ("invalid", 422)
    assert "canary" not in told.message + told.hint


def test_a_shape_that_does_not_fit_names_the_place_and_not_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        CommandBody.model_validate({"tier": CANARY})
    told = refusal(caught.value)
    assert told.code == "invalid"
    assert told.message.startswith("tier: ")
    assert "'balanced'" in told.message
    assert "canary" not in told.message + told.hint


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (405, "invalid"), (400, "invalid"), (413, "too_large"), (503, "internal")]
)
def test_a_refusal_of_the_framework_keeps_its_status(status: int, code: str) -> None:
    told = refusal(HTTPException(status, detail=CANARY))
    assert (told.code, told.status) == (code, status)
    assert "canary" not in told.message + told.hint


def test_a_failed_run_is_answered_with_its_code_and_id() -> None:
    told = failure({"run": "r1", "code": "over_budget", "message": "too big", "hint": "smaller", "retry_after": 2})
    assert (told.status, told.run, told.message, told.retry_after) == (424, "r1", "too big", 2)


def test_a_failed_run_with_an_unknown_code_is_internal() -> None:
    assert failure({"run": "r1", "code": "odd", "message": "m"}).code == "internal"


def test_a_refusal_becomes_the_data_of_a_failed_event() -> None:
    assert Refusal("busy", "full", "wait", retry_after=2.5).event("r1") == {
        "run": "r1",
        "code": "busy",
        "message": "full",
        "hint": "wait",
        "retry_after": 2.5,
    }
    assert "retry_after" not in Refusal("cancelled", "gone").event("r1")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1/commands/nowhere/x", "/docs", "/redoc", "/openapi.json", "/v1/runs/"]
)
def test_an_address_where_nothing_is_has_the_shape_of_all_errors(tmp_path: Path, path: str) -> None:
    reply = ask(make(tmp_path, House()), "GET", path)
    assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/commands", "GET"),
        ("GET", "/orient", "POST"),
        ("PUT", "/v1/context", "POST"),
        ("POST", "/", "GET"),
    ],
)
def test_a_method_that_is_not_allowed_here_says_which_is(tmp_path: Path, method: str, path: str, allow: str) -> None:
    reply = ask(make(tmp_path, House()), method, path)
    assert (reply.status, reply.error["code"]) == (405, "invalid")
    assert reply.headers["allow"] == allow


def test_a_handler_that_breaks_answers_without_its_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(House):
        def status(self) -> dict[str, Any]:
            raise RuntimeError(CANARY)

    reply = ask(make(tmp_path, Broken()), "GET", "/v1/status")
    assert (reply.status, reply.error["code"]) == (500, "internal")
    assert "canary" not in reply.body.decode() + caplog.text
    assert "Traceback" not in reply.body.decode() + caplog.text


def test_an_answer_that_is_not_json_is_internal(tmp_path: Path) -> None:
    class Odd(House):
        def status(self) -> dict[str, Any]:
            return {"notes": float("nan")}

    assert ask(make(tmp_path, Odd()), "GET", "/v1/status").error["code"] == "internal"


def test_a_file_name_that_is_not_unicode_does_not_break_an_answer(tmp_path: Path) -> None:
    class Named(House):
        def status(self) -> dict[str, Any]:
            return {"vault": {"flagged": [b"caf\xe9.md".decode("utf-8", "surrogateescape")]}}

    reply = ask(make(tmp_path, Named()), "GET", "/v1/status")
    assert reply.json["vault"]["flagged"] == ["caf?.md"]
