"""The set-up of the plugin's tools, with programs that only say how they were called: once, again after harm, never twice."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.kos import ROOT
from tests.vaults import write

LOCK = '{"lockfileVersion": 3}'
NPM = """#!/bin/sh
echo "npm $*" >>"$LOG"
[ "$1" = --version ] && exit
mkdir -p node_modules/one
[ -z "${BREAKS:-}" ]
"""


class Checkout:
    """A checkout whose PATH holds what a test puts there, before what every system has."""

    def __init__(self, folder: Path) -> None:
        self.root = write(
            folder / "checkout",
            {"scripts/boot.sh": (ROOT / "scripts/boot.sh").read_bytes(), "requirements-dev.lock": "the lock\n"},
        )
        self.programs = folder / "programs"
        self.env_dir = folder / "envs"
        self.log = folder / "log"
        self.program("npm", NPM)

    def program(self, name: str, text: str, place: Path | None = None) -> None:
        folder = write(place or self.programs, {name: text})
        (folder / name).chmod(0o755)

    def sh(self, script: str, code: int = 0, **env: str) -> str:
        """What a script that sources the set-up says, and how it ends."""
        whole = f"set -eu; ROOT={shlex.quote(str(self.root))}; . scripts/boot.sh; {script}"
        given = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(self.env_dir),
            "KOS_ENV_DIR": str(self.env_dir),
            "LOG": str(self.log),
            **env,
        }
        ran = subprocess.run(
            ["sh", "-c", whole], cwd=self.root, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )  # fmt: skip
        assert ran.returncode == code, ran
        return ran.stdout

    @property
    def installs(self) -> int:
        return self.log.read_text().count("npm ci --ignore-scripts") if self.log.exists() else 0


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    found = Checkout(tmp_path)
    write(found.root / "plug", {"package-lock.json": LOCK, ".npmrc": "a=b\n", "src/main.ts": "one"})
    return found


def test_packages_are_installed_once_and_again_when_the_lock_changed(checkout: Checkout) -> None:
    assert f"at {checkout.root}/plug\n" in checkout.sh('boot_modules plug; echo "at $MODULES"')
    assert (checkout.root / "plug/node_modules/one").is_dir()
    assert checkout.sh("boot_modules plug") == ""
    assert checkout.installs == 1
    write(checkout.root / "plug", {"package-lock.json": LOCK + "\n", "node_modules/old": ""})
    checkout.sh("boot_modules plug")
    assert checkout.installs == 2
    assert not (checkout.root / "plug/node_modules/old").exists()


def test_an_interrupted_installation_is_made_anew(checkout: Checkout) -> None:
    assert "the next start tries again" in checkout.sh("boot_modules plug", code=1, BREAKS="yes")
    assert (checkout.root / "plug/node_modules/one").is_dir()
    checkout.sh("boot_modules plug")
    assert checkout.installs == 2
    checkout.sh("boot_modules plug")
    assert checkout.installs == 2


def test_packages_of_another_place_are_left_to_it(checkout: Checkout, tmp_path: Path) -> None:
    write(tmp_path / "shared", {"precious": ""})
    (checkout.root / "plug/node_modules").symlink_to(tmp_path / "shared")
    checkout.sh("boot_modules plug")
    assert not (checkout.root / "plug/node_modules").is_symlink()
    assert [file.name for file in (tmp_path / "shared").iterdir()] == ["precious"]


def test_without_a_lock_nothing_is_installed(checkout: Checkout) -> None:
    (checkout.root / "plug/package-lock.json").unlink()
    assert "plug/package-lock.json is missing" in checkout.sh("boot_modules plug", code=1)
    assert not checkout.installs


def test_a_folder_that_cannot_be_written_is_worked_on_as_a_copy(checkout: Checkout) -> None:
    write(checkout.root / "plug", {"node_modules/theirs": "", "dist/main.js": "", "gone.ts": ""})
    # As after `[ -w ]` said no, which it never says to root.
    script = 'mirror plug; modules_ready "$MODULES" || make_modules "$MODULES" 9<"$MODULES"; echo "at $MODULES"'
    copy = checkout.env_dir / "mirror/plug"
    told = checkout.sh(script)
    assert f"{checkout.root}/plug cannot be written: working in {copy}\n" in told
    assert told.endswith(f"at {copy}\n")
    assert {file.name for file in copy.iterdir()} == {".npmrc", "gone.ts", "node_modules", "package-lock.json", "src"}
    assert {file.name for file in (copy / "node_modules").iterdir()} == {"made-from.json", "one"}
    assert (copy.parent / "scripts/boot.sh").read_bytes() == (checkout.root / "scripts/boot.sh").read_bytes()
    write(checkout.root / "plug", {"src/main.ts": "two"})
    (checkout.root / "plug/gone.ts").unlink()
    checkout.sh(script)
    assert checkout.installs == 1
    assert (copy / "src/main.ts").read_text() == "two"
    assert not (copy / "gone.ts").exists()


def test_a_node_that_is_too_old_gives_way_to_that_of_the_environment(checkout: Checkout) -> None:
    write(checkout.env_dir / ".venv-dev", {"made-from.lock": "the lock\n"})
    environment = checkout.env_dir / ".venv-dev/bin"
    checkout.program("python", "#!/bin/sh\n", environment)
    checkout.program("node", "#!/bin/sh\nexit 1\n")
    assert "Node 20.19 or newer is needed" in checkout.sh("boot_node", code=1)
    checkout.program("node", "#!/bin/sh\n", environment)
    assert checkout.sh("boot_node; command -v node") == f"{environment}/node\n"
    checkout.program("node", "#!/bin/sh\n")
    assert checkout.sh("boot_node; command -v node") == f"{checkout.programs}/node\n"


@pytest.mark.parametrize(
    ("version", "fits"),
    [("18.20.4", 0), ("20.18.1", 0), ("20.19.0", 1), ("21.7.3", 0), ("22.12.0", 0), ("22.13.0", 1), ("23.11.1", 0), ("24.0.0", 1), ("26.1.0", 1)],
)  # fmt: skip
def test_which_node_fits(checkout: Checkout, version: str, fits: int) -> None:
    real = subprocess.run(["sh", "-c", "command -v node"], capture_output=True, text=True, check=False).stdout.strip()
    if not real:
        pytest.skip("no node on this machine")
    # The question that is put to it, answered by a Node that says it is another.
    script = f'#!/bin/sh\nexec {shlex.quote(real)} -e "process = {{ versions: {{ node: \\"{version}\\" }}, exit: process.exit }}; $2"\n'
    checkout.program("node", script)
    assert checkout.sh("node_fits && echo 1 || echo 0") == f"{fits}\n"


def test_chromium_has_several_names_and_may_be_named(checkout: Checkout, tmp_path: Path) -> None:
    path = f"{checkout.programs}:{tmp_path}"
    for program in ("sh", "id"):  # nothing of this machine but these
        (tmp_path / program).symlink_to(f"/bin/{program}")
    script = 'boot_chromium; echo "$CHROMIUM"'
    assert "please install chromium" in checkout.sh(script, code=1, PATH=path)
    for name in ("google-chrome", "chromium-browser", "chromium"):
        checkout.program(name, "#!/bin/sh\n")
        assert checkout.sh(script, PATH=path) == f"{checkout.programs}/{name}\n"
    checkout.program("my browser", "#!/bin/sh\n")
    assert (
        checkout.sh(script, KOS_CHROMIUM=str(checkout.programs / "my browser"), PATH=path)
        == f"{checkout.programs}/my browser\n"
    )
