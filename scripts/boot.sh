# Set-up that kos and check share: from a machine with nothing but its base to an environment locked by hashes.
#
# Sourced by a script that runs under `set -eu` and has set ROOT to the checkout. Gives it
#   boot_env NAME LOCK          PYTHON = the interpreter of environment NAME, made from the lock file LOCK unless it is there
#   boot_uv                     UV = a uv
#   boot_program PROGRAM DEB    a program of a Debian package, installed unless it is there
#   boot_library LIBRARY DEB    the same for a shared library
# Words go to stderr, standard input stays the caller's, and nothing is written in the caller's folder.
#
# Environment: KOS_ENV_DIR (where environments lie, else the checkout, else the cache), KOS_PYTHON (which Python to use).

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
