#!/bin/sh
# Makes the wheels of which a gate's venv is made: idgate's own, and everything it needs.
#
# The one way by which others' code comes to a gate: `setup.sh install` and the Debian package both go it.
# Only wheels are taken, and only such whose hash stands in packaging/requirements-*.lock; the one program of
# others that runs here is the build backend, locked likewise, on a copy of the source in the caller's own
# folder. Nothing is built that was fetched as source.
#
# usage: wheels.sh --lock          print the lock file of this Python, or say that there is none
#        wheels.sh WORK OUT [KEPT]
#   WORK  a folder of the caller's alone, as mktemp -d makes it; the caller removes it
#   OUT   where the wheels go
#   KEPT  wheels of an earlier run, the backend's in KEPT/backend: where all is there, the index is not asked
#
# The backend's wheel is left in WORK/backend.
#
# PYTHON names the interpreter (/usr/bin/python3). With PIP_NO_DEPS=1 only idgate's own wheel is made. PART=desk
# takes the lock of a desk instead of a gate's.
# Exit 1: something could not be fetched or built; 2: there is no lock file for this Python.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$here/..
python=${PYTHON:-/usr/bin/python3}

minor=$("$python" -I -c 'import sys; print(sys.version_info.minor)')
part=${PART:+$PART-}
lock=$here/requirements-${part}cp3$minor.lock
if [ ! -f "$lock" ]; then
    known=$(cd "$here" && echo requirements-cp3*.lock | sed 's/requirements-cp3\([0-9]*\)\.lock/3.\1/g')
    echo "idgate: no lock file for Python 3.$minor (there is: $known), and nothing is installed unlocked;" \
        "the head of packaging/requirements-cp313.lock says how one is made" >&2
    exit 2
fi
if [ "$1" = --lock ]; then
    echo "$lock"
    exit 0
fi

work=$1 out=$2 kept=${3:-/nonexistent}
alone=${PIP_NO_DEPS:-0}
unset PIP_NO_DEPS PYTHONPATH PYTHONHOME # the backend runs in a process that -I does not reach
export TMPDIR="$work" # pip's own scratch files, too
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
failed() { echo "idgate: $*; its own words are above" >&2; exit 1; }

pip() { "$work/venv/bin/python" -I -m pip "$@"; }
fetch() { # LOCK TO KEPT
    set -- "$@" download --quiet --only-binary :all: --require-hashes -r "$1" --dest "$2"
    kept_here=$3
    shift 3
    if [ -d "$kept_here" ] && pip "$@" --no-index --find-links "$kept_here" 2>/dev/null; then return 0; fi
    pip "$@" || failed "pip could not fetch what packaging/*.lock names"
}

"$python" -I -m venv "$work/venv" || failed "cannot make a venv"
mkdir -p "$out" "$work/source"
fetch "$here/requirements-build.lock" "$work/backend" "$kept/backend"
pip install --quiet --no-index --no-deps "$work"/backend/*.whl || failed "cannot install the build backend"
# A copy, so that the build leaves nothing in the checkout and takes nothing old from it.
for part in agent hal models pyproject.toml README.md LICENSE; do cp -r "$source/$part" "$work/source/"; done
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir "$out" "$work/source" ||
    failed "cannot build idgate's wheel"
if [ "$alone" != 1 ]; then fetch "$lock" "$out" "$kept"; fi
