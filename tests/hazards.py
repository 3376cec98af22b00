"""A vault in which every file that can hurt a reader stands beside ordinary notes; and what reading one of them costs.

Run: python -m tests.hazards FOLDER [NAME...] reads each file in a process of its own and prints one line of JSON for it:
its name, the CPU time in seconds, the memory it took at its peak in MiB, and its flags. Needs fork: Linux, macOS.
"""

import json
import os
import resource
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from context.index import Index
from context.vault import Vault

MIB = 1 << 20


@dataclass(frozen=True)
class Hazard:
    """A hostile file: its bytes, and a part of the flag that it must get; "" when it is only odd, and nothing is wrong.

    `skipped` files are no notes at all.
    """

    data: Callable[[], bytes]
    flag: str = ""
    skipped: bool = False


def _filled(part: str | bytes, size: int = 2 * MIB) -> Callable[[], bytes]:
    """As much of a part, again and again, as makes a file of that size."""
    data = part.encode() if isinstance(part, str) else part
    return lambda: data * (size // len(data))


def _front(properties: str, body: str = "body [[Home]]") -> Callable[[], bytes]:
    return f"---\n{properties}\n---\n{body}\n".encode


def _canvas(node: str, count: int) -> Callable[[], bytes]:
    return ('{"nodes":[' + ",".join([node] * count) + "]}").encode


MANY = "too much"
YAML = "frontmatter"
# What a text may be filled with to make a reader slow, or large.
FILLERS = {
    "brackets": "[", "link openings": "[[", "image openings": "![", "link middles": "](", "links": "[[Home]] ",
    "markdown links": "[a](Home.md) ", "backticks": "`", "uneven backticks": "`` ` ", "fences": "```\n", "tildes": "~~~\n",
    "dollars": "$", "formulas": "$a$ ", "comments": "%% ", "html comments": "<!--", "headings": "# a\n",
    "empty headings": "#\n", "underlined headings": "a\n=\n", "endless heading": "# ", "tags": "#a ", "tasks": "- [ ] a\n",
    "dated tasks": "- [x] a [due:: 2025-01-01] 🔁 every day\n", "lists": "- a\n", "dashes": "-\n", "rules": "---\n",
    "quotes": "> ", "tables": "| a | b |\n|---|---|\n", "fields": "a:: b\n", "bracketed fields": "[a:: b] ",
    "block ids": "a ^b\n", "blank lines": "\n", "blanks": " ", "tabs": "\t", "backslashes": "\\", "one word": "x",
    "queries": "`= this.file.name` ", "query blocks": "```dataview\nLIST\n```\n", "base blocks": "```base\nviews:\n```\n",
    "everything": "`[[$%%<!--#", "sentences": "A line as people write it, of a dozen words or a few more.\n",
}  # fmt: skip


def files() -> dict[str, Hazard]:
    """Every hostile file by its path."""
    nested = b"".join(b"  " * (n % 400) + b"- [ ] a\n" for n in range(50_000))
    laughs = "\n".join(["b0: &b0 {k: v}", *(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 10))])
    merges = "\n".join(
        [
            "b0: &b0 {k: v}",
            *(f"b{n}: &b{n}\n  <<: [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 10)),
        ]
    )
    odd = {f"fill/{name}.md": Hazard(_filled(part), MANY) for name, part in FILLERS.items()}
    odd |= {
        f"after/{name}.md": Hazard(lambda part=part: b"- a\n" + part.encode() * (MIB // len(part.encode())))  # type: ignore[misc]
        for name, part in (("item and blank lines", "\n"), ("item and indents", " \n"))
    }
    return {
        **odd,
        "yaml/deep mappings.md": Hazard(_front("a: " + "{a: " * 24_000), YAML),
        "yaml/deep lists.md": Hazard(_front("a: " + "[" * 30_000), YAML),
        "yaml/deep and closed.md": Hazard(_front("a: " + "[" * 3000 + "]" * 3000), YAML),
        "yaml/deep indents.md": Hazard(_front("\n".join(" " * n + "a:" for n in range(300))), YAML),
        "yaml/billion laughs.md": Hazard(_front(laughs), YAML),
        "yaml/merge keys.md": Hazard(_front(merges), YAML),
        "yaml/long list.md": Hazard(_front("a: [" + "1, " * 350_000 + "]"), ""),
        "yaml/colon.md": Hazard(_front("title: a: b"), YAML),
        "yaml/template.md": Hazard(_front("date: {{date}}"), YAML),
        "yaml/tab.md": Hazard(_front("a:\n\t- b"), YAML),
        "yaml/twice.md": Hazard(_front("a: 1\na: 2"), YAML),
        "yaml/odd key.md": Hazard(_front("? [a, b]\n: c"), YAML),
        "yaml/scalar.md": Hazard(_front("only words"), YAML),
        "yaml/python.md": Hazard(_front("a: !!python/object/apply:os.system [exit]"), ""),
        "yaml/odd values.md": Hazard(
            _front("day: 2025-13-45\nbig: " + "9" * 5000 + "\nnan: .nan\ntime: 12:30:00\nno: no\nn: 010\nnull: ~"), ""
        ),
        "yaml/never closed.md": Hazard(lambda: b"---\na: b\n[[Home]]\n"),
        "yaml/many keys.md": Hazard(_front("\n".join(f"k{n}: v" for n in range(7000)))),
        "yaml/long.md": Hazard(_front("\n".join(f"key{n}: value" for n in range(20_000))), YAML),
        "yaml/wall in front.md": Hazard(lambda: b"---\nprivate: true\n" + b"\n" * 60_000 + b"---\n[[Home]]\n", MANY),
        "bytes/nul.md": Hazard(lambda: b"a\0b", "binary"),
        "bytes/program.md": Hazard(lambda: bytes(range(256)) * 4000, "binary"),
        "bytes/not utf-8.md": Hazard(lambda: b"caf\xe9 [[Home]]", "encoding"),
        "bytes/surrogate.md": Hazard(lambda: b"a \xed\xa0\x80 [[Home]]", "encoding"),
        "bytes/utf-16.md": Hazard(lambda: "[[Home]]".encode("utf-16"), "encoding"),
        "bytes/half utf-16.md": Hazard(lambda: "[[Home]]".encode("utf-16")[:-1], "encoding"),
        "bytes/all bad.md": Hazard(_filled(b"\xff", MIB), "encoding"),
        "bytes/mark and cr.md": Hazard(lambda: b"\xef\xbb\xbf---\r\na: 1\r\n---\r\n# H\r\n[[Home]]\r\n"),
        "bytes/empty.md": Hazard(lambda: b""),
        "size/one line of 10 MB.md": Hazard(_filled("word and word ", 10 * MIB), MANY),
        "size/chinese.md": Hazard(lambda: "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(MIB)).encode(), MANY),
        "size/new words.md": Hazard(lambda: " ".join(f"w{n:x}" for n in range(MIB)).encode(), MANY),
        "size/wide.md": Hazard(("😀" + " ".join(f"w{n:x}" for n in range(MIB // 4))).encode, MANY),
        "size/100,000 headings.md": Hazard(lambda: b"".join(b"%s h%d\n" % (b"#" * (n % 6 + 1), n) for n in range(100_000)), MANY),
        "size/long headings.md": Hazard(
            lambda: b"".join(b"#" * n + b" " + b"x" * 4000 + b"\n" for n in range(1, 6)) + b"###### a\n" * 20_000
        ),
        "size/endless heading over queries.md": Hazard(lambda: b"# " + b"x" * 500_000 + b"\n" + b"`= 1`\n" * 10_000),
        "size/50,000 links.md": Hazard(lambda: b"".join(b"- [[n%d]]\n" % n for n in range(50_000)), MANY),
        "size/nested.md": Hazard(lambda: nested, MANY),
        "board/broken.canvas": Hazard(lambda: b'{"nodes": [{"file": "Home.md"', "canvas"),
        "board/no list.canvas": Hazard(lambda: b'{"nodes": 7}', "canvas"),
        "board/list.canvas": Hazard(lambda: b"[1, 2]", "canvas"),
        "board/deep.canvas": Hazard(_filled("[", MIB), "canvas"),
        "board/odd nodes.canvas": Hazard(lambda: b'{"nodes": [1, null, {"file": 3}, {"text": "[[Home]]"}]}'),
        "board/100,000 nodes.canvas": Hazard(_canvas('{"id":"1","type":"file","file":"Home.md"}', 100_000), "canvas"),
        "board/empty nodes.canvas": Hazard(_canvas("{}", MIB // 3), "canvas"),
        "board/lists.canvas": Hazard(_canvas("[]", MIB // 3 - 20)),
        "board/texts.canvas": Hazard(_canvas('{"text":"' + "[[Home]] #a " * 100 + '"}', 600), ""),
        "board/long number.canvas": Hazard(lambda: b'{"nodes":' + b"1" * 500_000 + b"}", "canvas"),
        "base/broken.base": Hazard(lambda: b"views: [\n  - x"),
        "base/deep.base": Hazard(lambda: b"filters: " + b"{and: [" * 10_000),
        "base/laughs.base": Hazard(laughs.encode),
        "base/huge.base": Hazard(_filled("a: b\n"), MANY),
        "base/views.base": Hazard(lambda: b"views:\n" + b"  - type: table\n    name: a\n" * 2000),
        "base/hostile.base": Hazard(
            lambda: b"filters:\n  and:\n    - '/(a+)+$/.matches(file.name + \"" + b"a" * 60 + b"!\")'\nviews:\n  - type: table\n"
        ),
        "queries/regex.md": Hazard(
            lambda: b'```dataview\nLIST WHERE regexmatch("(a+)+$", "' + b"a" * 60 + b'!")\n```\n'
            b'```dataview\nLIST WHERE regextest("(a|aa)+$", "' + b"a" * 60 + b'!")\n```\n'
        ),
        "queries/product.md": Hazard(
            lambda: b"```dataview\nTABLE rows\nFLATTEN file.lists AS a\nFLATTEN file.lists AS b\nFLATTEN file.lists AS c\n```\n"
            + b"- item\n" * 3000
        ),
        "queries/deep.md": Hazard(lambda: b"```dataview\nLIST WHERE " + b"(" * 20_000 + b"1\n```\n"),
        "queries/long.md": Hazard(lambda: b"```dataview\nLIST WHERE " + b"a + " * 100_000 + b"1\n```\n"),
        "queries/repeats.md": Hazard(
            lambda: b'```dataview\nLIST WHERE join(array(padleft("a", 1000000000, "b"))) = ""\n```\n'
        ),
        "links/loop a.md": Hazard(lambda: b"[[loop b]] ![[loop a]]"),
        "links/loop b.md": Hazard(lambda: b"[[loop a]] ![[loop b]]"),
        "links/ways out.md": Hazard(lambda: b"[[../../etc/passwd]] ![[.obsidian/app.json]] [[/]] [[..]] [a](..%2f..%2fx) [[a\\b]]"),
        "links/twin/Same.md": Hazard(lambda: b"[[same]]"),
        "links/twin/same.md": Hazard(lambda: b"[[Same]]"),
        f"links/{unicodedata.normalize('NFC', 'Café')}.md": Hazard(lambda: b"[[Home]]"),
        f"links/{unicodedata.normalize('NFD', 'Café')}.md": Hazard(lambda: b"[[Home]]"),
        "links/Home.sync-conflict-20250914-101112-ABCDEFG.md": Hazard(lambda: b"x", skipped=True),
        "links/Home (Lena's conflicted copy 2025-09-14).md": Hazard(lambda: b"x", skipped=True),
        "names/" + "n" * 251 + ".md": Hazard(lambda: b"[[Home]]"),
        "names/a:b.md": Hazard(lambda: b"[[Home]]"),
        "names/CON.md": Hazard(lambda: b"[[Home]]"),
        "names/dot..md": Hazard(lambda: b"[[Home]]"),
        "names/line\nbreak.md": Hazard(lambda: b"[[Home]]"),
        "names/[[x]] #^|%.md": Hazard(lambda: b"[[Home]]"),
        "names/\u202egnp.md": Hazard(lambda: b"[[Home]]"),
        "names/ .md": Hazard(lambda: b"[[Home]]"),
        "names/note.md/inside.md": Hazard(lambda: b"[[Home]]"),
    }  # fmt: skip


ORDINARY: Mapping[str, str] = {
    "Home.md": "# Home\n[[Project]] and [[deep/Note|a note]], unlike gooseberries\n",
    "Project.md": "---\nstatus: active\n---\n# Project\n- [ ] plant the quince\n[[Home]]\n",
    "deep/Note.md": "#garden medlar [[Nowhere]]\n",
    **{
        f"{folder}/Beside.md": "[[Home]] persimmon\n"
        for folder in ("fill", "yaml", "bytes", "size", "board", "queries")
    },
}


def make(root: Path) -> dict[str, Hazard]:
    """Make the vault: the ordinary notes, the hostile files, and what only a file system can hold; returns the files."""
    found = files()
    for path, text in ORDINARY.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, hazard in found.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(hazard.data())
    odd = root / "odd"
    odd.mkdir()
    (odd / "ring").symlink_to(root)
    (odd / "self.md").symlink_to("self.md")
    (odd / "dangling.md").symlink_to("nowhere.md")
    (odd / "out.md").symlink_to("/etc/hostname")
    (odd / "twice.md").symlink_to(root / "Home.md")
    os.mkfifo(odd / "pipe.md")
    with open(os.fsencode(odd) + b"/no text \xff.md", "wb") as file:  # noqa: PTH123 - a name that is no text is no Path
        file.write(b"[[Home]]")
    folder = odd
    for number in range(60):
        folder /= f"level {number}"
    folder.mkdir(parents=True)
    (folder / "bottom.md").write_text("[[Home]] loquat")
    with (odd / "holes.md").open("wb") as file:  # 100 MB that take no room
        file.truncate(100 * MIB)
    (odd / "locked.md").write_text("[[Home]]")
    (odd / "locked.md").chmod(0)
    (odd / "shut").mkdir()
    (odd / "shut" / "inside.md").write_text("[[Home]]")
    (odd / "shut").chmod(0)
    return found


def cost(root: Path, place: Path) -> dict[str, object]:
    """What a vault of one note costs, indexed on disk: CPU seconds and peak memory in MiB, in a process of its own."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
            _forget_peak()
            before, began = _memory("VmRSS"), time.process_time()
            vault = Vault(root, Index(place))
            took = time.process_time() - began
            flags = [flag for note in vault.snapshot.notes.values() for flag in note.flags]
            report = {"seconds": round(took, 3), "mib": round((_memory("VmHWM") - before) / MIB, 1), "flags": flags}
            os.write(theirs, json.dumps(report).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    report = json.loads(said) if said else {"seconds": 99.0, "mib": 9999.0, "flags": ["the process died"]}
    return report | {"disk": round(place.stat().st_size / MIB, 1) if place.exists() else 0.0}


def _forget_peak() -> None:
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """A figure of this process' memory, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


def main(folder: Path, names: list[str]) -> None:
    """Measure the files one by one."""
    for number, (path, hazard) in enumerate(files().items()):
        if (names and path not in names) or hazard.skipped:
            continue
        root = folder / f"{number}" / "vault"
        root.mkdir(parents=True)
        (root / f"One{Path(path).suffix}").write_bytes(hazard.data())
        print(json.dumps({"name": path} | cost(root, folder / f"{number}" / "index.sqlite")), flush=True)
        for file in sorted((folder / f"{number}").rglob("*"), reverse=True):
            file.unlink() if file.is_file() else file.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
