"""x5chain: from a leaf in the code to a root in the trust set, and every way not to get there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from agent.credential import registry
from agent.credential import x509 as module
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import FormatName, Kind, Rejected
from agent.credential.numbers import Header
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.support.explained import explained
from tests.support.makers import (
    DAY,
    DIRECT,
    LEAF,
    MIDDLE,
    NOW,
    ROOT,
    RULES,
    Certificate,
    claim169,
    ec_key,
    ed_key,
    identity_claims,
    issuer_key,
    root_key,
    rsa_key,
    trust,
)
from tests.support.paths import VECTORS

TRUST = trust(root_key())
CHAIN = (LEAF, MIDDLE)
# Under a root of Ed25519, whose signatures are all of one length, certificates can be changed by hand.
ED_ROOT = ROOT.but(private=ed_key(8), signer=ed_key(8))
ED_TRUST = trust(root_key(ED_ROOT))
ED_LEAF = DIRECT.but(signer=ed_key(8))


def coded(
    *chain: Certificate | bytes,
    private: Any = None,
    place: str = "unprotected",
    kid: bytes | None = None,
) -> bytes:
    """Return a Claim 169 code, signed by the leaf, with the chain in a header."""
    first = chain[0]
    signer = private or (first.private if isinstance(first, Certificate) else ec_key(102))
    items = [item.der() if isinstance(item, Certificate) else item for item in chain]
    header = {Header.X5CHAIN: items[0] if len(items) == 1 else items}
    algorithm = {
        Algorithm.ES256: -7,
        Algorithm.ES384: -35,
        Algorithm.EDDSA: -8,
        Algorithm.PS256: -37,
    }
    protected: dict[int, Any] = {Header.ALG: algorithm[issuer_key(signer).algorithm]}
    if kid is not None:
        protected[Header.KID] = kid
    if place == "protected":
        protected |= header
    return claim169(
        private=signer, protected=protected, unprotected=header if place == "unprotected" else {}
    )


def reason(payload: bytes, keys: TrustSnapshot = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return explained(caught.value)


# --- whole -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["protected", "unprotected"])
@pytest.mark.parametrize(
    "chain", [(DIRECT,), CHAIN, (*CHAIN, ROOT)], ids=["one", "two", "with root"]
)
def test_leads_to_the_root(chain: tuple[Certificate, ...], place: str) -> None:
    credential = registry.read(coded(*chain, place=place), keys=TRUST, rules=RULES)
    assert credential.issuer == "national-root"
    digest = hashes.Hash(hashes.SHA256())
    digest.update(chain[0].der())
    assert credential.key_id == digest.finalize()[:8]


@pytest.mark.parametrize(
    "private",
    [ec_key(7), ec_key(7, ec.SECP384R1), ed_key(7), rsa_key(7)],
    ids=["ES256", "ES384", "EdDSA", "PS256"],
)
def test_leaf_keys(private: Any) -> None:
    assert registry.read(coded(DIRECT.but(private=private)), keys=TRUST, rules=RULES).issuer


@pytest.mark.parametrize(
    "private", [ec_key(8, ec.SECP384R1), ed_key(8), rsa_key(8)], ids=["ES384", "EdDSA", "RSA"]
)
def test_root_keys(private: Any) -> None:
    root = ROOT.but(private=private, signer=private)
    keys = trust(root_key(root))
    assert registry.read(coded(DIRECT.but(signer=private)), keys=keys, rules=RULES).issuer


def test_pinned_key_counts_before_the_chain() -> None:
    pinned = issuer_key(ec_key(102), kid=b"pinned", issuer="pinned")
    keys = trust(root_key(), pinned)
    payload = coded(*CHAIN, kid=b"pinned")
    assert registry.read(payload, keys=keys, rules=RULES).issuer == "pinned"
    assert registry.read(payload, keys=TRUST, rules=RULES).issuer == "national-root"


def test_roots_of_one_name_are_told_apart_by_signature() -> None:
    renewed = ROOT.but(private=ec_key(200), signer=ec_key(200))
    keys = trust(root_key(renewed, issuer="renewed"), root_key())
    assert registry.read(coded(*CHAIN), keys=keys, rules=RULES).issuer == "national-root"


def test_published_chain() -> None:
    folder = VECTORS / "cose_wg" / "x509-examples"
    root = (folder / "ca.der").read_bytes()
    certificate = x509.load_der_x509_certificate(root)
    pinned = IssuerKey(
        "sample", b"ca", Algorithm.ES256, certificate.public_key(), certificate=root, is_root=True
    )
    chain = [(folder / "alice.der").read_bytes()]
    key = module.leaf_key(chain, trust(pinned), FormatName.CLAIM169, NOW)
    vector = json.loads((folder / "signed-01.json").read_text())
    x = int(vector["input"]["sign"]["signers"][0]["key"]["x_hex"], 16)
    assert (key.issuer, key.public_key.public_numbers().x) == ("sample", x)


def filled(size: int) -> bytes:
    """Return a leaf of so many bytes."""
    room = size - len(ED_LEAF.but(extensions=((filler(1_000), False),)).der())
    return ED_LEAF.but(extensions=((filler(1_000 + room), False),)).der()


def filler(size: int) -> x509.ExtensionType:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))


def edited(certificate: Certificate, old: bytes, new: bytes) -> bytes:
    """Return a certificate with other bytes in what is signed, and signed again."""
    der = certificate.but(extensions=((filler(300), False),)).der()  # lengths of two bytes
    body = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    assert body[:2] == der[:2] == b"\x30\x82"
    assert body.count(old) == 1
    fields = body[4:].replace(old, new)
    body = b"\x30\x82" + len(fields).to_bytes(2, "big") + fields
    rest = der[-74:-64].replace(old, new) + certificate.signer.sign(body)
    return b"\x30\x82" + len(body + rest).to_bytes(2, "big") + body + rest


SERIAL = b"\x02\x02\x12\x67"
NAMED = x509.SubjectAlternativeName([x509.DNSName("example.org")])
LAST_ROOT = ROOT.but(path_length=0)
READ: dict[str, tuple[Callable[[], bytes], TrustSnapshot]] = {
    "largest certificate": (lambda: coded(filled(4_096)), ED_TRUST),
    "serial number 1": (lambda: coded(edited(ED_LEAF, SERIAL, b"\x02\x01\x01")), ED_TRUST),
    "extension unknown, but not critical": (
        lambda: coded(DIRECT.but(extensions=((filler(1), False),))),
        TRUST,
    ),
    "critical other name": (lambda: coded(DIRECT.but(extensions=((NAMED, True),))), TRUST),
    "leaf without usage": (lambda: coded(DIRECT.but(usage=None)), TRUST),
    "leaf without constraints": (lambda: coded(DIRECT.but(ca=None)), TRUST),
    "CA without usage": (lambda: coded(LEAF, MIDDLE.but(usage=None)), TRUST),
    "CA without path length": (lambda: coded(LEAF, MIDDLE.but(path_length=None)), TRUST),
    "path as long as the root allows": (
        lambda: coded(*CHAIN),
        trust(root_key(ROOT.but(path_length=1))),
    ),
    "the root brought along is no part of the path": (
        lambda: coded(DIRECT, LAST_ROOT),
        trust(root_key(LAST_ROOT)),
    ),
    "no path where the root allows none": (
        lambda: coded(DIRECT),
        trust(root_key(LAST_ROOT)),
    ),
    "SHA-384": (lambda: coded(DIRECT.but(hash_=hashes.SHA384)), TRUST),
    "SHA-512": (lambda: coded(DIRECT.but(hash_=hashes.SHA512)), TRUST),
    "first second": (lambda: coded(DIRECT.but(first=NOW)), TRUST),
    "last second": (lambda: coded(DIRECT.but(last=NOW)), TRUST),
}


@pytest.mark.parametrize("case", READ)
def test_reads_to_the_limit_of_what_is_allowed(case: str) -> None:
    build, keys = READ[case]
    assert registry.read(build(), keys=keys, rules=RULES).issuer == "national-root"


@pytest.mark.parametrize("others", [7, 8])
def test_eight_keys_of_roots_of_one_name_are_tried(others: int) -> None:
    strangers = [
        root_key(
            ROOT.but(private=ec_key(200 + number), signer=ec_key(200 + number)), issuer="other"
        )
        for number in range(others)
    ]
    again = [strangers[0]] * 20  # one key pinned often is tried once
    keys = trust(*again, *strangers, root_key())
    if others < 8:
        assert registry.read(coded(*CHAIN), keys=keys, rules=RULES).issuer == "national-root"
    else:
        with pytest.raises(Rejected, match="a certificate's; 29 keys would do, 8 were"):
            registry.read(coded(*CHAIN), keys=keys, rules=RULES)


# --- roots renewed, chains that bring them along --------------------------------------------------

OVER = ROOT.but(first=NOW - 9 * DAY, last=NOW - 1)
RENEWED = ROOT.but(first=NOW - 1, last=NOW + 9 * DAY)


def pinned_until(certificate: Certificate, **pins: Any) -> IssuerKey:
    """Return a root as the trust directory makes it: with the certificate's own validity."""
    return root_key(certificate, valid_from=certificate.first, valid_until=certificate.last, **pins)


@pytest.mark.parametrize(
    "brought", [(), (OVER,), (RENEWED,), (ROOT,)], ids=["", "old", "new", "other"]
)
@pytest.mark.parametrize("chain", [CHAIN, (DIRECT,)], ids=["two", "one"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_root_and_its_renewal_overlap(
    order: int, chain: tuple[Certificate, ...], brought: tuple[Certificate, ...]
) -> None:
    roots = [pinned_until(OVER, issuer="old"), pinned_until(RENEWED, issuer="new")][::order]
    assert registry.read(coded(*chain, *brought), keys=trust(*roots), rules=RULES).issuer == "new"


@pytest.mark.parametrize("order", [1, -1])
def test_the_root_whose_path_holds_is_found(order: int) -> None:
    """Each has the key; one allows no CA below it, one is over, one belongs to another iss."""
    roots = [
        root_key(ROOT.but(path_length=0), issuer="short"),
        pinned_until(OVER, issuer="over"),
        root_key(iss=frozenset({"elsewhere"}), issuer="foreign"),
        root_key(issuer="right"),
    ][::order]
    assert registry.read(coded(*CHAIN), keys=trust(*roots), rules=RULES).issuer == "right"
    assert reason(
        coded(*CHAIN), trust(*(root for root in roots if root.issuer in {"short", "over"}))
    ) is (Reason.ISSUER_KEY_EXPIRED)


@pytest.mark.parametrize(("first", "last", "reads"), [(0, 0, True), (1, 1, False), (-1, -1, False)])
def test_a_root_holds_from_its_first_second_to_its_last(first: int, last: int, reads: bool) -> None:
    root = root_key(valid_from=NOW + first, valid_until=NOW + last)
    if reads:
        assert registry.read(coded(*CHAIN), keys=trust(root), rules=RULES).issuer == "national-root"
    else:
        assert reason(coded(*CHAIN), trust(root)) is Reason.ISSUER_KEY_EXPIRED


def test_a_pinned_authority_below_another_root_is_a_root() -> None:
    middle = root_key(MIDDLE, issuer="middle")
    assert registry.read(coded(*CHAIN, ROOT), keys=trust(middle), rules=RULES).issuer == "middle"


def test_a_root_of_the_pinned_name_and_another_key_is_not_taken_for_it() -> None:
    assert reason(coded(DIRECT, EVIL)) is Reason.BAD_SIGNATURE


# --- what a certificate is for --------------------------------------------------------------------

WEB, MAIL, READER = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.4", "1.0.18013.5.1.6"
DOCUMENTS, LICENCES, ANY = "1.3.6.1.5.5.7.3.36", "1.0.18013.5.1.2", "2.5.29.37.0"
LOGON, OWN, STATUS = "1.3.6.1.4.1.311.20.2.2", "1.2.3.4", "1.3.6.1.5.5.7.3.99"
HEALTH = "1.3.6.1.4.1.1847.2021.1.1"


def used(*usages: str, critical: bool) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    named = x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage) for usage in usages])
    return ((named, critical),)


USAGES = [  # usages, whether they may sign when critical, and when not
    ((WEB,), False, False),
    ((WEB, MAIL), False, False),
    ((READER,), False, False),
    ((LOGON,), False, False),
    ((STATUS,), False, False),
    ((OWN,), False, True),
    ((WEB, OWN), False, True),
    ((DOCUMENTS,), True, True),
    ((LICENCES,), True, True),
    ((HEALTH,), True, True),
    ((ANY,), True, True),
    ((WEB, DOCUMENTS), True, True),
]


@pytest.mark.parametrize("place", ["leaf", "CA"])
@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("case", USAGES, ids=lambda case: "+".join(case[0]))
def test_usages_decide_who_signs(
    case: tuple[tuple[str, ...], bool, bool], critical: bool, place: str
) -> None:
    usages, when_critical, otherwise = case
    extensions = used(*usages, critical=critical)
    chain = {
        "leaf": (DIRECT.but(extensions=extensions),),
        "CA": (LEAF, MIDDLE.but(extensions=extensions)),
    }[place]
    if when_critical if critical else otherwise:
        assert registry.read(coded(*chain), keys=TRUST, rules=RULES).issuer == "national-root"
    else:
        assert reason(coded(*chain)) is Reason.ISSUER_NOT_ENTITLED


@pytest.mark.parametrize("critical", [True, False])
def test_a_root_may_ask_for_a_usage(critical: bool) -> None:
    keys = trust(root_key(leaf_usages=frozenset({OWN, LICENCES})))
    for usages, right in (
        ((OWN,), True),
        ((LICENCES, WEB), True),
        ((DOCUMENTS,), False),
        ((ANY,), False),
    ):
        payload = coded(DIRECT.but(extensions=used(*usages, critical=critical)))
        if right:
            assert registry.read(payload, keys=keys, rules=RULES).issuer == "national-root"
        else:
            assert reason(payload, keys) is Reason.ISSUER_NOT_ENTITLED
    assert reason(coded(DIRECT), keys) is Reason.ISSUER_NOT_ENTITLED
    named = LEAF.but(extensions=used(OWN, critical=critical))
    authority = MIDDLE.but(extensions=used(DOCUMENTS, critical=critical))
    assert registry.read(coded(named, authority), keys=keys, rules=RULES).issuer  # its CA need not


def with_policies(
    *policies: str, critical: bool = False
) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    named = [x509.PolicyInformation(x509.ObjectIdentifier(policy), None) for policy in policies]
    return ((x509.CertificatePolicies(named), critical),)


def test_a_root_may_ask_for_a_policy() -> None:
    keys = trust(root_key(leaf_policies=frozenset({"1.2.3", "1.2.4"})))
    any_policy = MIDDLE.but(extensions=with_policies("2.5.29.32.0"))
    other = MIDDLE.but(extensions=with_policies("1.2.5"))
    right = LEAF.but(extensions=with_policies("1.2.4", "1.2.5", critical=True))
    for chain, reads in (
        ((right, any_policy), True),
        ((right, MIDDLE.but(extensions=with_policies("1.2.3"))), True),
        ((right, MIDDLE), False),
        ((right, other), False),
        ((LEAF.but(extensions=with_policies("1.2.5")), any_policy), False),
        ((LEAF.but(extensions=with_policies("2.5.29.32.0")), any_policy), False),
        ((LEAF, any_policy), False),
    ):
        if reads:
            assert registry.read(coded(*chain), keys=keys, rules=RULES).issuer == "national-root"
        else:
            assert reason(coded(*chain), keys) is Reason.ISSUER_NOT_ENTITLED
    assert registry.read(coded(right, other), keys=TRUST, rules=RULES).issuer == "national-root"


NAMES = x509.SubjectAlternativeName(
    [x509.DNSName("Signer.example"), x509.UniformResourceIdentifier("https://issuer.example/a")]
)


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ({"DNS:signer.example"}, True),
        ({"DNS:signer.example.org"}, False),
        ({"DNS:example"}, False),
        ({"URI:https://issuer.example/a"}, True),
        ({"URI:https://issuer.example/"}, False),
        ({"CN=Leaf"}, True),
        ({"CN=leaf"}, False),
        ({"CN=Leaf,O=Ministry"}, False),
        ({"O=Ministry", "CN=Leaf"}, True),
        ({"DNS:Leaf", "O=Ministry"}, False),
    ],
)
def test_a_root_may_ask_for_a_name(asked: set[str], right: bool) -> None:
    keys = trust(root_key(leaf_names=frozenset(asked)))
    payload = coded(DIRECT.but(extensions=((NAMES, False),)))
    if right:
        assert registry.read(payload, keys=keys, rules=RULES).issuer == "national-root"
    else:
        assert reason(payload, keys) is Reason.ISSUER_NOT_ENTITLED
    if not any(name.startswith("CN") for name in asked):
        assert reason(coded(DIRECT), keys) is Reason.ISSUER_NOT_ENTITLED


def test_a_status_list_has_usages_of_its_own() -> None:
    def status_key(*usages: str, critical: bool, **pins: Any) -> IssuerKey:
        leaf = DIRECT.but(extensions=used(*usages, critical=critical)) if usages else DIRECT
        keys = trust(root_key(**pins))
        return module.leaf_key(leaf.der(), keys, None, NOW, purpose=module.Purpose.STATUS_LIST)

    narrow = {"leaf_usages": frozenset({LICENCES}), "formats": frozenset({FormatName.CLAIM169})}
    for critical in (True, False):
        assert status_key(STATUS, critical=critical).issuer == "national-root"
        assert status_key(STATUS, critical=critical, **narrow).issuer == "national-root"
        for usages in ((WEB,), ("1.3.6.1.5.5.7.3.35",)):
            with pytest.raises(Rejected, match="issuer_not_entitled"):
                status_key(*usages, critical=critical)
        with pytest.raises(Rejected, match=rf"another use \({READER}\)"):
            status_key(READER, DOCUMENTS, critical=critical, **narrow)
    assert status_key(critical=False, **narrow).issuer == "national-root"


def test_a_leaf_that_is_a_ca_says_that_it_signs_data() -> None:
    assert reason(coded(DIRECT.but(ca=True, usage=None))) is Reason.ISSUER_NOT_ENTITLED
    both = DIRECT.but(ca=True, usage="digital_signature")
    assert registry.read(coded(both), keys=TRUST, rules=RULES).issuer == "national-root"


def test_a_leaf_with_whose_key_anybody_can_sign() -> None:
    body = ED_LEAF.but(private=ed_key(7)).der()
    raw = ed_key(7).public_key().public_bytes_raw()
    small = edited(ED_LEAF.but(private=ed_key(7)), raw, b"\1" + bytes(31))
    assert raw in body
    forged = claim169(
        private=ed_key(7), protected={Header.ALG: -8}, unprotected={Header.X5CHAIN: small}
    )
    with pytest.raises(Rejected, match="algorithm_mismatch: x5chain: a key with which anybody"):
        registry.read(forged, keys=ED_TRUST, rules=RULES)


# --- attacks ---------------------------------------------------------------------------------------

OLD = MIDDLE.but(first=NOW - 9 * DAY, last=NOW - 1)
NOT_CA = MIDDLE.but(ca=False, path_length=None, usage="digital_signature")
UNNAMED = MIDDLE.but(ca=None, path_length=None)
LOW = Certificate("Low", "Middle", ec_key(103), ec_key(101), ca=True, usage="key_cert_sign")
LOW_LEAF = LEAF.but(issuer="Low", signer=ec_key(103))
EVIL = ROOT.but(private=ec_key(666), signer=ec_key(666))
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
ATTACKS: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "leaf over": (lambda: coded(LEAF.but(last=NOW - 1), MIDDLE), Reason.ISSUER_KEY_EXPIRED),
    "leaf not begun": (lambda: coded(LEAF.but(first=NOW + 1), MIDDLE), Reason.ISSUER_KEY_EXPIRED),
    "middle over": (lambda: coded(LEAF, OLD), Reason.ISSUER_KEY_EXPIRED),
    "middle is no CA": (lambda: coded(LEAF, NOT_CA), Reason.ISSUER_NOT_ENTITLED),
    "middle says nothing of being a CA": (lambda: coded(LEAF, UNNAMED), Reason.ISSUER_NOT_ENTITLED),
    "middle may not sign certificates": (
        lambda: coded(LEAF, MIDDLE.but(usage="crl_sign")),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "a leaf signs a leaf": (
        lambda: coded(
            LEAF.but(subject="Fake", issuer="Leaf", private=ec_key(9), signer=ec_key(102)), DIRECT
        ),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "path too long": (lambda: coded(LOW_LEAF, LOW, MIDDLE), Reason.ISSUER_NOT_ENTITLED),
    "leaf may not sign data": (
        lambda: coded(LEAF.but(usage="key_encipherment"), MIDDLE),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "critical extension unknown in the leaf": (
        lambda: coded(LEAF.but(extensions=((UNKNOWN_EXTENSION, True),)), MIDDLE),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "critical name constraints in the middle": (
        lambda: coded(
            LEAF,
            MIDDLE.but(
                extensions=((x509.NameConstraints([x509.DNSName("example.org")], None), True),)
            ),
        ),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "other root": (lambda: coded(DIRECT.but(issuer="Other root")), Reason.UNKNOWN_ISSUER),
    "other root under the pinned name": (
        lambda: coded(DIRECT.but(signer=ec_key(666))),
        Reason.BAD_SIGNATURE,
    ),
    "brings a root of its own": (
        lambda: coded(DIRECT.but(signer=ec_key(666)), EVIL),
        Reason.BAD_SIGNATURE,
    ),
    "the root itself signs": (lambda: coded(ROOT), Reason.ISSUER_NOT_ENTITLED),
    "self-signed leaf": (
        lambda: coded(LEAF.but(issuer="Leaf", signer=ec_key(102))),
        Reason.UNKNOWN_ISSUER,
    ),
    "middle forged": (lambda: coded(LEAF, MIDDLE.but(signer=ec_key(666))), Reason.BAD_SIGNATURE),
    "leaf forged": (lambda: coded(LEAF.but(signer=ec_key(666)), MIDDLE), Reason.BAD_SIGNATURE),
    "leaf of another middle": (
        lambda: coded(LEAF.but(issuer="Another"), MIDDLE),
        Reason.UNKNOWN_ISSUER,
    ),
    "middle missing": (lambda: coded(LEAF), Reason.UNKNOWN_ISSUER),
    "wrong order": (lambda: coded(MIDDLE, LEAF, private=ec_key(101)), Reason.UNKNOWN_ISSUER),
    "signed by another than the leaf": (
        lambda: coded(*CHAIN, private=ec_key(5)),
        Reason.BAD_SIGNATURE,
    ),
    "no certificate": (lambda: coded(b"\x30\x03\x02\x01\x01"), Reason.MALFORMED),
    "empty certificate": (lambda: coded(b""), Reason.MALFORMED),
    "bytes after the certificate": (lambda: coded(LEAF.der() + b"\0", MIDDLE), Reason.MALFORMED),
    "four certificates": (lambda: coded(LOW_LEAF, LOW, MIDDLE, ROOT), Reason.MALFORMED),
    "huge certificate": (lambda: coded(bytes(4_097)), Reason.MALFORMED),
    "leaf with a key of no algorithm": (
        lambda: coded(DIRECT.but(private=ec_key(5, ec.SECP521R1)), private=ec_key(5)),
        Reason.ALGORITHM_MISMATCH,
    ),
    "leaf with an RSA key that is too short": (
        lambda: coded(DIRECT.but(private=rsa_key(5, 1024)), private=rsa_key(5)),
        Reason.ALGORITHM_MISMATCH,
    ),
}


@pytest.mark.parametrize("case", ATTACKS)
def test_attacks(case: str) -> None:
    build, expected = ATTACKS[case]
    assert reason(build()) is expected


CURVE = bytes.fromhex("06082a8648ce3d0301")  # and its last number: 7 is P-256
ED25519 = bytes.fromhex("06032b6570")
SAID: dict[str, tuple[Callable[[], bytes], str]] = {
    "huge certificate": (
        lambda: coded(filled(4_097)),
        "malformed: x5chain: a certificate .* too long",
    ),
    "four certificates": (
        lambda: coded(LEAF, LEAF, LEAF, LEAF),
        "malformed: x5chain is not one to 3",
    ),
    "serial number 0": (
        lambda: coded(edited(ED_LEAF, SERIAL, b"\x02\x01\x00")),
        "malformed: x5chain: the serial number is not positive",
    ),
    "key on a curve that nobody knows": (
        lambda: coded(edited(ED_LEAF, CURVE + b"\x07", CURVE + b"\x06"), private=ec_key(102)),
        "algorithm_mismatch: x5chain: an unknown kind of key",
    ),
    "signature that nobody knows": (
        lambda: coded(edited(ED_LEAF, ED25519, ED25519[:-1] + b"\x7f"), private=ec_key(102)),
        "algorithm_mismatch: x5chain: unknown signature",
    ),
    "hash too weak": (
        lambda: coded(ED_LEAF.but(issuer="Weak", signer=ec_key(201), hash_=hashes.SHA224)),
        "algorithm_mismatch: x5chain: signed with a hash that is too weak",
    ),
    "a certificate changed": (
        lambda: coded(ED_LEAF.but(signer=ed_key(9))),
        "bad_signature: x5chain: a certificate's",
    ),
}


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("case", SAID)
def test_what_the_operator_reads(case: str) -> None:
    build, said = SAID[case]
    weak = Certificate("Weak", "Weak", ec_key(201), ec_key(201), ca=True)
    with pytest.raises(Rejected, match=said):
        registry.read(build(), keys=trust(root_key(ED_ROOT), root_key(weak)), rules=RULES)


def signed_with_sha1(certificate: Certificate) -> bytes:
    """Return a certificate by an RSA key, its signature made with SHA-1, as the library refuses to."""
    sha256, sha1 = (bytes.fromhex("2a864886f70d0101" + last) for last in ("0b", "05"))
    der = certificate.der().replace(sha256, sha1)
    body = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    signature = certificate.signer.sign(body, padding.PKCS1v15(), hashes.SHA1())
    return der[: -len(signature)] + signature


def test_weak_hash_is_refused() -> None:
    root = ROOT.but(private=rsa_key(), signer=rsa_key())
    keys = trust(root_key(root))
    leaf = DIRECT.but(signer=rsa_key())
    assert registry.read(coded(leaf), keys=keys, rules=RULES).issuer == "national-root"
    assert reason(coded(signed_with_sha1(leaf)), keys) is Reason.ALGORITHM_MISMATCH


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_serial_number_that_is_not_positive(action: str) -> None:
    """The library only warns of it, and whether a warning is an error must not matter."""
    serial = b"\x02\x02\x12\x67"
    assert LEAF.der().count(serial) == 1
    changed = LEAF.der().replace(serial, b"\x02\x02\x92\x67")
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        assert reason(coded(changed, MIDDLE)) is Reason.MALFORMED


@pytest.mark.parametrize("tag", [0x03, 0x02, 0x05, 0x80], ids=hex)
@pytest.mark.parametrize("name", [b"\x0c\x04Leaf", b"\x0c\x06Middle"], ids=["subject", "issuer"])
def test_name_of_another_type(name: bytes, tag: int) -> None:
    """Found by fuzzing: a name that is a bit string made the library raise a TypeError."""
    assert LEAF.der().count(name) == 1
    chain = [LEAF.der().replace(name, bytes([tag]) + name[1:]), MIDDLE.der()]
    with pytest.raises(Rejected, match="malformed: x5chain: not a certificate"):
        module.leaf_key(chain, TRUST, FormatName.CLAIM169, NOW)


@pytest.mark.parametrize("chain", [[], {}, 7, "x", [7], [[b"x"]], None], ids=repr)
def test_header_of_another_type(chain: Any) -> None:
    with pytest.raises(Rejected) as caught:
        module.leaf_key(chain, TRUST, FormatName.CLAIM169, NOW)
    assert caught.value.reason is Reason.MALFORMED


TRUSTS: dict[str, tuple[IssuerKey, Reason]] = {
    "root for other formats": (
        root_key(formats=frozenset({FormatName.DCC})),
        Reason.UNKNOWN_ISSUER,
    ),
    "root over": (root_key(valid_until=NOW - 1), Reason.ISSUER_KEY_EXPIRED),
    "root for other kinds": (
        root_key(kinds=frozenset({Kind.RAIL_TICKET, Kind.EVENT_TICKET})),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "root for another iss": (root_key(iss=frozenset({"other"})), Reason.UNKNOWN_ISSUER),
    "root is no CA": (root_key(ROOT.but(ca=False)), Reason.ISSUER_NOT_ENTITLED),
    "root may not sign certificates": (
        root_key(ROOT.but(usage="digital_signature")),
        Reason.ISSUER_NOT_ENTITLED,
    ),
    "root's path length": (root_key(ROOT.but(path_length=0)), Reason.ISSUER_NOT_ENTITLED),
    "root without certificate": (
        issuer_key(ec_key(100), is_root=True),
        Reason.UNKNOWN_ISSUER,
    ),
    "certificate pinned as no root": (
        replace(root_key(), is_root=False),
        Reason.UNKNOWN_ISSUER,
    ),
}


@pytest.mark.parametrize("case", TRUSTS)
def test_refused_by_trust(case: str) -> None:
    key, expected = TRUSTS[case]
    assert reason(coded(*CHAIN), trust(key)) is expected


def test_leaf_counts_no_longer_than_chain_and_root() -> None:
    for leaf, root in ((5, 3), (3, 5)):
        key = module.leaf_key(
            [DIRECT.but(first=NOW - leaf, last=NOW + leaf).der()],
            trust(root_key(valid_from=NOW - root, valid_until=NOW + root)),
            FormatName.CLAIM169,
            NOW,
        )
        assert (key.valid_from, key.valid_until) == (NOW - 3, NOW + 3)


def test_leaf_is_for_what_its_root_is_pinned_for() -> None:
    pins: dict[str, Any] = {
        "kinds": frozenset({Kind.NATIONAL_ID}),
        "formats": frozenset({FormatName.CLAIM169}),
        "iss": frozenset({"somebody"}),
        "status_for": frozenset({"another"}),
    }
    key = module.leaf_key(DIRECT.der(), trust(root_key(**pins)), FormatName.CLAIM169, NOW)
    digest = hashlib.sha256(DIRECT.der()).digest()
    public = DIRECT.private.public_key()
    assert replace(key, public_key=None) == IssuerKey(
        issuer="national-root",
        kid=digest[:8],
        algorithm=Algorithm.ES256,
        public_key=None,
        valid_from=NOW - DAY,
        valid_until=NOW + DAY,
        **pins,
    )
    assert key.public_key == public


def test_usages_of_a_pinned_certificate() -> None:
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.4.1.1847.2021.1.1")])
    named = DIRECT.but(extensions=((usage, False),)).der()
    assert module.extended_usages(named) == {"1.3.6.1.4.1.1847.2021.1.1"}
    assert module.extended_usages(DIRECT.der()) == frozenset()
    empty = x509.UnrecognizedExtension(x509.ExtendedKeyUsage.oid, b"\x30\x00")
    assert module.extended_usages(DIRECT.but(extensions=((empty, False),)).der()) == frozenset()


def test_validity_is_in_whole_seconds() -> None:
    certificate = x509.load_der_x509_certificate(LEAF.der())
    assert module.validity(certificate) == (NOW - DAY, NOW + DAY)
    assert dt.datetime.fromtimestamp(NOW, dt.UTC).year == 2026


def test_claims_name_does_not_become_the_issuer() -> None:
    payload = claim169(
        identity_claims(iss="https://somebody.example"),
        ec_key(102),
        kid=None,
        unprotected={Header.X5CHAIN: [LEAF.der(), MIDDLE.der()]},
    )
    assert registry.read(payload, keys=TRUST, rules=RULES).issuer == "national-root"
