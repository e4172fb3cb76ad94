"""One or two examples of each command, which its help ends with.

A test parses each with the command's own parser, and finds a command that has none.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EXAMPLES"]

_CONFIG: Final = "--config /etc/idgate/config.toml"
_DESK: Final = "/var/lib/idgate-desk/desk"
_BROKER: Final = "--broker mqtts://broker:8883"

EXAMPLES: Final = {
    "": (
        "idgate demo",
        "idgate verify --trust pilot/trust CODE",
        f"sudo idgate doctor {_CONFIG}",
    ),
    "help": ("idgate help fleet send",),
    "run": (f"idgate run {_CONFIG}",),
    "scan": ("idgate scan photo.jpg", "idgate scan --json --stream frames/*.png"),
    "verify": (
        "idgate verify --trust pilot/trust CODE",
        "idgate verify --trust pilot/trust --site hotel --at 2026-05-01T08:00:00Z CODE",
        f"idgate verify {_CONFIG} --json --image code.png",
    ),
    "issue": (
        "idgate issue key city --out pilot --kind online-id",
        "idgate issue present pilot/card.cbor --png code.png",
    ),
    "issue key": (
        "idgate issue key city --out pilot --kind online-id",
        "idgate issue key phone --out pilot --holder",
        "idgate issue key duty --out pilot --operator --role open",
    ),
    "issue credential": (
        "idgate issue credential --issuer pilot/city.key.pem --subject 42 \\",
        "    --holder pilot/phone.key.pem --level 2 --out pilot/card.cbor",
        "idgate issue credential --issuer pilot/city.key.pem --subject 42 \\",
        "    --holder phone.jwk --out pilot/card.cbor",
        "idgate issue credential --issuer pilot/city.key.pem --subject 42 \\",
        "    --holder pilot/phone.key.pem --birth-date 1990-02-28 --age-over 18 \\",
        "    --redact birth-date --redact ages --out pilot/card.cbor",
    ),
    "issue cards": (
        "idgate issue cards people.csv --issuer pilot/city.key.pem \\",
        "    --kind library-card --valid-days 365 --out cards",
    ),
    "issue ticket": (
        "idgate issue ticket --issuer pilot/rail.key.pem --subject 42 \\",
        "    --detail train=G7 --valid-days 1 --out pilot/ticket.cbor",
    ),
    "issue present": (
        "idgate issue present pilot/card.cbor --holder pilot/phone.key.pem \\",
        "    --aud hall/gate-1 --png code.png",
        "idgate issue present pilot/card.cbor --holder pilot/phone.key.pem \\",
        "    --aud hall/gate-1 --need age-18 --distance 25 --png code.png",
        "idgate issue present pilot/card.cbor --paper --png card.png",
    ),
    "issue status": (
        "idgate issue status --issuer pilot/city.key.pem --revoke 7 \\",
        "    --uri https://city.example/status/1 --out list.cwt",
    ),
    "trust": (
        "idgate trust init repository",
        "idgate trust show /etc/idgate/trust",
    ),
    "trust init": ("idgate trust init repository --root-keys 3 --root-threshold 2",),
    "trust add-issuer": (
        "idgate trust add-issuer repository city.pem --kind online-id",
    ),
    "trust add-root": ("idgate trust add-root repository ca.pem --name city-ca",),
    "trust add-operator": (
        "idgate trust add-operator repository duty.pem --role open --role mode",
    ),
    "trust add-roster": (
        "idgate trust add-roster repository staff.csv --roster-key roster.key",
    ),
    "trust add-status": ("idgate trust add-status repository list.cwt",),
    "trust add-revocation": (
        "idgate trust add-revocation repository revoked.json",
    ),
    "trust add-profile": ("idgate trust add-profile repository hall.toml",),
    "trust add-model": ("idgate trust add-model repository face.tflite",),
    "trust remove": ("idgate trust remove repository issuers/city.pem",),
    "trust rotate": ("idgate trust rotate repository targets",),
    "trust renew": ("idgate trust renew repository root",),
    "trust sign": ("idgate trust sign repository --key targets-1.pem",),
    "trust delegate-status": ("idgate trust delegate-status repository",),
    "trust bundle": ("idgate trust bundle repository /media/stick/bundle",),
    "trust take": ("idgate trust take repository /media/stick/bundle",),
    "trust publish-status": (
        "idgate trust publish-status repository list.cwt \\",
        "    --password-file password",
    ),
    "trust publish": ("idgate trust publish repository --password-file password",),
    "trust update": (
        "idgate trust update /var/lib/idgate/trust --from https://trust.example \\",
        "    --root 1.root.json",
    ),
    "trust show": ("idgate trust show /etc/idgate/trust --json",),
    "finger": (f"sudo -u idgate idgate finger test {_CONFIG}",),
    "finger enroll": (
        f"sudo -u idgate idgate finger enroll {_CONFIG} \\",
        "    --issuer city --subject -",
    ),
    "finger delete": (f"sudo -u idgate idgate finger delete {_CONFIG} --slot 7",),
    "finger list": (f"sudo -u idgate idgate finger list {_CONFIG}",),
    "finger verify": (f"sudo -u idgate idgate finger verify {_CONFIG}",),
    "finger export": (
        f"sudo -u idgate idgate finger export {_CONFIG} \\",
        "    --biometric --out finger.bin",
    ),
    "finger test": (f"sudo -u idgate idgate finger test {_CONFIG}",),
    "finger pair": (f"sudo -u idgate idgate finger pair {_CONFIG} --password",),
    "face": ("idgate face enroll a.jpg b.jpg --out face.bin",),
    "face enroll": (
        "idgate face enroll a.jpg b.jpg --out face.bin",
        "idgate face enroll a.jpg --photo 64 --out face.webp",
    ),
    "face compare": ("idgate face compare face.bin probe.jpg --rate 1e-4",),
    "face evaluate": ("idgate face evaluate --images lfw --pairs pairs.txt --plot det.png",),
    "face calibrate": ("idgate face calibrate --images people --models models",),
    "face spoof-render": ("idgate face spoof-render --faces pictures --out clips",),
    "face spoof-eval": ("idgate face spoof-eval --clips clips --json",),
    "models": ("idgate models verify",),
    "models list": ("idgate models list --json",),
    "models verify": ("idgate models verify --runtime litert",),
    "models add": ("idgate models add net.tflite --to models --entry entry.toml",),
    "gate": (f"sudo -u idgate idgate gate inputs {_CONFIG}",),
    "gate safe": (f"idgate gate safe {_CONFIG}",),
    "gate inputs": (f"sudo -u idgate idgate gate inputs {_CONFIG} --watch",),
    "gate test": (f"sudo -u idgate idgate gate test {_CONFIG} --relay",),
    "gate key": (f"idgate gate key {_CONFIG}",),
    "gate timeline": (f"idgate gate timeline {_CONFIG} --last 30",),
    "journal": (
        f"idgate journal show {_CONFIG}",
        f"idgate journal find {_CONFIG} --issuer city",
    ),
    "journal show": (
        f"idgate journal show {_CONFIG} --last 100 \\",
        "    --kind decision --reason unknown_issuer --since 2026-05-01",
    ),
    "journal export": (
        f"idgate journal export {_CONFIG} \\",
        "    --format csv --out may.csv --since 2026-05-01",
    ),
    "journal find": (
        f"idgate journal find {_CONFIG} \\",
        "    --issuer city --subject-file who.txt",
    ),
    "journal erase": (
        f"idgate journal erase {_CONFIG} \\",
        "    --issuer city --subject-file who.txt",
    ),
    "fleet": (f"idgate fleet watch {_BROKER}",),
    "fleet collect": (
        f"idgate fleet collect {_BROKER} --keep-days 90",
    ),
    "fleet simulate": ("idgate fleet simulate --gates 500 --rate 2",),
    "fleet send": (
        f"idgate fleet send {_BROKER} --key operator.pem \\",
        "    hall/gate-1 mode mode=locked",
    ),
    "fleet configure": (
        f"idgate fleet configure {_BROKER} --key operator.pem \\",
        "    --version 7 hall/gate-1 gate.pulse_ms=700",
    ),
    "fleet watch": (f"idgate fleet watch {_BROKER}", f"idgate fleet watch {_BROKER} --once"),
    "fleet export": (
        "idgate fleet export --database fleet.sqlite --csv events.csv",
        f"idgate fleet export {_BROKER} --listen 127.0.0.1:9464",
    ),
    "fleet gates": ("idgate fleet gates --gates gates.toml",),
    "fleet accept": ("idgate fleet accept hall/gate-1 0123456789abcdef",),
    "fleet retire": (f"idgate fleet retire {_BROKER} hall/gate-1",),
    "fleet rename": (f"idgate fleet rename {_BROKER} hall/gate-1 hall/north",),
    "fleet verify": ("idgate fleet verify fleet.sqlite --gates gates.toml",),
    "desk": (f"idgate desk run {_DESK}", f"idgate desk gate-invite {_DESK} north"),
    "desk init": (
        f"idgate desk init {_DESK} --site library \\",
        "    --host desk.library.example --keys /media/stick/keys",
        "idgate desk init try --site library --host desk.localhost --keys stick",
    ),
    "desk run": (f"idgate desk run {_DESK}",),
    "desk certificate": (f"idgate desk certificate {_DESK}",),
    "desk staff-add": (f"idgate desk staff-add {_DESK} mo --role clerk --role issuer",),
    "desk staff-invite": (f"idgate desk staff-invite {_DESK} mo",),
    "desk staff-end": (f"idgate desk staff-end {_DESK} mo",),
    "desk staff-list": (f"idgate desk staff-list {_DESK}",),
    "desk gate-invite": (f"idgate desk gate-invite {_DESK} north --profile library",),
    "desk gate-remove": (f"idgate desk gate-remove {_DESK} north",),
    "desk gates": (f"idgate desk gates {_DESK}",),
    "desk publish": (f"idgate desk publish {_DESK}",),
    "desk bundle-write": (f"idgate desk bundle-write {_DESK} /media/stick/set",),
    "desk bundle-take": (f"idgate desk bundle-take {_DESK} /media/stick/set",),
    "desk erase-expired": (f"idgate desk erase-expired {_DESK}",),
    "desk verify": (f"idgate desk verify {_DESK}",),
    "desk broker": (f"sudo idgate desk broker {_DESK} --to /etc/mosquitto/idgate",),
    "join": (
        "sudo idgate join 'https://desk.example:8444/join/CODE#sha256=DIGITS'",
        "sudo idgate join north.join",
    ),
    "holidays": (
        "idgate holidays berlin.ics",
        "idgate holidays berlin.ics --profile hall.toml --until 2027-12-31",
    ),
    "doctor": (f"sudo idgate doctor {_CONFIG}", f"sudo idgate doctor {_CONFIG} --no-hardware"),
    "demo": ("idgate demo --fast --out pictures", "idgate demo --camera 0"),
}  # fmt: skip
