"""Signed credentials: a C2PA manifest in the file, or beside it if the format has no place for one.

c2pa-python signs and verifies; it is imported inside the functions, since it has no wheels for some systems. The other
marks don't depend on it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import AppError
from app.media import files
from app.provenance import keys
from app.provenance.mark import PROGRAM, SOURCE_TYPE, Marking
from liveportrait import __version__
from models.messages import msg

TYPES: Final = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".png": "image/png", ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".avif": "image/avif", ".heic": "image/heic", ".heif": "image/heif",
}  # fmt: skip
BESIDE: Final = (".mkv", ".webm")  # these formats can't hold a manifest, so it is stored in a file beside them
PLAIN: Final = "application/octet-stream"  # a type unknown to c2pa, which then hashes all bytes
SIDECAR: Final = ".c2pa"
ROOM: Final = 1 << 20  # free disk space needed in addition to a second copy of the file
UNKNOWN: Final = "signingCredential.untrusted"  # the signer is on no trust list; the file is not at fault
NO_ROOM: Final = msg(
    "There is not enough disk space for the signed credentials; the metadata say that AI made the result."
)


@dataclass(frozen=True)
class Credentials:
    """Content of a file's signed credentials.

    Attributes:
        state: "valid", "altered" (they don't fit the file, or are damaged) or "unreadable" (c2pa is missing).
        signer: Common name in the certificate.
        trusted: Whether the signer is on a trust list.
        tool: Program that made the claim.
        says_ai: Whether they say that the work was made by AI.
        faults: Codes of validation failures.
        beside: Whether they are stored in a separate file.
    """

    state: str
    signer: str = ""
    trusted: bool = False
    tool: str = ""
    says_ai: bool = False
    faults: tuple[str, ...] = ()
    beside: bool = False


def missing() -> str:
    """Name of the missing package, or empty."""
    for name, package in (("c2pa", "c2pa-python"), ("cryptography", "cryptography")):
        if importlib.util.find_spec(name) is None:
            return package
    return ""


def can_sign(marking: Marking) -> bool:
    """Whether results get credentials: they are requested and the package is installed."""
    lacking = missing()
    return marking.level == "full" and (not lacking or (lacking == "cryptography" and bool(marking.certificate)))


def sidecar(path: Path) -> Path:
    """Name of the credentials file beside a file."""
    return path.with_name(path.name + SIDECAR)


def sign(path: Path, marking: Marking, named: Path) -> tuple[str, bytes]:
    """Sign a finished file under its hidden name, and verify it.

    The signed copy is written under a second hidden name and atomically replaces the first. On any error the file stays
    unchanged; hidden files left by a killed run are removed by the next one.

    Args:
        path: The file; its extension determines the format.
        marking: Signer and content.
        named: The file's final name.

    Returns:
        A sentence on why there are no credentials, or empty; and the manifest to store beside a file that can't hold
        it.
    """
    suffix = path.suffix.lower()
    if not can_sign(marking) or suffix not in (*TYPES, *BESIDE):
        return "", b""
    signed = files.scratch_name(named)
    try:
        if suffix not in BESIDE and shutil.disk_usage(path.parent).free < path.stat().st_size + ROOM:
            return NO_ROOM, b""
        chain, key = keys.signing_pair(marking)
        manifest = _sign(path, signed, marking, chain, key)
        return _checked(path, signed, manifest)
    except (OSError, ValueError, RuntimeError, AppError) as error:
        why = files.reason(error)[0]
        return msg("The result has no signed credentials: {why}. Its metadata say that AI made it.", why), b""
    finally:
        files.remove(signed)


def lay_beside(path: Path, manifest: bytes) -> list[str]:
    """Write the manifest beside a file that can't hold it, replacing that of an older file with the same name.

    Args:
        path: The file under its final name.
        manifest: Result of ``sign``; if it is empty, the manifest of an older file is removed.

    Returns:
        A sentence for the user if it could not be written.
    """
    beside = sidecar(path)
    if not manifest:
        if path.suffix.lower() in BESIDE and not beside.is_symlink():
            files.remove(beside)
        return []
    part = files.scratch_name(beside)
    try:
        part.write_bytes(manifest)
        files.sync(part)
        os.replace(part, beside)
        return []
    except OSError as error:
        what = files.reason(error)[0]
        return [msg("{beside} can't be written: {what}; the tags say that AI made the result.", beside, what)]
    finally:
        files.remove(part)


def _sign(path: Path, signed: Path, marking: Marking, chain: bytes, key: bytes) -> bytes:
    """Write the signed copy; returns the manifest.

    Raises:
        RuntimeError: c2pa fails.
    """
    import c2pa

    kind = TYPES.get(path.suffix.lower(), PLAIN)
    context = c2pa.Context(c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}}))
    try:
        info = c2pa.C2paSignerInfo(alg=keys.algorithm(key).encode(), sign_cert=chain, private_key=key, ta_url=None)
        signer = c2pa.Signer.from_info(info)
        origin = _with_credentials(marking.source)
        builder = c2pa.Builder(statement(kind, marking, kept=origin is not None), context=context)
        if origin is not None:
            with origin.open("rb") as source:
                ingredient = {"title": "source", "relationship": "parentOf", "label": "source", "instance_id": "source"}
                builder.add_ingredient(json.dumps(ingredient), TYPES[origin.suffix.lower()], source)
        if kind == PLAIN:
            builder.set_no_embed()
        with path.open("rb") as plain, signed.open("wb+") as out:
            manifest: bytes = builder.sign(signer, kind, plain, out)
            out.flush()
            os.fsync(out.fileno())
        return manifest
    except Exception as error:  # the result must not be lost because of an error in c2pa
        raise RuntimeError(str(error) or type(error).__name__) from error


def statement(kind: str, marking: Marking, *, kept: bool) -> dict[str, Any]:
    """The manifest: what was done and by which program, without names of files, the computer or its user.

    Args:
        kind: Media type.
        marking: Content.
        kept: Whether the source's own credentials are included.
    """
    agent = {"name": PROGRAM, "version": __version__}
    parameters = {"what": "face motion"} | ({"engine": marking.engine} if marking.engine else {})
    made = {"digitalSourceType": SOURCE_TYPE, "softwareAgent": agent, "parameters": parameters}
    if kept:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["source"]}}
        actions: list[dict[str, Any]] = [opened, {"action": "c2pa.edited", **made}]
    else:
        actions = [{"action": "c2pa.created", **made}]
    return {
        "claim_generator_info": [agent],
        "format": kind,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _with_credentials(source: Path | None) -> Path | None:
    """The source, if it has its own credentials."""
    import c2pa

    if source is None or not source.is_file() or source.suffix.lower() not in TYPES:
        return None
    try:
        with source.open("rb") as stream:
            found = c2pa.Reader.try_create(TYPES[source.suffix.lower()], stream)
            if found is None:
                return None
            found.close()
            return source
    except (c2pa.C2paError, OSError):
        return None


def _checked(path: Path, signed: Path, manifest: bytes) -> tuple[str, bytes]:
    """Verify the signed copy; if it is valid, it replaces the file."""
    beside = path.suffix.lower() in BESIDE
    found = _read(path if beside else signed, TYPES.get(path.suffix.lower(), PLAIN), manifest if beside else None)
    if found is None or found.state != "valid":
        codes = ", ".join(found.faults) if found else "none found"
        said = msg(
            "The signed credentials can't be read back ({codes}); the metadata say that AI made the result.", codes
        )
        return said, b""
    if beside:
        return "", manifest
    os.replace(signed, path)
    return "", b""


# ---- reading --------------------------------------------------------------------------------------------------------


def read(path: Path) -> Credentials | None:
    """The credentials in a file or beside it; None if there are none.

    Raises:
        OSError: It can't be read.
    """
    beside = sidecar(path) if sidecar(path).is_file() else None
    kind = TYPES.get(path.suffix.lower(), PLAIN)
    if importlib.util.find_spec("c2pa") is None:
        there = beside is not None or _holds_manifest(path)
        return Credentials("unreadable", beside=beside is not None) if there else None
    if beside is not None:
        return _read(path, PLAIN, beside.read_bytes())
    return None if kind == PLAIN else _read(path, kind, None)


def _read(path: Path, kind: str, manifest: bytes | None) -> Credentials | None:
    import c2pa

    # only the trust lists included in c2pa are used; nothing is fetched
    settings = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    try:
        with path.open("rb") as stream:
            context = c2pa.Context(c2pa.Settings.from_dict(settings))
            if manifest is None:
                reader = c2pa.Reader.try_create(kind, stream, context=context)
            else:
                reader = c2pa.Reader(kind, stream, manifest, context=context)
            if reader is None:
                return None
            with reader:
                return _parsed(json.loads(reader.json()), beside=manifest is not None)
    except c2pa.C2paError as error:
        return Credentials("altered", faults=(str(error).split(":")[0],), beside=manifest is not None)


def _parsed(report: Mapping[str, Any], *, beside: bool) -> Credentials:
    """Convert c2pa's report."""
    active = report.get("manifests", {}).get(report.get("active_manifest"), {})
    results = report.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    codes = [one.get("code", "") for one in results]
    faults = tuple(code for code in codes if code != UNKNOWN)
    tools = [
        f"{one.get('name', '')} {one.get('version', '')}".strip() for one in active.get("claim_generator_info", [])
    ]
    return Credentials(
        "altered" if faults or report.get("validation_state") == "Invalid" else "valid",
        signer=active.get("signature_info", {}).get("common_name") or "",
        trusted=report.get("validation_state") == "Trusted",
        tool=tools[0] if tools else "",
        says_ai="lgorithmicMedia" in json.dumps(active.get("assertions", [])),
        faults=faults,
        beside=beside,
    )


def _holds_manifest(path: Path) -> bool:
    """Whether a file seems to hold a manifest, judged without c2pa by the label of its outermost box."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    return b"jumbf" in head or b"jumd" in head or b"caBX" in head
