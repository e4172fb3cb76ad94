# shellcheck shell=bash disable=SC2154 # what it does not set is setup.sh's
# install and uninstall of ./setup.sh, which reads this file: its variables and functions are used here.
# Both run on the machine that they are of: with --root the door goes into that tree and runs itself there,
# by the tree's own Python, apt and systemctl. So there is one way, and what it makes starts where it stands.

units="idgate-gatekeeper.service idgate.service"

be_root() { # ARGUMENT...: once, for all that follows
    [ "$(id -u)" != 0 ] || return 0
    as_root "$here/setup.sh" "$command" "$@"
    [ "$dry" = 1 ] || exit 0
}

unfit() { # TREE: print why nothing can be installed there, if so
    local said
    if [ "$1" = / ]; then echo "--root /: that is this machine; leave --root out"
    elif [ ! -d "$1" ]; then echo "--root $1: there is no such tree"
    elif [ ! -x "$1/bin/bash" ]; then
        echo "--root $1: no Debian that could run (it has no /bin/bash); debootstrap makes one"
    elif [ "$(id -u)" = 0 ] && ! said=$(chroot "$1" /bin/true 2>&1); then
        case $said in
            *"xec format error"*)
                said=$(awk '/^Package: dpkg$/ {on = 1} on && /^Architecture:/ {print $2; exit}' \
                    "$1/var/lib/dpkg/status" 2>/dev/null || true)
                echo "--root $1: its programs (${said:-of another architecture}) do not run on this" \
                    "machine ($(uname -m)); with qemu-user-static installed they do" ;;
            *) echo "--root $1: cannot be entered: $said" ;;
        esac
    fi
}

enter_root() { # ARGUMENT...: the same command inside the tree that --root names
    local problem inside=/run/idgate-source/setup.sh
    local enter=(/usr/bin/python3 -I "$here/tests/pi/tree.py" --bind "$here:/run/idgate-source:ro" "$root")
    problem=$(unfit "$root")
    [ -z "$problem" ] || die "$problem"
    be_root --root "$root" "$@"
    if [ "$dry" = 0 ]; then
        "${enter[@]}" -- "$inside" "$command" "$@"
    else
        step "${enter[@]}" -- "$inside" "$command" "$@"
        # What would be done inside is printed from inside, which is root's to enter.
        [ "$(id -u)" != 0 ] || "${enter[@]}" -- "$inside" --dry-run "$command" "$@"
    fi
}

alone() { # two at once would take each other's folders away
    [ "$dry" = 0 ] || return 0
    exec 8>/run/idgate-setup.lock
    flock -n 8 || die "another set-up is at work on this machine"
}

pi_parts() { # PYTHON: what only apt has for a Pi: the camera and, from Python 3.12 on, RPi.GPIO
    local package
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 12))' && pi_apt+=" python3-rpi-lgpio"
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
    local python unit work=/opt/idgate/work-NEW
    if [ -n "$root" ]; then enter_root; return; fi
    be_root
    umask 022 # what root makes here is read by the gate's users
    alone
    # shellcheck disable=SC2086
    need_apt $run_apt
    python=$(system_python)
    if [ -x "$python" ]; then
        PYTHON=$python "$here/packaging/wheels.sh" --lock >/dev/null || exit 2
        pi_parts "$python"
    fi
    step install -d -m 0755 /opt/idgate /etc/systemd/system /usr/local/bin
    step install -d -m 0750 /etc/idgate /etc/idgate/trust
    # Under a folder that only root may write: /tmp is everybody's, and TMPDIR whatever the caller says.
    if [ "$dry" = 1 ]; then step mktemp -d /opt/idgate/work-XXXXXX
    else
        rm -rf /opt/idgate/work-*
        work=$(mktemp -d /opt/idgate/work-XXXXXX)
        # shellcheck disable=SC2064 # the name of now
        trap "rm -rf '$work'" EXIT
    fi
    doing "fetching and building wheels; this takes a minute or two"
    step env PYTHON="$python" "$here/packaging/wheels.sh" "$work" "$work/wheels" /opt/idgate/wheels
    step mv "$work/backend" "$work/wheels/backend"
    step rm -rf /opt/idgate/wheels
    step mv "$work/wheels" /opt/idgate/wheels
    step rm -rf "$work"
    if [ ! -e /etc/idgate/config.toml ]; then
        step install -m 0640 "$here/systemd/config.toml" /etc/idgate/config.toml
    fi
    for unit in $units; do
        step install -m 0644 "$here/systemd/$unit" "/etc/systemd/system/$unit"
    done
    if [ "$dry" = 1 ]; then
        PYTHON=$python "$here/packaging/settle.sh" --dry-run /opt/idgate/wheels /etc/systemd/system >&3
    else
        PYTHON=$python "$here/packaging/settle.sh" /opt/idgate/wheels /etc/systemd/system
    fi
    step ln -sfn /opt/idgate/venv/bin/idgate /usr/local/bin/idgate
    step "$here/packaging/install-manuals" "" /usr/local
    [ "$dry" = 0 ] || return 0
    say "installed. Edit /etc/idgate/config.toml, put issuers into /etc/idgate/trust, then:"
    say "  sudo idgate doctor --config /etc/idgate/config.toml && sudo systemctl restart idgate"
}

# --- the desk: another machine as a rule, and where it is a gate's too, a venv and a user of its own

desk_unit=idgate-desk.service
desk_home=/var/lib/idgate-desk

do_desk() {
    local python fresh old opt=/opt/idgate-desk work=/opt/idgate-desk/work-NEW
    if [ -n "$root" ]; then enter_root; return; fi
    be_root
    umask 022
    alone
    # shellcheck disable=SC2086
    need_apt $run_apt
    python=$(system_python)
    if [ -x "$python" ]; then PART=desk PYTHON=$python "$here/packaging/wheels.sh" --lock >/dev/null || exit 2; fi
    step install -d -m 0755 "$opt" /etc/systemd/system /usr/local/bin
    if [ "$dry" = 1 ]; then
        fresh=$opt/venv-NEW
        step mktemp -d "$opt/work-XXXXXX"
    else
        rm -rf "$opt"/work-*
        work=$(mktemp -d "$opt/work-XXXXXX")
        fresh=$(mktemp -d "$opt/venv-XXXXXX")
        # shellcheck disable=SC2064 # the name of now
        trap "rm -rf '$work'" EXIT
    fi
    doing "fetching and building wheels; this takes a minute or two"
    step env PART=desk PYTHON="$python" "$here/packaging/wheels.sh" "$work" "$work/wheels" "$opt/wheels"
    step chmod 0755 "$fresh"
    step "$python" -I -m venv "$fresh"
    if [ "$dry" = 1 ]; then set -- "$work/wheels/*.whl"; else set -- "$work"/wheels/*.whl; fi
    step "$fresh/bin/python" -I -m pip --quiet --disable-pip-version-check install \
        --root-user-action ignore --no-index --no-deps "$@"
    step mv "$work/backend" "$work/wheels/backend"
    step rm -rf "$opt/wheels"
    step mv "$work/wheels" "$opt/wheels"
    step ln -sfn "$(basename "$fresh")" "$opt/venv"
    grep -q '^idgate-desk:' /etc/passwd || step useradd --system --user-group --no-create-home \
        --home-dir "$desk_home" --shell /usr/sbin/nologin idgate-desk
    step install -d -m 0700 -o idgate-desk -g idgate-desk "$desk_home"
    step install -m 0644 "$here/systemd/$desk_unit" "/etc/systemd/system/$desk_unit"
    if systemd_runs; then step systemctl daemon-reload; fi
    if command -v systemctl >/dev/null; then step systemctl enable "$desk_unit"; fi
    # A gate's own stays where there is one: both know every command, and only this one has the desk's parts.
    step ln -sfn "$opt/venv/bin/idgate" /usr/local/bin/idgate-desk
    [ -e /opt/idgate/venv ] || step ln -sfn "$opt/venv/bin/idgate" /usr/local/bin/idgate
    step "$here/packaging/install-manuals" "" /usr/local
    for old in "$opt"/venv-*; do
        case $old in "$fresh" | "$opt/venv-*") ;; *) step rm -rf "$old" ;; esac
    done
    [ "$dry" = 0 ] || return 0
    say "installed. Put the stick in, then:"
    say "  sudo -u idgate-desk idgate-desk desk init $desk_home/desk --site NAME --host NAME --keys STICK"
    say "  sudo systemctl start idgate-desk"
}

remove_desk() { # PURGE
    [ -e "/etc/systemd/system/$desk_unit" ] || [ -e /opt/idgate-desk ] || [ "$1" = 1 ] || return 0
    if [ -e "/etc/systemd/system/$desk_unit" ] && command -v systemctl >/dev/null; then
        if systemd_runs; then step systemctl disable --now "$desk_unit"
        else step systemctl disable "$desk_unit"; fi
    fi
    step rm -f "/etc/systemd/system/$desk_unit" /usr/local/bin/idgate-desk
    step rm -rf /opt/idgate-desk
    if [ "$1" = 1 ]; then
        step rm -rf "$desk_home"
        remove_user idgate-desk
    elif [ "$dry" = 0 ]; then
        say "kept $desk_home"
    fi
}

remove_user() { # NAME
    grep -q "^$1:" /etc/passwd || return 0
    step userdel "$1"
}

do_uninstall() { # PURGE
    local purge=$1 unit words=()
    [ "$purge" = 0 ] || words=(--purge)
    if [ -n "$root" ]; then enter_root "${words[@]}"; return; fi
    be_root "${words[@]}"
    alone
    for unit in idgate.service idgate-gatekeeper.service; do # the pins last
        if [ -e "/etc/systemd/system/$unit" ] && command -v systemctl >/dev/null; then
            if systemd_runs; then step systemctl disable --now "$unit"
            else step systemctl disable "$unit"; fi
        fi
        step rm -f "/etc/systemd/system/$unit"
    done
    remove_desk "$purge"
    step rm -f /usr/local/bin/idgate
    step "$here/packaging/install-manuals" --remove "" /usr/local
    step rm -rf /opt/idgate
    if systemd_runs; then step systemctl daemon-reload; fi
    if [ "$purge" = 1 ]; then
        step rm -rf /etc/idgate /var/lib/idgate /var/lib/idgate-gatekeeper
        remove_user idgate-gate
        remove_user idgate
    elif [ "$dry" = 0 ]; then
        say "kept /etc/idgate and /var/lib/idgate*; --purge removes them and the users"
    fi
}
