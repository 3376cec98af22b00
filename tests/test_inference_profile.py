"""Profiles: what is shipped holds, and what cannot be used is refused with file, key and what is allowed."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from inference.catalogue import known
from inference.memory import GIB
from inference.plan import make_plan
from inference.profile import (
    EmbeddingModel,
    NodeConfig,
    NodeMemory,
    Profile,
    ProfileError,
    RunnerProfile,
    load,
    parse,
    same_model,
    shipped,
    with_trust,
    with_url,
)

WHOLE = """
description = "a test"
[nodes.desk]
kind = "ollama"
url = "http://127.0.0.1:11434"
class = "local"
[nodes.rack]
kind = "openai"
url = "https://rack.home/v1"
class = "lan"
key_env = "RACK_KEY"
parallel = 4
queue = 0
trusted = true
[nodes.desk.memory]
vram_gib = 10
cards = 2
reserve_gib = 1.25
vram_gbs = 760
ram_gib = 16
ram_gbs = 40.5
[runners.small]
node = "desk"
model = "llama3.2:3b"
quantisation = "Q4_K_M"
num_ctx = 8192
answer_tokens = 1024
kv_type = "q8_0"
keep_alive = -1
options = { num_batch = 512, temperature = 1, stop = ["x"], use_mmap = true }
[runners.large]
node = "rack"
model = "Qwen/Qwen3-32B"
quantisation = "AWQ"
num_ctx = 32768
answer_tokens = 4096
slots = 4
think = "low"
options = { top_p = 0.9 }
[embedding]
node = "desk"
model = "nomic-embed-text"
num_ctx = 2048
query_prefix = "search_query: "
document_prefix = "search_document: "
dimensions = 256
deadline_ms = 200
keep_alive = -1
options = { num_gpu = 0 }
[tiers]
fast = ["small"]
deep = ["large", "small"]
[commands]
orient = "fast"
research = "large"
[[settings]]
name = "OLLAMA_NUM_PARALLEL"
seed = "4"
ours = "1"
why = "memory"
"""


def changed(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


def test_a_profile_is_read_whole() -> None:
    profile = parse(WHOLE, "mine")
    assert (profile.name, profile.description) == ("mine", "a test")
    assert profile.nodes["desk"] == NodeConfig(
        "desk",
        "ollama",
        "http://127.0.0.1:11434",
        "local",
        8,
        1,
        "",
        trusted=False,
        memory=NodeMemory(10.0, 2, 1.25, 760.0, 16.0, 40.5),
    )
    assert profile.nodes["rack"].memory is None
    assert profile.nodes["rack"] == NodeConfig(
        "rack", "openai", "https://rack.home", "lan", 0, 4, "RACK_KEY", trusted=True
    )
    options = {"num_batch": 512, "temperature": 1, "stop": ["x"], "use_mmap": True}
    assert profile.runners["small"] == RunnerProfile(
        "small", "desk", "llama3.2:3b", "Q4_K_M", 8192, 1024, "q8_0", 1, -1, "", think=False, options=options
    )
    large = profile.runners["large"]
    assert (large.slots, large.kv_type, large.keep_alive, large.think) == (4, "f16", "5m", "low")
    assert profile.embedding == EmbeddingModel(
        "desk", "nomic-embed-text", 2048, "search_query: ", "search_document: ", 256, 200, -1, {"num_gpu": 0}
    )
    assert profile.tiers == {"fast": ("small",), "deep": ("large", "small")}
    assert profile.commands == {"orient": "fast", "research": "large"}
    assert [(one.name, one.seed, one.ours, one.why) for one in profile.settings] == [
        ("OLLAMA_NUM_PARALLEL", "4", "1", "memory")
    ]


REFUSED = [
    ("description = ", "descripton = ", ["descripton", "unknown", "description, embedding, fail_soft, nodes"]),
    ('kind = "ollama"', 'kind = "olama"', ["nodes.desk.kind", "'olama'", "ollama, openai"]),
    ('class = "local"', 'class = "here"', ["nodes.desk.class", "local, lan, cloud"]),
    ('class = "local"\n', "", ["nodes.desk.class is missing", "local, lan, cloud"]),
    ("parallel = 4", "paralel = 4", ["nodes.rack.paralel is unknown", "parallel"]),
    ("parallel = 4", "parallel = 0", ["nodes.rack.parallel", "1 to 256"]),
    ("parallel = 4", "parallel = true", ["nodes.rack.parallel", "whole number"]),
    ("parallel = 4", "parallel = 5", ["nodes.rack.parallel", "slots", "4"]),
    ("queue = 0", "queue = -1", ["nodes.rack.queue", "0 to 1000"]),
    ('"RACK_KEY"', '"sk-12 34"', ["nodes.rack.key_env", "environment variable"]),
    ('"http://127.0.0.1:11434"', '"127.0.0.1:11434"', ["nodes.desk.url", "http://127.0.0.1:11434"]),
    ('"http://127.0.0.1:11434"', '"ftp://127.0.0.1"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://:11434"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://127.0.0.1:99999"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://127.0.0.1:0"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://[::1"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://me:secret@127.0.0.1"', ["nodes.desk.url", "without user"]),
    ('"http://127.0.0.1:11434"', '"http://127.0.0.1/?a=b"', ["nodes.desk.url", "query"]),
    ('"http://127.0.0.1:11434"', '"http://127.0.0.1 /"', ["nodes.desk.url"]),
    ('"http://127.0.0.1:11434"', '"http://10.0.0.7:11434"', ["nodes.desk.class", "not this machine", "trusted = true"]),
    ('class = "lan"', 'class = "cloud"', ["nodes.rack.trusted", "lan"]),
    (
        'url = "https://rack.home/v1"\nclass = "lan"',
        'url = "http://a.example"\nclass = "cloud"',
        ["nodes.rack.url", "https"],
    ),
    ("[nodes.desk]", '[nodes."my desk"]', ["nodes.my desk", "letters"]),
    ("vram_gib = 10", "vram = 10", ["nodes.desk.memory.vram_gib is missing", "0 to 16384"]),
    ("vram_gib = 10", 'vram_gib = "10"', ["nodes.desk.memory.vram_gib", "a number"]),
    ("vram_gib = 10", "vram_gib = nan", ["nodes.desk.memory.vram_gib", "0 to 16384"]),
    ("cards = 2", "cards = 0", ["nodes.desk.memory.cards", "1 to 64"]),
    ("cards = 2", "card = 2", ["nodes.desk.memory.card is unknown", "cards, ram_gbs"]),
    ("reserve_gib = 1.25", "reserve_gib = 10", ["nodes.desk.memory.reserve_gib", "leaves nothing"]),
    ("ram_gbs = 40.5", "ram_gbs = -1", ["nodes.desk.memory.ram_gbs", "0 to 100000"]),
    ("ram_gib = 16", "ram_gib = true", ["nodes.desk.memory.ram_gib", "a number"]),
    ('node = "desk"', 'node = "desk2"', ["runners.small.node", "'desk2'", "desk, rack"]),
    ('model = "llama3.2:3b"', 'model = "llama 3"', ["runners.small.model", "name of a model"]),
    ('model = "llama3.2:3b"', 'model = ""', ["runners.small.model"]),
    ("answer_tokens = 1024", "answer_tokens = 7681", ["runners.small.answer_tokens", "8192", "7680"]),
    ("num_ctx = 8192", "num_ctx = 8192.0", ["runners.small.num_ctx", "whole number"]),
    ("num_ctx = 8192", "num_ctx = 512", ["runners.small.num_ctx", "1024"]),
    ('kv_type = "q8_0"', 'kv_type = "q8"', ["runners.small.kv_type", "f16, q8_0, q4_0"]),
    ("keep_alive = -1", 'keep_alive = "-1"', ["runners.small.keep_alive", "without quotes"]),
    ("keep_alive = -1", 'keep_alive = "soon"', ["runners.small.keep_alive", '"5m"']),
    ("keep_alive = -1", "keep_alive = true", ["runners.small.keep_alive"]),
    ("keep_alive = -1", 'keep_alive = -1\noffload = "gpu"', ["runners.small.offload", "'', cpu"]),
    ('think = "low"', 'think = "lots"', ["runners.large.think", "low, medium, high, max"]),
    ("num_batch = 512", "num_bach = 512", ["runners.small.options.num_bach", "unknown", "num_batch"]),
    ("num_batch = 512", "num_ctx = 512", ["runners.small.options.num_ctx", "num_ctx of the runner"]),
    ("num_batch = 512", "num_predict = 5", ["runners.small.options.num_predict", "answer_tokens of the runner"]),
    ("num_batch = 512", 'num_batch = "512"', ["runners.small.options.num_batch", "whole number"]),
    ("temperature = 1", "temperature = true", ["runners.small.options.temperature", "a number"]),
    ("use_mmap = true", "use_mmap = 1", ["runners.small.options.use_mmap", "true or false"]),
    ('stop = ["x"]', "stop = [1]", ["runners.small.options.stop", "list of texts"]),
    ("top_p = 0.9", "num_batch = 512", ["runners.large.options.num_batch", "unknown"]),
    ("[runners.small]", "[runners.fast]", ["runners.fast", "name of a tier"]),
    ('[embedding]\nnode = "desk"', '[embedding]\nnode = "attic"', ["embedding.node", "'attic'", "desk, rack"]),
    ('"nomic-embed-text"', '"nomic embed"', ["embedding.model", "name of a model"]),
    ("num_ctx = 2048", "num_ctx = 16", ["embedding.num_ctx", "64 to"]),
    ("num_ctx = 2048\n", "", ["embedding.num_ctx", "missing"]),
    ('"search_query: "', '"a\\nb"', ["embedding.query_prefix", "one line"]),
    ("dimensions = 256", "dimensions = 8193", ["embedding.dimensions", "0 to 8192"]),
    ("deadline_ms = 200", "deadline_ms = 0.3", ["embedding.deadline_ms", "10 to 10000"]),
    ("deadline_ms = 200", "deadline = 200", ["embedding.deadline is unknown", "deadline_ms"]),
    ("num_gpu = 0", "num_gqu = 0", ["embedding.options.num_gqu is unknown", "num_gpu"]),
    ("[embedding]", "[[embedding]]", ["embedding", "takes a table"]),
    ('fast = ["small"]', 'quick = ["small"]', ["tiers.quick", "unknown", "fast"]),
    ('fast = ["small"]', 'fast = ["smal"]', ["tiers.fast", "'smal'", "small, large"]),
    ('fast = ["small"]', 'fast = "small"', ["tiers.fast", "list"]),
    ('fast = ["small"]', 'fast = ["small", "small"]', ["tiers.fast", "twice"]),
    ('fast = ["small"]', "fast = [[]]", ["tiers.fast", "small, large"]),
    ('orient = "fast"', 'orient = "balanced"', ["commands.orient", "'balanced'", "fast, deep, small, large"]),
    ('orient = "fast"', "orient = 1", ["commands.orient", "fast, deep"]),
    ('ours = "1"\n', "", ["settings[0].ours", "missing"]),
    ('why = "memory"', 'why = "memory"\nnote = "x"', ["settings[0].note", "unknown"]),
    ("[[settings]]", "[settings]", ["settings", "[[settings]]"]),
    ('description = "a test"', "description = [", ["not TOML"]),
]


@pytest.mark.parametrize(("old", "new", "said"), REFUSED, ids=[f"{n}-{case[2][0]}" for n, case in enumerate(REFUSED)])
def test_a_slip_is_refused_with_file_key_and_what_is_allowed(old: str, new: str, said: list[str]) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(changed(old, new), "mine")
    message = str(caught.value)
    assert "mine.toml" in message
    for words in said:
        assert words in message, message


def test_an_address_with_a_password_is_not_repeated() -> None:
    with pytest.raises(ProfileError) as caught:
        parse(changed("127.0.0.1:11434", "me:secret@127.0.0.1"), "mine")
    assert "secret" not in str(caught.value)


def runner(name: str, model: str, more: str = "", node: str = "desk") -> str:
    return (
        f'[runners.{name}]\nnode = "{node}"\nmodel = "{model}"\nquantisation = "Q4"\nnum_ctx = 4096\n'
        f"answer_tokens = 512\n{more}\n"
    )


@pytest.mark.parametrize("other", ["llama3.2:3b", "LLAMA3.2:3B"])
def test_a_model_has_one_runner_on_a_node(other: str) -> None:
    text = changed("[tiers]", runner("twin", other, 'kv_type = "q8_0"') + "[tiers]")
    with pytest.raises(ProfileError, match=r"mine.toml: runners.twin.model is already run by small on node desk"):
        parse(text, "mine")


def test_the_same_model_may_run_on_two_nodes() -> None:
    text = changed("[tiers]", runner("twin", "llama3.2:3b", node="rack") + "[tiers]")
    assert parse(text, "mine").runners["twin"].node == "rack"


@pytest.mark.parametrize(("more", "key"), [('kv_type = "f16"', "kv_type"), ('kv_type = "q8_0"\nslots = 2', "slots")])
def test_an_ollama_has_one_kv_type_and_slot_count_for_all_its_models(more: str, key: str) -> None:
    text = changed("[tiers]", runner("twin", "other", more) + "[tiers]")
    with pytest.raises(ProfileError, match=rf"runners.twin.{key} differs from small .*allowed: (q8_0|1)"):
        parse(text, "mine")


def test_a_node_may_be_there_for_embeddings_alone() -> None:
    alone = '[nodes.idle]\nkind = "openai"\nurl = "http://[::1]:1"\nclass = "local"\n'
    text = changed("[runners.small]", f"{alone}[runners.small]").replace(
        '[embedding]\nnode = "desk"', '[embedding]\nnode = "idle"'
    )
    assert parse(text.replace("options = { num_gpu = 0 }\n", ""), "mine").embedding == EmbeddingModel(
        "idle", "nomic-embed-text", 2048, "search_query: ", "search_document: ", 256, 200, -1
    )


def test_vectors_of_another_model_window_length_or_prefix_are_other_vectors() -> None:
    one = EmbeddingModel("desk", "nomic-embed-text", 2048, document_prefix="a: ")
    others = [
        replace(one, model="all-minilm"),
        replace(one, num_ctx=256),
        replace(one, dimensions=64),
        replace(one, document_prefix=""),
    ]
    assert len({one.id, *(other.id for other in others)}) == 5
    same = replace(one, node="rack", query_prefix="q: ", deadline_ms=10, keep_alive=0, options={"num_gpu": 0})
    assert same.id == one.id


@pytest.mark.parametrize(
    ("klass", "trusted", "sees"),
    [("local", False, True), ("lan", True, True), ("lan", False, False), ("cloud", False, False)],
)
def test_private_notes_go_to_this_machine_and_to_a_trusted_one(klass: str, trusted: bool, sees: bool) -> None:
    assert NodeConfig("n", "openai", "https://n", klass, trusted=trusted).sees_private is sees


def test_a_node_that_runs_nothing_is_refused() -> None:
    text = changed(
        "[runners.small]", '[nodes.idle]\nkind = "ollama"\nurl = "http://[::1]:1"\nclass = "local"\n[runners.small]'
    )
    with pytest.raises(ProfileError, match=r"nodes.idle runs nothing"):
        parse(text, "mine")


@pytest.mark.parametrize(
    ("text", "what"), [("", "nodes is missing"), ("nodes = 3", "nodes takes"), ("nodes = {a = 1}", "nodes.a")]
)
def test_what_is_no_profile_at_all_is_refused(text: str, what: str) -> None:
    with pytest.raises(ProfileError, match=what):
        parse(text, "mine")


def test_a_profile_without_tiers_is_refused() -> None:
    text = re.sub(r"\[tiers\].*?\[\[", "[[", WHOLE, flags=re.DOTALL)
    with pytest.raises(ProfileError, match="tiers is missing; it takes at least one of: fast, balanced, deep"):
        parse(text, "mine")


def test_text_that_nests_without_end_is_refused() -> None:
    with pytest.raises(ProfileError, match="not TOML"):
        parse("a = " + "[" * 100_000, "mine")


def test_one_s_own_profile_is_read_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert load(str(path)) == parse(WHOLE, "mine")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("no.toml", None, "No such file"),
        ("bytes.toml", b"\xff\xfe", "not UTF-8"),
        ("long.toml", b"#" * 1_000_001, "longer than"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_without_its_folder(
    tmp_path: Path, name: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ProfileError, match=said) as caught:
        load(str(tmp_path / name))
    assert name in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_an_unknown_name_lists_the_profiles_there_are() -> None:
    with pytest.raises(ProfileError, match=r"'rtx3081'; allowed: cluster, cpu, .*rtx3080, .* ends in .toml"):
        load("rtx3081")


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_profile_serves_every_command(name: str) -> None:
    profile = load(name)
    by_prompt = {"update"}  # its words decide, see `commands.routing.complexity`
    assert set(profile.commands) | by_prompt == {"orient", "update", "plan", "research", "validate", "ask"}
    assert set(profile.tiers) == {"fast", "balanced", "deep"}
    assert profile.description
    for setting in profile.settings:
        assert setting.ours
        assert setting.why
    json.dumps([dict(one.options) for one in profile.runners.values()])


def ours(profile: Profile) -> dict[str, str]:
    return {setting.name.removeprefix("OLLAMA_"): setting.ours for setting in profile.settings}


def test_the_default_profile_is_what_a_10_gb_card_was_planned_for() -> None:
    profile = load("rtx3080")
    small, middle, deep = (profile.runners[profile.tiers[tier][0]] for tier in ("fast", "balanced", "deep"))
    assert [(one.model, one.quantisation, one.num_ctx) for one in (small, middle, deep)] == [
        ("llama3.2:3b", "Q4_K_M", 7168),
        ("qwen2.5:7b", "Q4_K_M", 8192),
        ("qwen3:8b", "Q4_K_M", 16384),
    ]
    assert [one.keep_alive for one in (small, middle, deep)] == [-1, -1, "5m"]
    assert {one.kv_type for one in (small, middle, deep)} == {"q8_0"}
    assert not any(one.think or one.offload for one in (small, middle, deep))
    assert dict(profile.commands) == {
        "orient": "fast",
        "plan": "balanced",
        "research": "deep",
        "validate": "deep",
        "ask": "balanced",
    }


# --- the shipped profiles against the plan of memory

SEVEN = {"rtx3080", "rtx3080-seed", "rtx3070+3090", "rtx3090", "cpu", "cluster", "server-96gb"}


def test_the_profiles_there_are() -> None:
    assert set(shipped()) == SEVEN | {"rtx3080-headless"}


@pytest.mark.parametrize("embeds", [False, True], ids=["without embeddings", "with embeddings"])
@pytest.mark.parametrize("name", shipped())
def test_every_shipped_profile_fits_its_nodes(name: str, embeds: bool) -> None:
    profile = load(name)
    plan = make_plan(profile, embeds=embeds)
    assert [node.node.name for node in plan.nodes] == list(profile.nodes), "the memory of every node is planned"
    assert (plan.over, plan.disabled) == ({}, ())
    for node in plan.nodes:
        assert node.finding == ""
        assert set(node.order) == set(node.stay), "what stays can be loaded together"
        for seat in node.seats:
            assert seat.verdict == "fits", seat.why
            assert seat.need is not None
            assert seat.runner.offload == ("cpu" if seat.need.host else ""), "only what is declared is on the CPU"
            assert not seat.need.host or seat.tokens_per_second > 1


@pytest.mark.parametrize("name", shipped())
def test_a_profile_says_of_every_setting_what_it_counts_on(name: str) -> None:
    profile = load(name)
    said = ours(profile)
    assert list(said) == "MAX_LOADED_MODELS NUM_PARALLEL MAX_QUEUE FLASH_ATTENTION KV_CACHE_TYPE KEEP_ALIVE".split()
    for one in profile.runners.values():
        assert str(one.slots) == said["NUM_PARALLEL"]
        assert one.kv_type == said["KV_CACHE_TYPE"]
    assert said["FLASH_ATTENTION"] == "1"
    most = max(len(names) for node in make_plan(profile, embeds=True).nodes for names in node.together)
    assert int(said["MAX_LOADED_MODELS"]) == most, "as many as are ever there at once"


@pytest.mark.parametrize("name", shipped())
def test_no_window_is_longer_than_the_model_was_trained_for(name: str) -> None:
    for one in load(name).runners.values():
        facts = known(one.model, one.quantisation)
        assert facts is not None
        assert one.num_ctx <= facts.trained


def test_the_default_profile_fits_beside_a_desktop_that_takes_a_gigabyte() -> None:
    [node] = make_plan(load("rtx3080"), embeds=True).nodes
    assert node.node.memory is not None
    assert node.budget <= (node.node.memory.vram_gib - 0.5 - 1) * GIB
    assert node.order == ("qwen-7b", "llama-3b", "embedding")
    assert node.staying <= node.budget
    assert ("qwen-8b", "embedding") in node.together, "the deep one swaps in"
    [headless] = make_plan(load("rtx3080-headless")).nodes
    assert node.budget < headless.staying, "which may use more"


def test_the_models_first_recommended_run_the_commands_they_were_for() -> None:
    profile = load("rtx3080-seed")
    models = {command: profile.runners[runner].model for command, runner in profile.commands.items()}
    assert models == {
        "orient": "codellama:7b-instruct-q6_K",
        "update": "mistral:7b-instruct-v0.3-q6_K",
        "plan": "deepseek-coder:6.7b-instruct-q6_K",
        "validate": "deepseek-coder:6.7b-instruct-q6_K",
        "research": "codellama:13b-instruct-q4_K_M",
        "ask": "mistral:7b-instruct-v0.3-q6_K",
    }
    [node] = make_plan(profile).nodes
    seats = {seat.runner.name: seat for seat in node.seats}
    assert {name: seat.runner.num_ctx for name, seat in seats.items()} == {
        "codellama-7b": 8192,
        "mistral-7b": 16384,
        "deepseek-7b": 8192,
        "codellama-13b": 8192,
    }
    assert all(len(names) == 1 for names in node.together), "each change of model loads one anew"
    # What the file says had to give is what the plan says of it.
    changed = {
        "codellama-7b": replace(profile.runners["codellama-7b"], num_ctx=16384),
        "codellama-13b": replace(
            profile.runners["codellama-13b"], num_ctx=16384, offload="", options={"num_batch": 512}
        ),
    }
    [wished] = make_plan(replace(profile, runners={**profile.runners, **changed})).nodes
    over = {seat.runner.name: seat for seat in wished.seats if seat.verdict == "over"}
    assert set(over) == set(changed)
    assert over["codellama-7b"].need is not None
    assert over["codellama-7b"].need.card / GIB == pytest.approx(9.8, abs=0.1)
    assert over["codellama-13b"].need is not None
    assert over["codellama-13b"].need.card / GIB == pytest.approx(14.4, abs=0.1)
    assert [(fit.num_ctx, fit.kv_type) for fit in over["codellama-13b"].nearest] == [(3072, "q4_0")]


def test_every_key_is_explained_in_the_default_profile() -> None:
    text = (Path(__file__).parents[1] / "inference/profiles/rtx3080.toml").read_text("utf-8")
    tables = {
        "nodes.local": (NodeConfig, {"name", "klass", "memory"}),
        "nodes.local.memory": (NodeMemory, set()),
        "runners.llama-3b": (RunnerProfile, {"name"}),
        "embedding": (EmbeddingModel, set()),
    }
    for table, (kind, unnamed) in tables.items():
        part = text.split(f"[{table}]\n", 1)[1].split("\n[", 1)[0]
        for key in {field.name for field in fields(kind)} - unnamed:
            line = re.search(rf"^(# )?{key} = .*?# (.+)$", part, re.MULTILINE)
            assert line, f"{table}.{key} has no words of its own"
    for name in set(shipped()) - {"rtx3080"}:
        other = (Path(__file__).parents[1] / f"inference/profiles/{name}.toml").read_text("utf-8")
        assert "# Every key is explained in rtx3080.toml." in other


def test_another_address_reaches_every_local_ollama_and_no_other_node() -> None:
    profile = with_url(parse(WHOLE, "mine"), "http://localhost:9999/")
    assert profile.nodes["desk"].url == "http://localhost:9999"
    assert profile.nodes["desk"].klass == "local"
    assert profile.nodes["rack"] == parse(WHOLE, "mine").nodes["rack"]


@pytest.mark.parametrize(
    ("url", "klass"),
    [
        ("http://127.0.0.1:1", "local"),
        ("http://127.8.9.10:1", "local"),
        ("http://[::1]:1", "local"),
        ("http://0.0.0.0:1", "local"),
        ("http://LOCALHOST:1", "local"),
        ("http://ollama.localhost:1", "local"),
        ("http://host.docker.internal:1", "local"),
        ("http://192.168.1.4:1", "lan"),
        ("http://ollama:1", "lan"),
        ("http://notlocalhost:1", "lan"),
        ("http://127.0.0.1.evil.example:1", "lan"),
        ("http://localhost.evil.example:1", "lan"),
        ("https://8.8.8.8", "lan"),
    ],
)
def test_an_address_on_another_machine_is_no_longer_local_for_private_notes(url: str, klass: str) -> None:
    node = with_url(parse(WHOLE, "mine"), url).nodes["desk"]
    assert (node.klass, node.trusted) == (klass, False)


@pytest.mark.parametrize("url", ["localhost:11434", "", "http://", "http://a b", "file:///etc/passwd"])
def test_an_address_that_cannot_be_used_names_its_variable(url: str) -> None:
    with pytest.raises(ProfileError, match="KOS_OLLAMA_URL takes an address such as"):
        with_url(parse(WHOLE, "mine"), url)


def test_trust_is_given_to_lan_nodes_by_name() -> None:
    profile = with_url(parse(WHOLE, "mine"), "http://192.168.1.4:1")
    assert with_trust(profile, ["desk"]).nodes["desk"].trusted
    assert not with_trust(parse(WHOLE, "mine"), ["desk"]).nodes["desk"].trusted
    with pytest.raises(ProfileError, match=r"'attic' cannot be trusted; allowed: desk, rack"):
        with_trust(profile, ["attic"])
    cloud = parse(changed('class = "lan"', 'class = "cloud"').replace("trusted = true", ""), "mine")
    with pytest.raises(ProfileError, match=r"'rack' cannot be trusted; allowed: desk"):
        with_trust(cloud, ["rack"])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("llama3.2", "llama3.2:latest", True),
        ("llama3.2:3b", "llama3.2:1b", False),
        ("Llama3.2:3B", "llama3.2:3b", True),
        ("host:5000/team/m", "host:5000/team/m:latest", True),
        ("a", "b", False),
    ],
)
def test_a_model_s_name_without_a_tag_means_latest(one: str, other: str, same: bool) -> None:
    assert same_model(one, other) is same


# --- what the policy goes by

PRICED = """
role = "cloud"
mode_url = "http://10.0.0.2:18000/"
price_in = 2
price_out = 10.5
request_cap = 0.1
daily_cap = 1
"""


def test_roles_modes_prices_and_the_fail_soft_list_are_read() -> None:
    text = WHOLE.replace('class = "lan"', 'class = "cloud"').replace("trusted = true\n", PRICED)
    text = text.replace('description = "a test"', 'description = "a test"\nfail_soft = ["small", "large"]')
    profile = parse(text.replace("[tiers]", '[tiers]\nbig = ["large"]'), "mine")
    rack = profile.nodes["rack"]
    assert (rack.role, rack.mode_url) == ("cloud", "http://10.0.0.2:18000")
    assert (rack.price_in, rack.price_out, rack.request_cap, rack.daily_cap) == (2.0, 10.5, 0.1, 1.0)
    assert profile.fail_soft == ("small", "large")
    assert profile.tiers["big"] == ("large",)
    desk = profile.nodes["desk"]
    assert (desk.role, desk.mode_url, desk.price_in, desk.daily_cap) == ("primary", "", 0.0, 0.0)
    assert parse(WHOLE, "mine").fail_soft == ()


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ('role = "boss"', "nodes.rack.role is 'boss'; allowed: primary, backup, burst, cloud, human-only"),
        ('role = "cloud"', "nodes.rack.role is cloud, and the class is not; allowed: burst"),
        ('mode_url = "10.0.0.2:18000"', "nodes.rack.mode_url takes an address such as"),
        ("price_in = -1", "nodes.rack.price_in is -1; allowed: 0 to"),
        ("daily_cap = 1", "nodes.rack.daily_cap counts nothing without price_in and price_out"),
        ("request_cap = 1", "nodes.rack.request_cap counts nothing without"),
    ],
)
def test_what_the_policy_could_not_go_by_is_refused(new: str, said: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(WHOLE.replace("trusted = true\n", f"trusted = true\n{new}\n"), "mine")
    assert said in str(caught.value)


def test_substitutes_are_other_runners() -> None:
    small = 'quantisation = "Q4_K_M"\n'
    for name in ("small", "x"):
        with pytest.raises(ProfileError) as caught:
            parse(changed(small, f'{small}substitutes = ["{name}"]\n'), "mine")
        told = str(caught.value)
        assert told.endswith(f"runners.small.substitutes names {name!r}; allowed: large"), "not the runner itself"
    with pytest.raises(ProfileError, match="names large, which is no other runner of node desk"):
        parse(changed(small, f'{small}substitutes = ["large"]\n'), "mine")


def test_a_fail_soft_list_names_runners() -> None:
    for names, said in (('["x"]', "fail_soft names 'x'; allowed: small, large"), ('["small", "small"]', "twice")):
        with pytest.raises(ProfileError, match=re.escape(said)):
            parse(WHOLE.replace('description = "a test"', f"fail_soft = {names}"), "mine")
