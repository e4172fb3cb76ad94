#!/bin/sh
# Installs the Debian package by apt on a machine that may be thrown away, uses it for real (a credential
# made, read from a picture and judged; two faces compared; every model answered), removes and purges it,
# and looks for what it left. Ends at the first thing that is wrong. Run as root.
#
# usage: try_deb.sh PACKAGE.deb FACE.png
set -eu
package=$(realpath "$1")
face=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 0755 "$work"
cd "$work"
config=/etc/idgate/config.toml

say() { echo "package: $*"; }
fail() { say "$*" >&2; exit 1; }
gate() { runuser -u idgate -- idgate "$@"; } # as the daemon's own user
left() { # what a purge must not leave, wherever it stands
    find / -xdev \( -path /proc -o -path /sys -o -path "$work" -o -path /tmp -o -path /root -o -path /mnt \
        -o -path /var/lib/dpkg -o -path /var/cache/apt \) -prune -o -name '*idgate*' -print
}

[ -z "$(left)" ] || fail "not a bare machine: $(left)"
# The gate has no network: its packages come from the index, its Python parts from the package alone.
DEBIAN_FRONTEND=noninteractive PIP_NO_INDEX=1 apt-get -qq install -y --no-install-recommends "$package"
say "installed $(idgate --version)"
[ "$(stat -c '%a %U' /var/lib/idgate)" = "700 idgate" ] || fail "/var/lib/idgate: wrong mode or owner"
/opt/idgate/venv/bin/pip --disable-pip-version-check check

# What an issuer does, and what a gate makes of it.
idgate issue key example --out keys --trust /etc/idgate/trust --kind library-card
idgate issue key phone --out keys --holder
idgate face enroll "$face" --out face.template
idgate issue credential --issuer keys/example.key.pem --holder keys/phone.key.pem \
    --subject 8f14e45fceea167a --kind library-card --level 2 --face face.template \
    --face-model face-embed-v1 --out card.cbor
idgate issue present card.cbor --holder keys/phone.key.pem --aud my-site --png code.png --out code.txt
chgrp -R idgate /etc/idgate/trust
said=$(gate verify --config $config --image code.png)
say "$said"
idgate issue present card.cbor --holder keys/phone.key.pem --aud elsewhere --out wrong.txt
said=$(gate verify --config $config "$(cat wrong.txt)") && fail "a code for another gate was let in"
case $said in *wrong_audience*) say "$said" ;; *) fail "a code for another gate: $said" ;; esac
gate models verify
said=$(idgate face compare face.template "$face" --json | tr -s '\n ' ' ')
say "faces: $said"
gate doctor --config $config --no-hardware

apt-get -qq remove -y idgate
[ ! -e /opt/idgate ] || fail "removed, but /opt/idgate is there"
[ ! -e /usr/bin/idgate ] || fail "removed, but /usr/bin/idgate is there"
[ -e $config ] || fail "removed, and the settings went too"
[ -d /var/lib/idgate ] || fail "removed, and the state went too"
apt-get -qq purge -y idgate
[ -z "$(left)" ] || fail "purged, but left: $(left)"
if getent passwd idgate idgate-gate || getent group idgate idgate-gate; then fail "purged, but a user is there"; fi
say "removed and purged, nothing left"
