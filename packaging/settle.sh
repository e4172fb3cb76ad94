#!/bin/sh
# Makes a gate of what was laid down: users, the venv, owners and modes, and the units enabled.
# `setup.sh install` and the Debian package both end with it. Nothing here asks an index or a network.
#
# usage: settle.sh [--dry-run] WHEELS UNITS [update]
#   WHEELS  a folder of wheels: idgate's own and all that it needs
#   UNITS   where the unit files lie
#   update  restart a daemon that runs: it goes on with its own settings
# DPKG_ROOT: dpkg's scratch root.
set -eu
dry=0
if [ "$1" = --dry-run ]; then
    dry=1
    shift
fi
wheels=$1 units=$2 update=${3:-}
root=${DPKG_ROOT:-}
here=$(cd "$(dirname "$0")" && pwd)
opt=$root/opt/idgate
venv=$opt/venv
services="idgate-gatekeeper.service idgate.service"

step() { if [ "$dry" = 1 ]; then echo "+ $*"; else "$@"; fi; }
number() { # FILE: idgate's in it; numeric, since a scratch root's names are not this machine's
    [ "$dry" = 1 ] && { echo idgate; return; }
    awk -F: '$1 == "idgate" {print $3}' "$root/etc/$1"
}

add_user() { # NAME HOME GROUP...: the hardware belongs to groups
    name=$1 home=$2
    shift 2
    if ! grep -q "^$name:" "$root/etc/passwd" 2>/dev/null; then
        step useradd ${root:+--prefix "$root"} --system --user-group --no-create-home \
            --home-dir "$home" --shell /usr/sbin/nologin "$name"
    fi
    for group in "$@"; do
        if grep -q "^$group:" "$root/etc/group" 2>/dev/null; then
            step usermod ${root:+--prefix "$root"} --append --groups "$group" "$name"
        fi
    done
}

# A new venv each time, so that nothing of an older version stays; Debian's own packages are seen
# (the camera's), as they belong to the system's Python. The old one serves until this one is whole:
# there is no moment in which a gatekeeper that dies cannot be started again.
make_venv() {
    python=${PYTHON:-/usr/bin/python3}
    if [ "$dry" = 1 ]; then
        fresh=$venv-NEW
        step mktemp -d "$venv-XXXXXX"
        set -- "$wheels/*.whl"
    else
        mkdir -p "$opt"
        rm -rf "$venv"-*.link
        fresh=$(mktemp -d "$venv-XXXXXX")
        set -- "$wheels"/*.whl
    fi
    step chmod 0755 "$fresh"
    step "$python" -I -m venv --system-site-packages "$fresh"
    step "$fresh/bin/python" -I -m pip --quiet --disable-pip-version-check install \
        --root-user-action ignore --no-index --no-deps "$@"
    step ln -s "$(basename "$fresh")" "$fresh.link"
    if [ -d "$venv" ] && [ ! -L "$venv" ]; then step mv -T "$venv" "$fresh.old"; fi # as set-up once made it
    step mv -T "$fresh.link" "$venv"
}

add_user idgate /var/lib/idgate video dialout render
add_user idgate-gate /var/lib/idgate-gatekeeper gpio # the pins are the gatekeeper's alone
make_venv

uid=$(number passwd) gid=$(number group)
step chgrp -R "$gid" "$root/etc/idgate"
step chmod 0750 "$root/etc/idgate" "$root/etc/idgate/trust"
step chmod 0640 "$root/etc/idgate/config.toml"
step mkdir -p "$root/var/lib/idgate"
step chown "$uid:$gid" "$root/var/lib/idgate"
step chmod 0700 "$root/var/lib/idgate"

# shellcheck disable=SC2086 # words, one a unit
if ! command -v systemctl >/dev/null; then
    echo "idgate: left out: enabling $services, for there is no systemctl here" >&2
elif [ -n "$root" ]; then
    step systemctl --root="$root" enable $services
elif [ -d /run/systemd/system ]; then
    step systemctl daemon-reload
    step systemctl enable $services
    step "$here/refresh-gatekeeper" "$venv" "$units/idgate-gatekeeper.service" /opt/idgate/gatekeeper.sum
    [ -z "$update" ] || step systemctl try-restart idgate.service
else # a chroot, or while an image is made
    step systemctl enable $services
fi

for old in "$venv"-*; do
    case $old in "$fresh" | "$venv-*") ;; *) step rm -rf "$old" ;; esac
done
