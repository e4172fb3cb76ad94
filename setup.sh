#!/usr/bin/env bash
# The one door: installs what it needs on a bare Debian 12/13 or Raspberry Pi OS and does the job.
# Asks nothing. Runs as root or with sudo. A second run needs no network.
set -euo pipefail
exec 3>&1 # where a dry run prints, also steps whose own output goes elsewhere

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${IDGATE_VENV:-$here/.venv}
dry=0
root=
units="idgate-gatekeeper.service idgate.service"
run_apt="libzbar0 python3 python3-venv"
test_apt="cpio mosquitto procps systemd"
pi_apt="python3-picamera2"
tree_apt="debootstrap debian-archive-keyring python3"
board_apt="device-tree-compiler e2fsprogs iproute2 openssl qemu-system-arm qemu-user-static qemu-utils"

usage() {
    cat <<'TXT'
usage: ./setup.sh [--dry-run] COMMAND [ARGUMENT ...]

  demo [--fast] [--broker URL]   play a day at two simulated gates, on real daemon code
  test [PYTEST ARGUMENT ...]     the whole test suite, with a real Mosquitto
  check                          ruff, ruff format, mypy --strict, the layers of .importlinter
  bench [FILE ...]               the benchmarks: ratios, measured in one run
  bench --callgrind [--arm64]    instructions counted, against the reference; for a Pi's core too
  bench --report DIR [--page] [--peers] [--callgrind] [--arm64]   tables and plots in DIR
  fuzz SECONDS                   coverage-guided fuzzing of codes, trust files and messages
  chaos [ARGUMENT ...]           brokers, collectors and gates killed at random; nothing may be lost
                                 (50,000 events; --postgresql, --rabbitmq: with those servers)
  mutate [--sample N] [MODULE ...]   mutation testing of the cores: all mutants, or N drawn by lot;
                                 --survivors: only those that the last run did not kill
  soak [--hours 24] [--seed N]   a day of gate life in minutes, with people, faults and invariants
  picamera [--fresh]             the camera driver on the real picamera2, in a Debian tree (root)
  emulated-pi [--page] [--fresh] a whole Raspberry Pi in QEMU with the agent on it, checked from
                                 outside: pins, UART, watchdog, fleet (root; some minutes)
  licences                       the licence of every dependency; exit 1 where one is not stated
  sbom [FILE]                    software bill of materials, CycloneDX 1.6 JSON
  arm64 [--fresh] [RELEASE ...]  installed, tested and packaged in Debian arm64 trees, emulated:
                                 bookworm and trixie
  deb [DIRECTORY]                a Debian package for this machine's kind, dependencies inside
  install [--root DIR]           install and enable the service on this machine (a Raspberry Pi)
  uninstall [--root DIR] [--purge]   undo install; --purge removes settings and state too

  --dry-run   print every step, do none of them
  --root DIR  install into a directory tree instead of this machine

TXT
}

say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 2; }

step() { # do a step, or print it
    if [ "$dry" = 1 ]; then
        { printf '+'; printf ' %q' "$@"; printf '\n'; } >&3
    else
        "$@"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then step "$@"
    elif command -v sudo >/dev/null; then step sudo -n "$@" || die "needs root: run it with sudo"
    else die "needs root for: $*"; fi
}

need_apt() { # packages that are missing, installed quietly
    local missing=() package here_now
    # Also by what they provide: trixie's libzbar0t64 is the libzbar0 that is asked for.
    here_now=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}, ${Provides}\n' 2>/dev/null | grep '^ii' || true)
    for package in "$@"; do
        grep -qE "[ ,]$package([ ,]|\$)" <<<"$here_now" || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null || die "needs apt-get for: ${missing[*]}"
    say "installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        "${missing[@]}" >&2
}

system_python() { # Debian's own first: apt's camera packages belong to it
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    [ "$dry" = 1 ] && { echo /usr/bin/python3; return 0; }
    die "needs Python 3.11 or newer (Debian 12 or Raspberry Pi OS bookworm, or later)"
}

make_venv() { # EXTRA: a venv beside this file, made once for a state of pyproject.toml
    local extra=$1 python stamp want
    python=$(system_python)
    stamp=$venv/.idgate-$extra
    want=$("$python" -V 2>&1 || true; sha256sum <"$here/pyproject.toml")
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return 0
    # What a larger set holds, a smaller one need not install again.
    if [ "$extra" = demo ] && [ -f "$venv/.idgate-dev" ] && [ "$(cat "$venv/.idgate-dev")" = "$want" ]; then
        return 0
    fi
    say "making $venv ($extra); this takes a minute or two"
    [ -x "$venv/bin/python" ] || step "$python" -m venv "$venv"
    step env PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
        "$venv/bin/pip" install --quiet --upgrade pip
    # setuptools warns of every editable installation, at length.
    step env PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONWARNINGS=ignore \
        "$venv/bin/pip" install --quiet --editable "${here}[$extra]"
    if [ "$dry" = 0 ]; then printf '%s' "$want" >"$stamp"; fi
}

chaos_apt() { # ARGUMENT...: servers only where they are asked for
    printf 'mosquitto'
    case " $* " in *" --rabbitmq "*) printf ' rabbitmq-server' ;; esac
    case " $* " in *" --postgresql "*) printf ' postgresql' ;; esac
}

bench_apt() { # ARGUMENT...: counters of instructions only where they are asked for
    case " $* " in *" --callgrind "*) printf 'valgrind' ;; esac
    case " $* " in *" --arm64 "*) printf ' gcc libc6-dev qemu-user' ;; esac
}

do_bench() { # ARGUMENT...
    local argument where=(tests/bench)
    for argument in "$@"; do # a file or test that is named stands alone
        [ -e "${argument%%::*}" ] && where=()
    done
    case ${1:-} in
        --report) step exec "$python" -m tests.bench.report "$@" ;;
        --callgrind) step exec "$python" -m tests.bench.instructions "$@" ;;
        *) step exec "$python" -m pytest -m bench -o 'python_files=bench_*.py' "${where[@]}" "$@" ;;
    esac
}

prepare() { # EXTRA PACKAGE...
    local extra=$1
    shift
    need_apt "$@"
    make_venv "$extra"
}

add_user() { # NAME HOME GROUP...: the hardware belongs to groups on Raspberry Pi OS
    local name=$1 home=$2 group prefix=()
    shift 2
    [ -n "$root" ] && prefix=(--prefix "$root")
    grep -q "^$name:" "$root/etc/passwd" 2>/dev/null ||
        as_root useradd "${prefix[@]}" --system --user-group --no-create-home \
            --home-dir "$home" --shell /usr/sbin/nologin "$name"
    for group in "$@"; do
        if grep -q "^$group:" "$root/etc/group" 2>/dev/null; then
            as_root usermod "${prefix[@]}" --append --groups "$group" "$name"
        fi
    done
}

remove_user() { # NAME
    grep -q "^$1:" "$root/etc/passwd" 2>/dev/null || return 0
    if [ -n "$root" ]; then as_root userdel --prefix "$root" "$1"
    else as_root userdel "$1"; fi
}

pi_parts() { # PYTHON: what only apt has for a Pi: the camera and, from Python 3.12 on, RPi.GPIO
    local package
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && pi_apt+=" python3-rpi-lgpio"
    # shellcheck disable=SC2086
    if grep -qs 'Raspberry Pi' /proc/device-tree/model; then
        need_apt $pi_apt
        return
    fi
    case $(dpkg --print-architecture) in arm64 | armhf) ;; *) return 0 ;; esac
    for package in $pi_apt; do # a card's image in the making; Debian's own archive has neither
        if apt-cache show "$package" >/dev/null 2>&1; then need_apt "$package"
        else say "left out: apt knows no $package here; Raspberry Pi's archive has it"; fi
    done
}

systemd_runs() { [ -d /run/systemd/system ]; } # not in a chroot or while an image is built

do_install() {
    local python unit build=${TMPDIR:-/tmp}/idgate-build.$$
    local pip_env=(env PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1)
    # shellcheck disable=SC2086
    need_apt $run_apt
    python=$(system_python)
    [ -n "$root" ] || pi_parts "$python"
    add_user idgate /var/lib/idgate video dialout render
    add_user idgate-gate /var/lib/idgate-gatekeeper gpio # the pins are the gatekeeper's alone
    as_root install -d -m 0755 "$root/opt/idgate" "$root/etc/systemd/system" "$root/usr/local/bin"
    as_root install -d -m 0750 -g "$(group_id)" "$root/etc/idgate" "$root/etc/idgate/trust"
    as_root install -d -m 0700 -o "$(user_id)" -g "$(group_id)" "$root/var/lib/idgate"
    [ -x "$root/opt/idgate/venv/bin/python" ] ||
        as_root "$python" -m venv --system-site-packages "$root/opt/idgate/venv"
    # Built from a copy: pip builds in place, and root's files have no business in a checkout.
    step install -d "$build"
    step cp -r "$here"/{agent,hal,models,pyproject.toml,README.md,LICENSE} "$build/"
    as_root "${pip_env[@]}" "$root/opt/idgate/venv/bin/pip" install --quiet --upgrade "${build}[pi]"
    as_root rm -rf "$build"
    as_root ln -sfn /opt/idgate/venv/bin/idgate "$root/usr/local/bin/idgate"
    as_root "$here/packaging/install-manuals" "$root" /usr/local
    if [ ! -e "$root/etc/idgate/config.toml" ]; then
        as_root install -m 0640 -g "$(group_id)" "$here/systemd/config.toml" "$root/etc/idgate/config.toml"
    fi
    for unit in $units; do
        as_root install -m 0644 "$here/systemd/$unit" "$root/etc/systemd/system/$unit"
    done
    # shellcheck disable=SC2086 # words, one a unit
    if [ -n "$root" ]; then
        as_root systemctl --root="$root" enable $units
    else
        if systemd_runs; then as_root systemctl daemon-reload; fi
        as_root systemctl enable $units
        if systemd_runs; then
            as_root "$here/packaging/refresh-gatekeeper" /opt/idgate/venv \
                /etc/systemd/system/idgate-gatekeeper.service /opt/idgate/gatekeeper.sum
        fi
    fi
    say "installed. Edit /etc/idgate/config.toml, put issuers into /etc/idgate/trust, then:"
    say "  sudo idgate doctor --config /etc/idgate/config.toml && sudo systemctl restart idgate"
}

user_id() { id_of "$root/etc/passwd"; }
group_id() { id_of "$root/etc/group"; }
id_of() { # numeric, since a scratch root's names are not this machine's
    local found
    found=$(awk -F: '$1 == "idgate" {print $3}' "$1" 2>/dev/null || true)
    printf '%s' "${found:-0}"
}

do_uninstall() {
    local purge=$1 unit
    for unit in idgate.service idgate-gatekeeper.service; do # the pins last
        if [ -n "$root" ]; then
            as_root systemctl --root="$root" disable "$unit"
        elif [ -e "/etc/systemd/system/$unit" ]; then
            if systemd_runs; then as_root systemctl disable --now "$unit"
            else as_root systemctl disable "$unit"; fi
        fi
        as_root rm -f "$root/etc/systemd/system/$unit"
    done
    as_root rm -f "$root/usr/local/bin/idgate"
    as_root "$here/packaging/install-manuals" --remove "$root" /usr/local
    as_root rm -rf "$root/opt/idgate"
    if [ -z "$root" ] && systemd_runs; then as_root systemctl daemon-reload; fi
    if [ "$purge" = 1 ]; then
        as_root rm -rf "$root/etc/idgate" "$root/var/lib/idgate" "$root/var/lib/idgate-gatekeeper"
        remove_user idgate-gate
        remove_user idgate
    else
        say "kept /etc/idgate and /var/lib/idgate*; --purge removes them and the users"
    fi
}

command=
args=()
purge=0
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry=1 ;;
        -h | --help) usage; exit 0 ;;
        --root)
            [ $# -ge 2 ] || die "--root needs a directory"
            root=$(realpath -m "$2"); shift ;;
        --purge) purge=1 ;;
        *) if [ -z "$command" ]; then command=$1; else args+=("$1"); fi ;;
    esac
    shift
done

python=$venv/bin/python
# shellcheck disable=SC2086
case $command in
    demo)
        prepare demo $run_apt
        step exec "$venv/bin/idgate" demo "${args[@]}" ;;
    test)
        prepare dev $run_apt $test_apt
        cd "$here"
        # One file stays in one process: a fixture that plays a day is played once.
        step exec "$python" -m pytest -n 3 --dist loadfile "${args[@]}" ;;
    check)
        prepare dev $run_apt
        cd "$here"
        step "$venv/bin/ruff" check .
        step "$venv/bin/ruff" format --check .
        step "$venv/bin/mypy"
        step "$venv/bin/lint-imports" --no-cache --no-logo ;;
    bench)
        # shellcheck disable=SC2046
        prepare dev $run_apt $test_apt $(bench_apt "${args[@]}")
        cd "$here"
        do_bench "${args[@]}" ;;
    fuzz)
        [ ${#args[@]} -ge 1 ] || die "fuzz needs a number of seconds"
        prepare dev $run_apt
        cd "$here"
        step exec "$python" tests/fuzz/fuzz.py --seconds "${args[@]}" ;;
    chaos)
        # shellcheck disable=SC2046 # words, one a package
        prepare dev $run_apt $(chaos_apt "${args[@]}")
        cd "$here"
        step exec "$python" tests/chaos/chaos.py "${args[@]}" ;;
    soak)
        prepare dev $run_apt
        cd "$here"
        step exec "$python" -m tests.soak.soak "${args[@]}" ;;
    mutate)
        prepare dev $run_apt $test_apt
        cd "$here"
        step exec "$python" -m tests.mutation.mutate "${args[@]}" ;;
    arm64)
        need_apt $tree_apt qemu-user-static
        cd "$here"
        as_root /usr/bin/python3 -m tests.pi.arm64 "${args[@]}" ;;
    picamera)
        need_apt $tree_apt
        as_root /usr/bin/python3 "$here/tests/pi/picamera.py" "${args[@]}" ;;
    emulated-pi)
        prepare dev $run_apt $test_apt $tree_apt $board_apt
        cd "$here"
        as_root "$python" -m tests.pi.emulated "${args[@]}" ;;
    licences)
        prepare demo $run_apt
        step exec "$python" "$here/packaging/inventory.py" licences "${args[@]}" ;;
    sbom)
        prepare demo $run_apt
        step exec "$python" "$here/packaging/inventory.py" sbom "${args[@]}" ;;
    deb)
        need_apt dpkg python3 python3-venv
        step exec "$here/packaging/deb/build.sh" "${args[0]:-$here/dist}" ;;
    install) do_install ;;
    uninstall) do_uninstall "$purge" ;;
    "") usage >&2; exit 2 ;;
    *) usage >&2; die "unknown command: $command" ;;
esac
