#!/usr/bin/env bash
# Builds idgate_VERSION_ARCH.deb with plain dpkg-deb.
#
# The package carries wheels of idgate and of everything it needs, for this machine's architecture
# and Python, as the lock file pins them; the gate makes its venv from them at installation and
# needs no index and no network. (A venv made here would carry this machine's interpreter path.)
# With PIP_NO_DEPS=1 it carries idgate alone.
#
# usage: packaging/deb/build.sh OUTPUT_DIRECTORY
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
out=$(realpath -m "$1")
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

minor=$("$python" -I -c 'import sys; print(sys.version_info.minor)')
arch=$(dpkg --print-architecture)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/pyproject.toml")
tree=$work/tree
wheels=$tree/usr/share/idgate/wheels

PYTHON=$python "$source/packaging/wheels.sh" "$work" "$wheels"

for unit in idgate.service idgate-gatekeeper.service; do
    install -D -m 0644 "$source/systemd/$unit" "$tree/usr/lib/systemd/system/$unit"
done
for script in refresh-gatekeeper settle.sh; do
    install -D -m 0755 "$source/packaging/$script" "$tree/usr/share/idgate/$script"
done
install -D -m 0640 "$source/systemd/config.toml" "$tree/etc/idgate/config.toml"
install -D -m 0644 "$source/LICENSE" "$tree/usr/share/doc/idgate/copyright"
install -d "$tree/etc/idgate/trust" "$tree/usr/bin" "$tree/DEBIAN"
ln -s /opt/idgate/venv/bin/idgate "$tree/usr/bin/idgate"
"$source/packaging/install-manuals" "$tree" /usr
for script in postinst prerm postrm; do
    install -m 0755 "$here/$script" "$tree/DEBIAN/$script"
done
echo /etc/idgate/config.toml >"$tree/DEBIAN/conffiles"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: idgate
Version: $version
Architecture: $arch
Maintainer: the idgate project <idgate@localhost>
Installed-Size: $(du -sk "$tree" | cut -f1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1))), python3-venv, libzbar0, passwd
Recommends: systemd
Suggests: python3-picamera2
Section: misc
Priority: optional
Description: Offline gate verifier
 Reads signed QR identities, compares face or finger on the device, opens a gate
 over GPIO and reports over MQTT. All Python dependencies are inside the package.
CONTROL

# Python 3.12 on: RPi.GPIO is Raspberry Pi's own package, as pip has no lgpio for it.
[ "$minor" -lt 12 ] || sed -i 's/^Recommends: .*/&, python3-rpi-lgpio/' "$tree/DEBIAN/control"

mkdir -p "$out"
dpkg-deb --root-owner-group --build "$tree" "$out/idgate_${version}_${arch}.deb" >&2
echo "$out/idgate_${version}_${arch}.deb"
