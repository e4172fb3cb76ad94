"""The trust set: how it is, publishing it, rosters, and the bundle for the offline keys.

The keys that sign issuers and rosters are not at the desk. What waits for them is downloaded as a
ZIP, signed on another machine (`idgate trust sign`), and taken back: the browser's machine is where
the stick is.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from starlette.responses import Response

from agent.desk.members import MemberError
from agent.desk.web.call import BadRequest, Call
from agent.trust.roster import RosterEntry

__all__ = ["BUNDLE_BYTES", "give_bundle", "page", "publish", "roster", "take_bundle"]

BUNDLE_BYTES: Final = 16 << 20
_UNPACKED_BYTES: Final = 48 << 20
_FILES: Final = 4_000
_PACKED_BY: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""As every archiver writes them; the others bring decoders, memory and errors of their own."""
_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError, ValueError)
"""What the library raises over files that are no ZIP, encrypted or damaged."""
_ROSTERS: Final = ("members", "staff", "blocked")


def page(call: Call) -> Response:
    """Show how the set is."""
    return _page(call)


def publish(call: Call) -> Response:
    """Publish what has changed."""
    try:
        found = call.site.publishing.publish(who=call.who)
    except ValueError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, published=found)


def roster(call: Call) -> Response:
    """Put a roster into the draft, for the offline keys to sign."""
    name = call.field("name")
    if name not in _ROSTERS:
        raise BadRequest("there is no such roster")
    try:
        if name == "members":
            references = [member.reference for member in call.site.members.all()]
        else:
            typed = call.field("references").replace(",", " ").split()
            references = [call.site.members.get(one).reference for one in typed]
        issuer = call.site.desk.issuer.name
        count = call.site.publishing.set_roster(
            name,
            [RosterEntry(one, issuer) for one in dict.fromkeys(references)],
            blocks=name == "blocked",
            who=call.who,
        )
    except (MemberError, ValueError) as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, line=f"{name}: {count} {call.site.texts.trust.roster_set}")


def give_bundle(call: Call) -> Response:
    """Answer the bundle that waits for signatures, as a ZIP."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="idgate-bundle-") as scratch:
        folder = Path(scratch, "bundle")
        try:
            call.site.publishing.write_bundle(folder, who=call.who)
        except ValueError as error:
            return _page(call, wrong=str(error), status=422)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    packed.write(file, file.relative_to(folder).as_posix())
    return Response(
        out.getvalue(),
        media_type="application/zip",
        headers={"content-disposition": 'attachment; filename="bundle.zip"'},
    )


def take_bundle(call: Call) -> Response:
    """Take the signatures of a bundle that comes back."""
    file = call.uploads.get("bundle")
    if file is None or not file.data:
        raise BadRequest(call.site.texts.lists.no_file)
    with tempfile.TemporaryDirectory(prefix="idgate-bundle-") as scratch:
        folder = Path(scratch, "bundle")
        folder.mkdir()
        try:
            _unpack(file.data, folder)
            taken = call.site.publishing.take_bundle(folder, who=call.who)
        except ValueError as error:
            return _page(call, wrong=str(error), status=422)
    return _page(call, line=f"{call.site.texts.trust.taken} {', '.join(taken)}")


def _unpack(data: bytes, folder: Path) -> None:
    """Unpack a stranger's ZIP within limits, never outside of a folder.

    Raises:
        BadRequest: it is none, too large, or names files elsewhere.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for entry in _entries(packed):
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                # The size in the directory may lie: read no more than it says.
                with packed.open(entry) as stream:
                    target.write_bytes(stream.read(entry.file_size))
    except BadRequest:
        raise
    except _DAMAGED:
        raise BadRequest("this is no bundle: a ZIP file is needed") from None


def _entries(packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the files of a ZIP, none of them read yet.

    Raises:
        BadRequest: they are too large or too many, packed unusually, or elsewhere.
    """
    entries = [entry for entry in packed.infolist() if not entry.is_dir()]
    if len(entries) > _FILES or sum(each.file_size for each in entries) > _UNPACKED_BYTES:
        raise BadRequest("the bundle is too large")
    if any(entry.compress_type not in _PACKED_BY for entry in entries):
        raise BadRequest("the bundle is packed in an unusual way: a plain ZIP is needed")
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
            raise BadRequest("the bundle names files outside of itself")
    return entries


def _page(
    call: Call, *, published: object = None, wrong: str = "", line: str = "", status: int = 200
) -> Response:
    state = None
    if call.site.publisher is not None:
        try:
            state = call.site.publisher.state()
        except ValueError as error:
            wrong = wrong or str(error)
    return call.page(
        "trust.html", status=status, state=state, published=published, wrong=wrong, line=line,
        rosters=_ROSTERS, now=call.site.desk.clock(),
    )  # fmt: skip
