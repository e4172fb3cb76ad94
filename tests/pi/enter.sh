#!/bin/sh
# Runs a command inside a Debian tree that has what a real machine has: /proc, /dev with pseudo-terminals,
# /sys, /run. Meant to be started in namespaces of its own (see tree.py): every mount made here goes with it.
#
# usage: enter.sh TREE DIRECTORY [BIND ...] -- COMMAND [ARGUMENT ...]
#   DIRECTORY  where the command starts, as seen inside the tree
#   BIND       SOURCE:TARGET or SOURCE:TARGET:ro; TARGET is a path inside the tree and is made if missing
set -eu
tree=$1
directory=$2
shift 2

bind() { # SOURCE TARGET [ro]: a folder on a folder, a file on a file
    target=$tree$2
    # A link of the tree's own, as resolv.conf often is, means a place in the tree and none out here.
    if [ -L "$target" ]; then target=$tree$(chroot "$tree" readlink -m "$2"); fi
    if [ -d "$1" ]; then mkdir -p "$target"
    elif [ ! -e "$target" ]; then
        mkdir -p "$(dirname "$target")"
        : >"$target"
    fi
    mount --bind "$1" "$target"
    if [ "${3:-}" = ro ]; then mount -o remount,bind,ro "$target"; fi
}

mount -t proc -o nosuid,nodev,noexec proc "$tree/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$tree/sys"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$tree/run"
mkdir -m 1777 "$tree/run/lock"
# A /dev of its own: the tree sees no disk and no terminal of the machine it stands on.
mount -t tmpfs -o mode=755,nosuid tmpfs "$tree/dev"
for node in null zero full random urandom tty; do bind "/dev/$node" "/dev/$node"; done
mkdir "$tree/dev/pts" "$tree/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$tree/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$tree/dev/shm"
ln -s pts/ptmx "$tree/dev/ptmx"
ln -s /proc/self/fd "$tree/dev/fd"
for pair in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${pair#*:}" "$tree/dev/${pair%:*}"; done

while [ "$1" != -- ]; do
    source=${1%%:*}
    rest=${1#*:}
    case $rest in
        *:ro) bind "$source" "${rest%:ro}" ro ;;
        *) bind "$source" "$rest" ;;
    esac
    shift
done
shift
# shellcheck disable=SC2016 # expanded inside the tree
exec chroot "$tree" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "$@"
