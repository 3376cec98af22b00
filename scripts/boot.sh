# Set-up that kos, check and scripts/plugin share: from a machine with nothing but its base to environments locked by
# hashes.
#
# Sourced by a script that runs under `set -eu` and has set ROOT to the checkout. Gives it
#   boot_env NAME LOCK          PYTHON = the interpreter of environment NAME, made from the lock file LOCK unless it is there
#   boot_uv                     UV = a uv
#   boot_program PROGRAM DEB    a program of a Debian package, installed unless it is there
#   boot_library LIBRARY DEB    the same for a shared library
#   boot_node                   a node and an npm on the PATH that are new enough
#   boot_modules FOLDER         MODULES = this folder of the checkout with its node_modules, or a copy that can be written
#   boot_chromium               CHROMIUM = a Chromium
# Words go to stderr, standard input stays the caller's, and nothing is written in the caller's folder.
#
# Environment: KOS_ENV_DIR (where environments lie, else the checkout, else the cache), KOS_PYTHON (which Python to use),
# KOS_CHROMIUM (which Chromium).

boot_place=${KOS_ENV_DIR:-$ROOT}
case $boot_place in /*) ;; *) boot_place=$PWD/$boot_place ;; esac

say() { printf 'set-up: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# The stamp is a copy of the lock file and is written last: what an interrupted run left has none and is made anew.
env_ready() { # ENV LOCK
  [ -x "$1/bin/python" ] && cmp -s "$1/made-from.lock" "$2"
}

boot_env() { # NAME LOCK
  PYTHON=$boot_place/$1/bin/python
  env_ready "$boot_place/$1" "$ROOT/$2" && return
  [ -f "$ROOT/$2" ] || die "$2 is missing from $ROOT"
  choose_place
  PYTHON=$boot_place/$1/bin/python
  env_ready "$boot_place/$1" "$ROOT/$2" && return
  make_env "$boot_place/$1" "$ROOT/$2" </dev/null 9<"$boot_place"
}

# A checkout on a read-only medium keeps its environments, and the bytecode Python would write beside the sources, in the
# person's cache: one folder per checkout.
choose_place() {
  if [ -z "${KOS_ENV_DIR:-}" ] && ! [ -w "$ROOT" ]; then
    boot_place=${XDG_CACHE_HOME:-${HOME:?is not set: set it, or KOS_ENV_DIR}/.cache}/knowledge-os
    boot_place=$boot_place/$(printf '%s' "$ROOT" | cksum | cut -d ' ' -f 1)
    export PYTHONPYCACHEPREFIX="$boot_place/bytecode"
  fi
  mkdir -p "$boot_place" || die "cannot write to $boot_place: KOS_ENV_DIR names another folder"
  boot_place=$(CDPATH='' cd -- "$boot_place" && pwd -P)
}

make_env() { # ENV LOCK; file descriptor 9 is the folder of the environments
  find_uv
  one_at_a_time
  env_ready "$1" "$2" && return
  say "preparing ${1##*/}, once (some seconds)"
  find_tools
  rm -rf "$1"
  # From the checkout, so that the settings of a project in the caller's folder do not count.
  "$UV" --directory "$ROOT" venv -q -p "$BASE_PYTHON" "$1" >&2 || die "cannot make $1"
  "$UV" --directory "$ROOT" pip install -q -p "$1" --require-hashes --only-binary :all: --compile-bytecode -r "$2" >&2 ||
    die "cannot install the packages of ${2##*/}: the next start tries again"
  cp "$2" "$1/made-from.lock"
}

# The lock is the kernel's, on the folder itself: it ends with its holder, so none is ever left behind or stale.
# Every Debian has flock; elsewhere Python takes the lock for this shell. On a file system without such locks, none is held.
one_at_a_time() {
  if command -v flock >/dev/null 2>&1; then
    flock -n 9 2>/dev/null && return
    say "waiting for another set-up of this folder"
    flock 9 || true
  elif find_python; then
    "$BASE_PYTHON" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' || true
  fi
}

# UV and BASE_PYTHON = what makes environments, installed where the machine has none.
find_tools() {
  find_python || apt_install python3 python3-venv
  find_python || die "Python 3.11 or newer is needed${KOS_PYTHON:+, and KOS_PYTHON=$KOS_PYTHON is none}"
  [ -n "$UV" ] || make_uv
}

# UV = the machine's own uv, else empty.
find_uv() {
  UV=
  if uv --version >/dev/null 2>&1; then UV=uv; fi
}

# BASE_PYTHON = a Python that can run the program and make an environment with pip, as Debian's cannot before
# python3-venv is there; a uv needs no pip. Its real path: when the system replaces it, the environment is made anew.
find_python() {
  if [ -n "${KOS_PYTHON:-}" ]; then set -- "$KOS_PYTHON"; else set -- python3 python3.14 python3.13 python3.12 python3.11; fi
  need=ensurepip
  [ -z "$UV" ] || need=venv
  for boot_name; do
    BASE_PYTHON=$("$boot_name" -c "
import $need, os, sys
assert sys.version_info >= (3, 11)
print(os.path.realpath(sys.executable))" 2>/dev/null) && return
  done
  return 1
}

# uv by its own lock file, in an environment of its own: so that no change of the others can remove it.
make_uv() {
  UV=$boot_place/.uv/bin/uv
  env_ready "$boot_place/.uv" "$ROOT/requirements-uv.lock" && return
  rm -rf "$boot_place/.uv"
  "$BASE_PYTHON" -m venv "$boot_place/.uv" >&2 || die "cannot make $boot_place/.uv"
  PIP_USER=0 "$boot_place/.uv/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
    --require-hashes --only-binary :all: -r "$ROOT/requirements-uv.lock" >&2 ||
    die "cannot install uv: the next start tries again"
  cp "$ROOT/requirements-uv.lock" "$boot_place/.uv/made-from.lock"
}

boot_uv() {
  choose_place
  find_uv
  find_tools </dev/null
}

boot_program() { # PROGRAM DEB
  command -v "$1" >/dev/null 2>&1 || apt_install "$2" </dev/null
}

boot_library() { # LIBRARY DEB
  PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -q -F "$1" || apt_install "$2" </dev/null
}

# The machine's own Node, else the one that comes as a package of the environment for development: Debian 12 has Node 18.
boot_node() {
  node_fits && return
  boot_env .venv-dev requirements-dev.lock
  export PATH="${PYTHON%/*}:$PATH"
  node_fits || die "Node 20.19 or newer is needed, with npm"
}

# What vitest, rolldown and jsdom run on.
node_fits() {
  node -e '
const [major, minor] = process.versions.node.split(".").map(Number)
process.exit(major >= 24 || (major === 22 && minor >= 13) || (major === 20 && minor >= 19) ? 0 : 1)' >/dev/null 2>&1 &&
    npm --version >/dev/null 2>&1
}

# Here too the stamp is a copy of the lock file that is written last.
modules_ready() { # FOLDER
  cmp -s "$1/node_modules/made-from.json" "$1/package-lock.json"
}

boot_modules() { # FOLDER
  MODULES=$ROOT/$1
  [ -f "$MODULES/package-lock.json" ] || die "$1/package-lock.json is missing from $ROOT"
  [ -w "$MODULES" ] || mirror "$1"
  modules_ready "$MODULES" || make_modules "$MODULES" </dev/null 9<"$MODULES"
}

make_modules() { # FOLDER; file descriptor 9 is the folder
  find_uv
  one_at_a_time
  modules_ready "$1" && return
  say "preparing the packages of ${1##*/}, once (some seconds)"
  rm -rf "$1/node_modules"
  (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier >&2 9<&-) ||
    die "cannot install the packages of ${1##*/}/package-lock.json: the next start tries again"
  cp "$1/package-lock.json" "$1/node_modules/made-from.json"
}

# What is built in a checkout that cannot be written is built in a fresh copy where the environments lie, with links to the
# rest of the checkout around it.
mirror() { # FOLDER
  choose_place
  MODULES=$boot_place/mirror/$1
  say "$ROOT/$1 cannot be written: working in $MODULES"
  mkdir -p "$MODULES"
  find "$MODULES" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
  tar -C "$ROOT/$1" --exclude ./node_modules --exclude ./dist -cf - . | tar -C "$MODULES" -xf - -m
  chmod -R u+w "$MODULES"
  for boot_name in "$ROOT"/*; do
    [ "$boot_name" = "$ROOT/$1" ] || ln -sfn "$boot_name" "$boot_place/mirror/${boot_name##*/}"
  done
}

boot_chromium() {
  find_chromium || apt_install chromium </dev/null
  find_chromium || die "Chromium is needed${KOS_CHROMIUM:+, and KOS_CHROMIUM=$KOS_CHROMIUM is none}"
}

find_chromium() {
  if [ -n "${KOS_CHROMIUM:-}" ]; then set -- "$KOS_CHROMIUM"; else
    set -- chromium chromium-browser google-chrome '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
  fi
  for boot_name; do
    CHROMIUM=$(command -v "$boot_name") && return
  done
  return 1
}

# Its output is shown only when it fails. A broken third-party source makes the update fail and need not matter, and an
# earlier run that was cut off leaves packages to configure.
apt_install() { # DEB...
  command -v apt-get >/dev/null 2>&1 || die "please install $*: this system has no apt-get"
  boot_sudo=
  if [ "$(id -u)" != 0 ]; then
    boot_sudo=sudo
    command -v sudo >/dev/null 2>&1 || die "please install $*: this needs root, and there is no sudo"
  fi
  say "installing $* with ${boot_sudo:+sudo }apt-get"
  boot_log=$({
    $boot_sudo dpkg --configure -a || true
    $boot_sudo apt-get -q update || true
    $boot_sudo env DEBIAN_FRONTEND=noninteractive \
      apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
  } 2>&1 9<&-) || die "apt-get cannot install $*
$boot_log"
}
