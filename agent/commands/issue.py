"""`idgate issue`: keys, credentials, tickets and presentations, for pilots and tests.

    idgate issue key city --out pilot --kind online-id      private key, and the trust directory's
    idgate issue key phone --out pilot --holder             files under pilot/trust
    idgate issue key duty --out pilot --operator --role open    who may command gates
    idgate issue credential --issuer pilot/city.key.pem --holder pilot/phone.key.pem \
        --subject 42 --level 2 --out pilot/card.cbor
    idgate issue cards people.csv --issuer pilot/city.key.pem --out cards    many at once
    idgate issue present pilot/card.cbor --holder pilot/phone.key.pem --aud library --png code.png
    idgate issue credential ... --age-over 18 --redact birth-date    what the phone may keep back
    idgate issue present pilot/card.cbor ... --need age-18           and what it then tells
    idgate issue status --issuer pilot/city.key.pem --uri https://city.example/1 --revoke 7 \
        --out list.cwt

Private keys are written readable by their owner only. Exit code 2 for anything that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock.moment import moment_text
from agent.commands import values
from agent.credential.model import BiometricReference, Kind, StatusReference
from agent.credential.needs import OLDEST, Redact, parse_need
from agent.trust.model import COMMAND_ROLES

if TYPE_CHECKING:
    from agent.issuing.issue import Holder, Issuer, PublicHolder

__all__ = ["add_arguments", "run"]

DAY_S = 86_400
MOST_DAYS = 36_525
_TEMPLATE_BYTES = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _key_arguments(
        actions.add_parser("key", help="make an issuer's, a holder's or an operator's key")
    )
    credential = actions.add_parser("credential", help="sign a credential")
    _signing_arguments(credential, kind=Kind.ONLINE_ID)
    _identity_arguments(credential)
    ticket = actions.add_parser("ticket", help="sign a ticket to go beside an identity")
    _signing_arguments(ticket, kind=Kind.RAIL_TICKET)
    ticket.add_argument(
        "--realm", metavar="ISS",
        help="iss of the identity whose --subject it is, without --holder; default: this issuer's",
    )  # fmt: skip
    ticket.add_argument(
        "--aud", metavar="PLACE", help="SITE/GATE, SITE, GROUP.* or *; default: everywhere"
    )
    ticket.add_argument(
        "--region",
        action="append",
        default=[],
        type=_region,
        metavar="CODE",
        help="ISO 3166-2; repeatable; default: everywhere",
    )
    ticket.add_argument(
        "--detail", action="append", default=[], metavar="NAME=VALUE", help="train, seat, number"
    )
    _cards_arguments(actions.add_parser("cards", help="sign a table of credentials at once"))
    _present_arguments(actions.add_parser("present", help="make the code that a phone shows"))
    _status_arguments(actions.add_parser("status", help="sign a Token Status List"))


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    actions = {
        "key": _key, "credential": _credential, "cards": _cards, "ticket": _ticket,
        "present": _present, "status": _status_list,
    }  # fmt: skip
    try:
        actions[arguments.action](arguments)
    except OSError as error:
        print(f"idgate issue: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"idgate issue: {error}", file=sys.stderr)
        return 2
    return 0


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="the issuer's or operator's name in the trust set"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the private key goes"
    )
    parser.add_argument(
        "--trust", type=Path, metavar="DIR", help="where the public files go; default: OUT/trust"
    )
    parser.add_argument(
        "--algorithm",
        default="ES256",
        choices=("ES256", "ES384", "EdDSA", "PS256", "SM2"),
        help="what the key signs with",
    )
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--holder", action="store_true", help="a holder's key: no trust files")
    whose.add_argument("--operator", action="store_true", help="a key that commands gates")
    parser.add_argument(
        "--role", action="append", default=[], choices=sorted(COMMAND_ROLES),
        metavar="COMMAND", help="what the operator may command, repeatable: one of %(choices)s",
    )  # fmt: skip
    parser.add_argument(
        "--iss",
        metavar="URI",
        help="what its credentials say in iss; default: urn:idgate:issuer:NAME",
    )
    parser.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=[*Kind],
        metavar="KIND",
        help="what it may sign, repeatable; default: any. One of %(choices)s",
    )


def _signing_arguments(parser: argparse.ArgumentParser, *, kind: Kind) -> None:
    parser.add_argument("--issuer", type=Path, required=True, metavar="KEY", help="private key")
    parser.add_argument(
        "--holder", type=Path, metavar="KEY",
        help="the holder's key, for dynamic codes; the public one is enough: PEM, JWK or COSE_Key",
    )  # fmt: skip
    parser.add_argument(
        "--subject", required=True, metavar="ID", help="opaque identifier at this issuer"
    )
    parser.add_argument(
        "--kind",
        default=kind,
        choices=[*Kind],
        metavar="KIND",
        help="what it is: one of %(choices)s",
    )
    parser.add_argument(
        "--valid-days",
        type=values.number(0, MOST_DAYS, above=True),
        default=30.0,
        metavar="DAYS",
        help="how long it is valid from its issue on",
    )
    parser.add_argument(
        "--at",
        type=values.moment,
        metavar="TIME",
        help="issue time, ISO 8601 or Unix seconds; default: now",
    )
    parser.add_argument("--status", type=_status, metavar="URI#INDEX", help="status list entry")
    _version_argument(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="what is signed, in CBOR"
    )


def _version_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile-version", type=int, default=2, choices=(1, 2),
        help="of the native profile: 2 makes smaller codes, 1 is for gates that know no other",
    )  # fmt: skip


def _identity_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", type=int, default=1, choices=(1, 2), help="2 is upgraded")
    parser.add_argument(
        "--birth-date", type=values.date, metavar="YYYY-MM-DD", help="the holder's birth date"
    )
    parser.add_argument(
        "--age-over", type=values.count(1, OLDEST), action="append", default=[], metavar="N",
        help="an age in years that the holder has reached, repeatable; default: none is said",
    )  # fmt: skip
    parser.add_argument(
        "--redact", action="append", default=[], choices=[*Redact], metavar="WORD",
        help="what the phone may keep back, repeatable, with --holder: one of %(choices)s; "
        "default: nothing",
    )  # fmt: skip
    parser.add_argument(
        "--region",
        action="append",
        default=[],
        type=_region,
        metavar="CODE",
        help="where it is valid, ISO 3166-2, repeatable; default: everywhere",
    )
    parser.add_argument("--face", type=Path, metavar="FILE", help="128-byte template or picture")
    parser.add_argument("--face-model", default="", metavar="ID", help="model of the template")
    parser.add_argument("--finger", type=Path, metavar="FILE", help="the sensor's template")
    parser.add_argument(
        "--finger-family", default="r503", metavar="NAME", help="the sensor that made it"
    )
    parser.add_argument(
        "--finger-position",
        type=int,
        default=51,
        choices=range(50, 60),
        metavar="N",
        help="which finger it is: 50, the right thumb, to 59, the left little finger",
    )


def _cards_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "table", type=Path, metavar="TABLE",
        help="CSV file with a line of column names: subject, and any of file, kind, level, "
        "valid_until, birth_date, regions, photo",
    )  # fmt: skip
    parser.add_argument("--issuer", type=Path, required=True, metavar="KEY", help="private key")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a new folder for all files"
    )
    parser.add_argument(
        "--phones", action="store_true",
        help="a key for each card's phone; else codes to be printed",
    )  # fmt: skip
    _version_argument(parser)
    parser.add_argument(
        "--kind", default=Kind.ONLINE_ID, choices=[*Kind], metavar="KIND",
        help="what a card is where its row does not say: one of %(choices)s",
    )  # fmt: skip
    parser.add_argument(
        "--level", type=int, default=1, choices=(1, 2), help="where a row does not say; 2: upgraded"
    )
    parser.add_argument(
        "--valid-days", type=values.number(0, MOST_DAYS, above=True), default=30.0,
        metavar="DAYS", help="how long a card is valid where its row does not say",
    )  # fmt: skip
    parser.add_argument(
        "--at", type=values.moment, metavar="TIME",
        help="issue time, ISO 8601 or Unix seconds; default: now",
    )  # fmt: skip


def _need(text: str) -> str:
    try:
        return parse_need(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _present_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("credential", type=Path, metavar="FILE", help="file of `issue credential`")
    parser.add_argument(
        "--holder", type=Path, metavar="KEY", help="private key; left out: a static code"
    )
    parser.add_argument("--aud", default="*", metavar="GATE", help="SITE/GATE, SITE, GROUP.* or *")
    parser.add_argument(
        "--at",
        type=values.moment,
        metavar="TIME",
        help="time of use, ISO 8601 or Unix seconds; default: now",
    )
    parser.add_argument(
        "--challenge", type=values.hexadecimal, metavar="HEX", help="the gate's nonce"
    )
    parser.add_argument("--ticket", type=Path, metavar="FILE", help="file of `issue ticket`")
    parser.add_argument("--site-key", type=Path, metavar="FILE", help="32 bytes: encrypt the code")
    parser.add_argument(
        "--need", type=_need, action="append", metavar="WORD",
        help="what the place asks of a redacted credential, repeatable: birth-date, face, finger, "
        "name or age-N; default: face, finger and every age",
    )  # fmt: skip
    parser.add_argument("--png", type=Path, metavar="FILE", help="write the QR code, and tell "
                        "its version and from how far away it is read")  # fmt: skip
    parser.add_argument(
        "--distance", type=values.count(1, 1_000), metavar="CM",
        help="refuse a code that is read only nearer than this; default: any will do",
    )  # fmt: skip
    parser.add_argument(
        "--paper", action="store_true",
        help="for a print: compressed, with more error correction; default: for a phone's screen",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the text; else print it")


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--issuer", type=Path, required=True, metavar="KEY", help="private key")
    parser.add_argument(
        "--uri", required=True, metavar="URI", help="the list's name, as credentials give it"
    )
    parser.add_argument(
        "--size", type=values.count(1, 1 << 24), default=65_536, metavar="N",
        help="entries, withdrawn or not; the same each time",
    )  # fmt: skip
    for option, what in (("--revoke", "revoked for good"), ("--suspend", "suspended")):
        parser.add_argument(
            option, type=values.count(0, (1 << 24) - 1), action="append", default=[],
            metavar="INDEX", help=f"an entry that is {what}, repeatable; default: none",
        )  # fmt: skip
    parser.add_argument(
        "--ttl-days", type=values.number(0, MOST_DAYS, above=True), default=7.0, metavar="DAYS",
        help="how long gates may believe it",
    )  # fmt: skip
    parser.add_argument(
        "--at", type=values.moment, metavar="TIME",
        help="time of signing, ISO 8601 or Unix seconds; default: now",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the signed list, a CWT"
    )


def _key(arguments: argparse.Namespace) -> None:
    from agent.issuing import issue

    if arguments.operator != bool(arguments.role):
        raise ValueError("--operator and --role go together: what may the operator command?")
    issuer = issue.new_issuer(arguments.name, arguments.algorithm, iss=arguments.iss)
    if arguments.holder:
        issue.Holder(issuer.key).cose_key()  # refuses what no credential can carry
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    private = out / f"{arguments.name}.key.pem"
    _write_private(private, issuer.key.private_pem())
    print(private)
    if arguments.holder:
        return
    description = issuer.trust_toml(arguments.kind)
    if arguments.operator:
        description = f"operator = true\nroles = {json.dumps(sorted(set(arguments.role)))}\n"
    else:
        _write_private(private.with_suffix(".toml"), issuer.trust_toml().encode())
    trust: Path = arguments.trust or out / "trust"
    trust.mkdir(parents=True, exist_ok=True)
    public = trust / f"{arguments.name}.pem"
    public.write_bytes(issuer.key.public_pem())
    public.with_suffix(".toml").write_text(description, encoding="utf-8")
    print(public)


def _credential(arguments: argparse.Namespace) -> None:
    from agent.issuing import issue

    arguments.at = _now(arguments.at)
    token = issue.sign_credential(
        _issuer(arguments.issuer),
        _holder(arguments.holder),
        **_common(arguments),
        level=arguments.level,
        birth_date=arguments.birth_date,
        regions=arguments.region,
        references=_references(arguments),
        ages=arguments.age_over,
        redacted=arguments.redact,
    )
    arguments.out.write_bytes(token)
    _say_validity(arguments)


def _cards(arguments: argparse.Namespace) -> None:
    from agent.issuing.batch import Card, make_cards, read_table

    at = _now(arguments.at)
    until = at + int(arguments.valid_days * DAY_S)
    usual = Card(0, "", "", Kind(arguments.kind), arguments.level, until)
    cards = read_table(arguments.table, usual)
    make_cards(
        cards, _issuer(arguments.issuer), arguments.out,
        source=arguments.table, issued_at=at, phones=arguments.phones,
        version=arguments.profile_version,
    )  # fmt: skip
    ends = {moment_text(card.valid_until) for card in cards}
    span = " to ".join(sorted({min(ends), max(ends)}))
    print(f"{arguments.out}: {len(cards)} cards, valid until {span}; cards.csv lists them")


def _ticket(arguments: argparse.Namespace) -> None:
    from agent.issuing import issue

    if arguments.realm is not None and arguments.holder is not None:
        raise ValueError("--realm and --holder: a ticket is bound by a key, or by a number")
    arguments.at = _now(arguments.at)
    details = dict(detail.partition("=")[::2] for detail in arguments.detail)
    token = issue.sign_ticket(
        _issuer(arguments.issuer),
        _holder(arguments.holder),
        **_common(arguments),
        details=details,
        realm=arguments.realm,
        audience=arguments.aud,
        regions=arguments.region,
    )
    arguments.out.write_bytes(token)
    _say_validity(arguments)


def _present(arguments: argparse.Namespace) -> None:
    from agent.issuing import issue, symbol

    holder = None
    if arguments.holder is not None:
        holder = issue.Holder(issue.SigningKey.from_file(arguments.holder))
    site_key = arguments.site_key.read_bytes() if arguments.site_key else None
    if site_key is not None and len(site_key) != 32:
        raise ValueError(f"{arguments.site_key}: a site key is 32 bytes")
    text = issue.present(
        issue.disclosed(_token(arguments.credential), arguments.need),
        holder,
        at=_now(arguments.at) if holder else None,
        audience=arguments.aud,
        challenge=arguments.challenge,
        ticket=_token(arguments.ticket) if arguments.ticket else None,
        site_key=site_key,
        compress=arguments.paper,
    )
    medium = symbol.Medium.PAPER if arguments.paper else symbol.Medium.SCREEN
    if arguments.png or arguments.distance:
        drawn = symbol.qr_symbol(text, medium=medium)
        if symbol.reading_distance_mm(drawn.version) < 10 * (arguments.distance or 0):
            raise ValueError(f"{symbol.described(drawn)}, and not from {arguments.distance} cm")
    if arguments.png:
        arguments.png.write_bytes(symbol.qr_png(text, medium=medium))
        print(f"{arguments.png}: {symbol.described(drawn)}")
    if arguments.out:
        arguments.out.write_text(text, encoding="ascii")
    elif not arguments.png:
        print(text)


def _status_list(arguments: argparse.Namespace) -> None:
    from agent.issuing.status_list import INVALID, SUSPENDED, sign_status_list

    statuses = bytearray(arguments.size)
    for value, indices in ((SUSPENDED, arguments.suspend), (INVALID, arguments.revoke)):
        for index in indices:
            if index >= arguments.size:
                raise ValueError(f"index {index} is outside a list of --size {arguments.size}")
            statuses[index] = value
    issuer = _issuer(arguments.issuer)
    token = sign_status_list(
        issuer.key, iss=issuer.iss, kid=issuer.kid, uri=arguments.uri, statuses=statuses,
        issued_at=_now(arguments.at), ttl_s=int(arguments.ttl_days * DAY_S),
    )  # fmt: skip
    arguments.out.write_bytes(token)
    print(f"{arguments.out}: {arguments.size} entries, {len(token)} bytes")


def _say_validity(arguments: argparse.Namespace) -> None:
    until = _common(arguments)["valid_until"]
    print(f"{arguments.out}: valid until {moment_text(until)}")


def _token(file: Path) -> bytes:
    """Read a signed token, and refuse a file that is none."""
    from agent.credential import cose
    from agent.credential.model import Rejected

    data = file.read_bytes()
    try:
        cose.parse_sign1(data)
    except Rejected as error:
        raise ValueError(f"{file}: no credential or ticket ({error.detail})") from None
    return data


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    at = _now(arguments.at)
    if not arguments.subject:
        raise ValueError("--subject is empty; every gate refuses such a credential")
    return {
        "subject": arguments.subject,
        "issued_at": at,
        "valid_until": at + int(arguments.valid_days * DAY_S),
        "kind": arguments.kind,
        "status": arguments.status,
        "version": arguments.profile_version,
    }


def _references(arguments: argparse.Namespace) -> list[BiometricReference]:
    from agent.issuing import issue

    found = []
    if arguments.face:
        data = arguments.face.read_bytes()
        if len(data) == _TEMPLATE_BYTES:
            if not arguments.face_model:
                raise ValueError("a face template needs --face-model, the id of its model")
            found.append(issue.face_template(data, arguments.face_model))
        else:
            from agent.issuing.batch import read_photo

            found.append(read_photo(arguments.face))
    if arguments.finger:
        found.append(
            issue.finger_template(
                arguments.finger.read_bytes(), arguments.finger_family, arguments.finger_position
            )
        )
    return found


def _issuer(file: Path) -> Issuer:
    """Load an issuer: its private key, and name and iss from the TOML beside it."""
    import tomllib

    from agent.issuing.issue import Issuer, SigningKey

    key = SigningKey.from_file(file)
    description = file.with_suffix(".toml")
    table = tomllib.loads(description.read_text(encoding="utf-8"))
    try:
        return Issuer(str(table["issuer"]), str(table["iss"][0]), key)
    except (KeyError, IndexError):
        raise ValueError(f"{description}: it must name issuer and iss") from None


def _holder(file: Path | None) -> Holder | PublicHolder | None:
    from agent.issuing.keys import load_holder

    return None if file is None else load_holder(file)


def _write_private(file: Path, data: bytes) -> None:
    """Write a new file that only its owner can read; an existing key is never overwritten."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)


def _now(moment: int | None) -> int:
    return int(time.time()) if moment is None else moment


def _region(text: str) -> str:
    from agent.settings.checks import REGION

    if not REGION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no ISO 3166-2 code, such as DE-BE or CN-31")
    return text


def _status(text: str) -> StatusReference:
    uri, _, index = text.rpartition("#")
    if not uri:
        raise argparse.ArgumentTypeError(f"{text[:80]!r}: an entry is named URI#INDEX")
    return StatusReference(uri, values.count(0, 2**32)(index))
