#!/usr/bin/env bash
# The one door: installs what it needs on a bare Debian 12/13 or Raspberry Pi OS and does the job.
# Asks nothing. Runs as root or with sudo. A second run needs no network.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # started as `sh setup.sh`
set -euo pipefail
exec 3>&1 # where a dry run prints, also steps whose own output goes elsewhere

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${IDGATE_VENV:-$here/.venv}
dry=0
cannot= # why a dry run's steps could not be done, where it is known
root=
run_apt="libzbar0 python3 python3-venv"
test_apt="cpio mosquitto procps systemd"
browser_apt="chromium" # 440 MB: tests of pages say that they are left out where it cannot be had
pi_apt="python3-picamera2"
tree_apt="debootstrap debian-archive-keyring python3"
board_apt="device-tree-compiler e2fsprogs iproute2 openssl qemu-system-arm qemu-user-static qemu-utils"

# Exit codes are those of idgate: 2 for a call that cannot be served as it is, 1 for what was tried and failed.
say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 2; }
fail() { say "$*"; exit 1; }
doing() { # WHAT: something takes a while; a dry run only says what it would do
    if [ "$dry" = 1 ]; then say "not done, a dry run: $*"; else say "$*"; fi
}

section() { # COMMAND: its part of usage.txt, as written; nothing of an unknown one
    awk -v name="$1" '/^== /{on = ($2 == name)} on' "$here/packaging/usage.txt"
}

usage() {
    printf '%s\n\n' 'usage: ./setup.sh [--dry-run] COMMAND [ARGUMENT ...]'
    awk '/^== /{name = $2; getline; printf "  %-12s %s\n", name, $0}' "$here/packaging/usage.txt"
    printf '\n%s\n%s\n' '  --dry-run   print every step, do none of them' \
        './setup.sh COMMAND --help says what a command takes.'
}

help_of() { # COMMAND
    section "$1" | awk 'NR == 1 {sub(/^==/, "usage: ./setup.sh [--dry-run]"); print; print ""; next} 1'
}

step() { # do a step, or print it
    if [ "$dry" = 1 ]; then
        { printf '+'; printf ' %q' "$@"; printf '\n'; } >&3
    else
        "$@"
    fi
}

may_root() { # ARGUMENT...: end here where a command cannot be root's
    [ "$(id -u)" != 0 ] || return 0
    if ! command -v sudo >/dev/null; then
        cannot="needs root, and there is no sudo; as root once: $*"
    elif [ "$dry" = 0 ] && ! sudo -n true 2>/dev/null; then
        cannot="needs root, and sudo would ask for a password; run: sudo ./setup.sh $command"
    fi
    [ "$dry" = 1 ] || [ -z "$cannot" ] || die "$cannot"
}

as_root() {
    may_root "$@"
    if [ "$(id -u)" = 0 ]; then step "$@"
    else step sudo -n "$@"; fi
}

quietly() { # COMMAND...: what it says is shown where it failed
    local said
    if [ "$dry" = 1 ]; then "$@"
    elif ! said=$("$@" 2>&1); then
        printf '%s\n' "$said" >&2
        return 1
    fi
}

need_apt() { # packages that are missing, installed quietly
    local missing=() package here_now apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq)
    # Also by what they provide: trixie's libzbar0t64 is the libzbar0 that is asked for.
    here_now=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}, ${Provides}\n' 2>/dev/null | grep '^ii' || true)
    for package in "$@"; do
        grep -qE "[ ,]$package([ ,]|\$)" <<<"$here_now" || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null ||
        die "needs apt-get (Debian 12 or 13, Raspberry Pi OS) for: ${missing[*]}"
    may_root apt-get install -y --no-install-recommends "${missing[@]}"
    doing "installing ${missing[*]}"
    quietly as_root "${apt[@]}" update || fail "apt-get update failed; its own words are above"
    quietly as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
        fail "apt-get could not install ${missing[*]}; its own words are above"
}

try_apt() { # packages without which tests are left out, visibly: a release or machine may not have them
    local said
    command -v "$1" >/dev/null && return 0
    if ! said=$( (need_apt "$@") 2>&1); then
        say "left out: ${said##*$'\n'}; tests that need $* say so"
        cannot=
    elif [ -n "$said" ]; then printf '%s\n' "$said" >&2
    fi
}

# Python is isolated (-I) wherever it is root's: the folder that somebody stands in is no part of its path.
system_python() { # Debian's own first: apt's camera packages belong to it
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -I -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    [ "$dry" = 1 ] && { echo /usr/bin/python3; return 0; }
    die "needs Python 3.11 or newer (Debian 12 or Raspberry Pi OS bookworm, or later)"
}

make_venv() { # EXTRA: a venv beside this file, made once for a state of pyproject.toml
    local extra=$1 larger python stamp want
    local pip=(env PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONWARNINGS=ignore
        "$venv/bin/python" -I -m pip install --quiet)
    python=$(system_python)
    stamp=$venv/.idgate-$extra
    want=$("$python" -V 2>&1 || true; sha256sum <"$here/pyproject.toml")
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && return 0
    # What a larger set holds, a smaller one need not install again.
    for larger in dev demo,desk; do
        case $extra in demo | demo,desk) ;; *) break ;; esac
        [ -f "$venv/.idgate-$larger" ] && [ "$(cat "$venv/.idgate-$larger")" = "$want" ] && return 0
    done
    if [ -e "$venv" ] && [ ! -w "$venv" ]; then
        die "$venv belongs to $(stat -c %U "$venv"): remove it, or name another place by IDGATE_VENV"
    elif [ ! -e "$venv" ] && [ -e "$(dirname "$venv")" ] && [ ! -w "$(dirname "$venv")" ]; then
        die "cannot make $venv, the folder is not yours to write; name another place by IDGATE_VENV"
    fi
    doing "making $venv ($extra); this takes a minute or two"
    # One that was cut off in the making, or is of the release before, is mended by the same words.
    "$venv/bin/python" -I -m pip --version >/dev/null 2>&1 ||
        step "$python" -I -m venv "$venv" || fail "cannot make $venv"
    if ! { step "${pip[@]}" --upgrade pip && step "${pip[@]}" --editable "${here}[$extra]"; }; then
        fail "pip could not install what ./setup.sh $command needs; its own words are above"
    fi
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

demo_extra() { # ARGUMENT...: the desk's parts only where it is played with
    case " $* " in *" --phone "* | *" --camera "*) echo demo,desk ;; *) echo demo ;; esac
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

# What each command takes, besides the options of usage.txt.
words_of() { # COMMAND: how many words that are no options
    case $1 in
        sbom | deb | fuzz) echo 1 ;;
        test | bench | mutate | arm64 | bare) echo 1000 ;;
        *) echo 0 ;;
    esac
}
passes_on() { case $1 in test | bench) true ;; *) false ;; esac; } # options that are pytest's

option_value() { # COMMAND OPTION: prints "value" or "flag"; fails where there is no such option
    section "$1" | awk -v name="$2" \
        '$0 ~ /^  --/ && $1 == name {print ($2 ~ /^[A-Z]+$/ ? "value" : "flag"); found = 1} END {exit !found}'
}

command=
args=()
purge=0
read_words() { # ARGUMENT...: fills what stands above, or says what is wrong, before anything is done
    local word name kind words=0
    while [ $# -gt 0 ]; do
        word=$1
        shift
        case $word in
            --dry-run) dry=1; continue ;;
            -h | --help)
                if [ -z "$command" ]; then usage; else help_of "$command"; fi
                exit 0 ;;
        esac
        if [ -z "$command" ]; then
            case $word in -*) die "unknown option: $word (./setup.sh --help lists commands)" ;; esac
            [ -n "$(section "$word")" ] || die "unknown command: $word (./setup.sh --help lists them)"
            command=$word
            continue
        fi
        case $word in
            --) # all that follows are words, or another program's
                [ "$command" != bare ] || args+=(--)
                passes_on "$command" || [ "$command" = bare ] || words=$((words + $#))
                args+=("$@")
                break ;;
            -?*)
                name=${word%%=*}
                if kind=$(option_value "$command" "$name"); then
                    if [ "$kind" = flag ] && [ "$name" != "$word" ]; then die "$command: $name takes no value"; fi
                    if [ "$kind" = value ] && [ "$name" = "$word" ]; then
                        [ $# -gt 0 ] || die "$command: $name needs a value"
                        set -- "$word=$1" "${@:2}"
                        word=$1
                        shift
                    fi
                    case $name in
                        --root) root=$(realpath -m "${word#*=}"); continue ;;
                        --purge) purge=1; continue ;;
                    esac
                    if [ "$kind" = value ]; then args+=("$name" "${word#*=}"); else args+=("$word"); fi
                    continue
                fi
                passes_on "$command" ||
                    die "$command: unknown option: $word (./setup.sh $command --help lists them)" ;;
            *) words=$((words + 1)) ;;
        esac
        args+=("$word")
    done
    [ -n "$command" ] || { usage >&2; exit 2; }
    [ "$words" -le "$(words_of "$command")" ] ||
        die "$command: too many arguments (./setup.sh $command --help)"
}

read_words "$@"
python=$venv/bin/python
# shellcheck disable=SC2086
case $command in
    demo)
        prepare "$(demo_extra "${args[@]}")" $run_apt
        step exec "$venv/bin/idgate" demo "${args[@]}" ;;
    test)
        prepare dev $run_apt $test_apt
        try_apt $browser_apt
        cd "$here"
        # One file stays in one process: a fixture that plays a day is played once. Bytecode is kept, since
        # hundreds of processes are started, and each would compile the whole gate anew.
        # Their order is tests/conftest.py's, and not xdist's, by which the longest come last.
        step exec env -u PYTHONDONTWRITEBYTECODE \
            "$python" -m pytest -n 5 --no-loadscope-reorder --dist loadfile "${args[@]}" ;;
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
        [[ ${args[0]:-} =~ ^[0-9]+$ ]] || die "fuzz: needs a number of seconds first"
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
    bare)
        need_apt $tree_apt git
        cd "$here"
        as_root /usr/bin/python3 -m tests.pi.bare "${args[@]}" ;;
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
    install)
        # shellcheck source=packaging/install.sh
        . "$here/packaging/install.sh"
        do_install ;;
    desk)
        # shellcheck source=packaging/install.sh
        . "$here/packaging/install.sh"
        do_desk ;;
    uninstall)
        # shellcheck source=packaging/install.sh
        . "$here/packaging/install.sh"
        do_uninstall "$purge" ;;
esac
if [ "$dry" = 1 ]; then
    say "dry run: nothing was done"
    [ -z "$cannot" ] || die "and it could not be: $cannot"
fi
