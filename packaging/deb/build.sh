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
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
arch=$(dpkg --print-architecture)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/pyproject.toml")
tree=$work/tree
wheels=$tree/usr/share/idgate/wheels

"$python" -m venv "$work/venv"
pip=$work/venv/bin/pip
mkdir -p "$wheels" "$work/source"
# A copy, so that the build leaves nothing in the checkout and takes nothing old from it.
cp -r "$source"/{agent,hal,models,pyproject.toml,README.md,LICENSE} "$work/source/"
find "$work/source" -name __pycache__ -prune -exec rm -rf {} +
"$pip" wheel --quiet --no-deps --wheel-dir "$wheels" "$work/source"
lock=$source/packaging/requirements-cp3$minor.lock
if [ "${PIP_NO_DEPS:-0}" != 1 ]; then
    if [ -f "$lock" ]; then
        "$pip" wheel --quiet --wheel-dir "$wheels" --require-hashes -r "$lock"
    else
        echo "no lock file for Python 3.$minor: taking what the index offers now" >&2
        "$pip" wheel --quiet --wheel-dir "$wheels" "$work/source[pi,osdp]"
    fi
fi

for unit in idgate.service idgate-gatekeeper.service; do
    install -D -m 0644 "$source/systemd/$unit" "$tree/usr/lib/systemd/system/$unit"
done
install -D -m 0755 "$source/packaging/refresh-gatekeeper" "$tree/usr/share/idgate/refresh-gatekeeper"
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
