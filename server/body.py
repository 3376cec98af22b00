"""What a request may hold: its fields, their limits, and how a body becomes them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from context.calendar import calendar, iso_date
from context.query import OPERATORS
from server.errors import invalid
from server.wire import load

TEXT_CHARS = 200_000
NAME_CHARS = 1024
MOST_ITEMS = 32
# What stands in the request for the edge alone; the command does not see it.
_EDGE = frozenset({"detach", "stream", "idempotency_key"})
_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
_SCALAR = (str, int, float, bool, type(None))

B = TypeVar("B", bound=BaseModel)


def _where(value: dict[str, Any]) -> dict[str, Any]:
    for wanted in value.values():
        tests = wanted if isinstance(wanted, dict) else {"eq": wanted}
        for operator, operand in tests.items():
            if operator not in OPERATORS:
                raise ValueError(f"a condition takes the operators {', '.join(OPERATORS)}")
            _operand(operator, operand)
    return value


def _operand(operator: str, operand: Any) -> None:
    if operator in ("in", "nin"):
        if (
            not isinstance(operand, list)
            or len(operand) > MOST_ITEMS
            or not all(isinstance(one, _SCALAR) for one in operand)
        ):
            raise ValueError(f"{operator} takes a list of at most {MOST_ITEMS} texts, numbers or true/false")
    elif operator == "exists":
        if not isinstance(operand, bool):
            raise ValueError("exists takes true or false")
    elif not isinstance(operand, _SCALAR):
        raise ValueError('a property is compared with a text, a number or true/false; for several use {"in": [...]}')


def _since(value: str) -> str:
    if iso_date(value) is None:
        raise ValueError("must be an ISO date such as 2025-09-01")
    return value


def _zone(value: str) -> str:
    calendar(timezone=value)
    return value


def _now(value: str) -> str:
    calendar(value, "UTC")
    return value


def _gather(value: Any) -> Any:
    if value is None:
        return None
    names = list(value) if isinstance(value, list | dict) else []
    named = 0 < len(names) <= MOST_ITEMS and all(isinstance(name, str) and 0 < len(name) <= 64 for name in names)
    shares = list(value.values()) if isinstance(value, dict) else []
    if not named or not all(type(share) in (int, float) and 0 < share <= 100 for share in shares):
        raise ValueError(
            "must be a list of ways of gathering, or an object of ways and their percent (above 0, at most 100)"
        )
    return value


Name = Annotated[str, Field(max_length=NAME_CHARS)]
Text = Annotated[str, Field(max_length=TEXT_CHARS)]
Zone = Annotated[Name, AfterValidator(_zone)]
Moment = Annotated[Name, AfterValidator(_now)]
Budget = Annotated[int, Field(ge=200, le=200_000)]


class ScopeBody(BaseModel):
    """Which notes a request may use; every field narrows."""

    model_config = _STRICT
    project: Name | None = None
    folder: Name | None = None
    tags: Annotated[list[Name], Field(max_length=MOST_ITEMS)] | None = None
    since: Annotated[Name, AfterValidator(_since)] | None = None
    where: Annotated[dict[Name, Any], Field(max_length=MOST_ITEMS), AfterValidator(_where)] | None = None


class CommandBody(BaseModel):
    """The request of a command. `text` in characters, `budget_tokens` in tokens."""

    model_config = _STRICT
    text: Text = ""
    note: Name | None = None
    selection: Text | None = None
    scope: ScopeBody | None = None
    tier: Literal["fast", "balanced", "deep"] | None = None
    model: Name | None = None
    node: Name | None = None
    budget_tokens: Budget | None = None
    timezone: Zone | None = None
    now: Moment | None = None
    apply: Literal["none", "capture", "all"] | None = None
    dry_run: bool = False
    fresh: bool = False
    detach: bool = False
    follows: Name | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    stream: bool = False


class ContextBody(BaseModel):
    """The request of POST /v1/context."""

    model_config = _STRICT
    text: Text = ""
    budget_tokens: Budget | None = None
    gather: Annotated[Any, AfterValidator(_gather)] = None
    scope: ScopeBody | None = None
    note: Name | None = None
    timezone: Zone | None = None
    now: Moment | None = None
    fresh: bool = False


Hunks = Annotated[list[Annotated[str, Field(max_length=32)]], Field(min_length=1, max_length=10_000)]


class ApplyBody(BaseModel):
    """The request of POST /v1/edits/{id}/apply; `hunks` by their ids, None for all."""

    model_config = _STRICT
    hunks: Hunks | None = None
    confirm: bool = False


class AppliedBody(BaseModel):
    """The request of POST /v1/edits/{id}/applied."""

    model_config = _STRICT
    hunks: Hunks | None = None


class ModeBody(BaseModel):
    """The request of PUT /v1/mode; without `node` all nodes whose mode is set here."""

    model_config = _STRICT
    node: Name | None = None
    mode: Literal["NORMAL", "GAMING"]


class NoBody(BaseModel):
    """A request that says everything by its address."""

    model_config = _STRICT


def fields(body: CommandBody | ContextBody) -> dict[str, Any]:
    """What the command sees of a request, as plain values; what was left out is left out."""
    return {name: value for name, value in body.model_dump(exclude_none=True).items() if name not in _EDGE}


def read(model: type[B], body: bytes) -> B:
    """The request in a body.

    Raises:
        server.wire.MalformedError: not one strict JSON object.
        server.errors.Refusal: a field that is unknown or out of its limits, named with what is allowed.
    """
    value = load(body)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        places: Mapping[str, tuple[str, ...]] = {"": tuple(model.model_fields), "scope": tuple(ScopeBody.model_fields)}
        raise invalid(error.errors(include_url=False, include_input=False), places) from None
