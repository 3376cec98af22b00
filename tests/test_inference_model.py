"""Facts out of what a node tells of a model: nothing in it is trusted, and what is not told is taken to cost most."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.model import Attention, ModelFacts, facts_of_show, windows

DETAILS = {"family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}


NO_HEADS: dict[str, Any] = {"attention.head_count": -1}


def info(architecture: str = "llama", **more: Any) -> dict[str, Any]:
    usual = {
        "block_count": 4,
        "embedding_length": 512,
        "attention.head_count": 8,
        "attention.head_count_kv": 2,
        "feed_forward_length": 1024,
        "vocab_size": 32000,
        "context_length": 8192,
    }
    geometry = {name: value for name, value in (usual | more).items() if value is not None}
    return {
        "general.architecture": architecture,
        "general.parameter_count": 1_000_000,
        **{f"{architecture}.{name}": value for name, value in geometry.items()},
    }


def told(size: int = 5_000, able: Any = ("completion",), details: Any = DETAILS, **more: Any) -> ModelFacts:
    answer = {"model_info": info(**more), "details": details, "capabilities": list(able) if able else able}
    return facts_of_show("one", answer, size)


def test_what_is_told_is_read() -> None:
    assert told() == ModelFacts("one", "node", "Q4_K_M", 5_000, 512, 8, (Attention(2, 64, 64),) * 4, 1024, 32000, 8192)
    assert told(able=("embedding",)).encoder
    assert told(able=("completion", "vision")).vision
    assert not told(able=("completion", "embedding")).encoder


def test_a_head_size_that_is_said_counts() -> None:
    found = told(**{"attention.key_length": 128, "attention.value_length": 96})
    assert found.layers == (Attention(2, 128, 96),) * 4


def test_layers_may_differ() -> None:
    more: dict[str, Any] = {"attention.head_count_kv": [0, 2, 0, 4], "feed_forward_length": [512, 4096, 512, 512]}
    found = told(**more)
    assert [one.kv_heads for one in found.layers] == [0, 2, 0, 4]
    assert found.feed_forward == 4096


@pytest.mark.parametrize("left_out", [None, [], 0, "2", [1, 2]])
def test_kv_heads_that_are_not_told_are_as_many_as_there_can_be(left_out: Any) -> None:
    assert {one.kv_heads for one in told(**{"attention.head_count_kv": left_out}).layers} == {8}


@pytest.mark.parametrize(
    ("architecture", "more", "far"),
    [
        ("gemma2", {}, [700, 0, 700, 0]),
        ("gemma3", {}, [700, 700, 700, 700]),
        ("gpt-oss", {}, [700, 0, 700, 0]),
        ("llama", {}, [0, 0, 0, 0]),  # llama.cpp reads no window here, whatever the file says
        ("newcomer", {}, [0, 0, 0, 0]),
        ("newcomer", {"attention.sliding_window_pattern": 3}, [700, 700, 0, 700]),
        ("newcomer", {"attention.sliding_window_pattern": [True, False, False, True]}, [700, 0, 0, 700]),
        ("newcomer", {"attention.sliding_window_pattern": []}, [0, 0, 0, 0]),
    ],
)
def test_which_layers_have_a_window(architecture: str, more: dict[str, Any], far: list[int]) -> None:
    found = told(architecture=architecture, **{"attention.sliding_window": 700}, **more)
    assert [one.window for one in found.layers] == far


def test_a_layer_with_a_window_may_have_keys_of_its_own() -> None:
    more = {"attention.sliding_window": 512, "attention.key_length": 256, "attention.value_length": 256}
    found = told(architecture="gemma2", **more, **{"attention.key_length_swa": 128, "attention.value_length_swa": 128})
    assert found.layers == (Attention(2, 128, 128, 512), Attention(2, 256, 256)) * 2


def test_a_size_that_is_not_told_follows_from_the_parameters() -> None:
    assert told(size=0).size == 1_000_000 * 4.9 / 8
    assert told(size=0, details={}).size == int(1_000_000 * 16.01 / 8)


def test_of_experts_those_count_that_work_on_a_token() -> None:
    more: dict[str, Any] = {"feed_forward_length": None, "expert_used_count": 4, "expert_feed_forward_length": 768}
    assert told(**more).feed_forward == 3072
    assert told(feed_forward_length=None).feed_forward == 2048


def test_the_vocabulary_may_be_a_list() -> None:
    answer = {"model_info": info(vocab_size=None) | {"tokenizer.ggml.tokens": ["a"] * 7}, "details": {}}
    assert facts_of_show("one", answer, 1).vocabulary == 7
    assert told(vocab_size=None).vocabulary == 0


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"error": "model 'one' not found"},
        {"model_info": []},
        {"model_info": {"general.architecture": 3}},
        {"model_info": info(block_count=None)},
        {"model_info": info(block_count=5000)},
        {"model_info": info(embedding_length="512")},
        {"model_info": info(**NO_HEADS)},
    ],
)
def test_too_little_is_no_fact(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no "):
        facts_of_show("one", answer, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 100) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(info())), JSON), JSON, JSON)
def test_whatever_is_said_gives_facts_or_none(said: dict[str, Any], details: Any, able: Any) -> None:
    answer = {"model_info": info() | said, "details": details, "capabilities": able}
    try:
        found = facts_of_show("one", answer, 1)
    except ValueError:
        return
    assert found.layers
    assert found.size > 0


@given(st.integers(1, 90), st.integers(0, 4096), st.integers(0, 8))
def test_the_last_layer_of_each_period_sees_everything(count: int, window: int, period: int) -> None:
    far = windows(count, window, period)
    assert len(far) == count
    assert sum(one == 0 for one in far) == (count // period if window and period else count)
