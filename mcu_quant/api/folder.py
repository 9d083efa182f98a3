"""The firmware folder on disk: written whole or not at all, and described by its manifest.

`manifest.json` holds the hash of every generated file and what is needed to build or test the folder again: the model,
its bindings and states, the data, the instruction set, versions, and the command.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

from mcu_quant import schemas, texts
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, raise_errors
from mcu_quant.texts import Text
from mcu_quant.version import VERSION

MANIFEST = "manifest.json"
REPORT = "report.json"
PAGE = "report.html"
PLAN = "plan.toml"

#: Packages whose version can change what a build makes.
_PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Manifest:
    """How a folder was made. Paths are relative to the folder, so that a moved project still fits together."""

    command: str
    model: str
    model_sha256: str
    bind: Mapping[str, int]
    states: tuple[tuple[str, str], ...]
    stream: tuple[str, ...]
    pipeline: str | None
    #: front and back end of the pipeline are in the firmware; the models in front of this one, with their hashes
    audio: bool
    chain: Mapping[str, str]
    data: str | None
    board: str
    #: speed or size
    optimise: str
    #: what lies in which memory, as `--place` takes it
    places: tuple[str, ...]
    isa: str
    files: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of manifest.json."""
        document = {"tool": "mcu-quant", "version": VERSION, **asdict(self)}
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change what a build makes."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _PACKAGES:
        try:
            found[name] = installed_version(name)
        except PackageNotFoundError:
            continue
    return found


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a firmware folder.

    Raises:
        DiagnosticError: MQ703 if this is no firmware folder or its manifest is damaged.
    """
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiagnosticError(_no_folder(folder, f"{MANIFEST} cannot be read: {error}")) from error
    if not _is_ours(folder):
        raise DiagnosticError(_no_folder(folder, f"{MANIFEST} is none of mcu-quant's"))
    wrong = schemas.validate(document, "manifest", str(folder / MANIFEST), "MQ703")
    if wrong:
        raise DiagnosticError(_other_version(folder, document, wrong))
    known = {k: v for k, v in document.items() if k not in ("tool", "version")}
    pairs = tuple((a, b) for a, b in known["states"])
    return Manifest(**{**known, "states": pairs, "stream": tuple(known["stream"]), "places": tuple(known["places"])})


def _other_version(folder: Path, document: Mapping[str, object], wrong: Sequence[Diagnostic]) -> Diagnostic:
    """One message for a manifest that this version does not know in all its keys, with the command that renews it."""
    keys = ", ".join(d.where.rpartition(": ")[2] for d in wrong)
    version, command = document.get("version", "unknown"), document.get("command")
    message = f"was made by mcu-quant {version}; this is {VERSION}, whose {MANIFEST} differs ({keys})"
    again = command if isinstance(command, str) else "mcu-quant build MODEL --board BOARD"
    return Diagnostic("MQ703", str(folder), message, help=f"build it again: {again} -o {shlex.quote(str(folder))}")


def _no_folder(folder: Path, message: str) -> Diagnostic:
    help_ = "make one with: mcu-quant build MODEL --board BOARD -o FOLDER"
    return Diagnostic("MQ703", str(folder), message, help=help_)


def changed_files(folder: Path, manifest: Manifest) -> list[str]:
    """Generated files that are missing or differ from what the manifest records, by their path in the folder."""
    return _changed(folder, manifest.files)


def _changed(folder: Path, files: Mapping[str, str]) -> list[str]:
    return [name for name, digest in files.items() if _digest(folder / name) != digest]


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()) if path.is_file() else None


# --- writing -------------------------------------------------------------------------------------------------------


def check_target(target: Path, plan: Path | None = None) -> None:
    """Whether a folder may be written here: asked before long work begins, and again by `write`.

    A folder that mcu-quant made is replaced, unless somebody edited a generated file; `plan` may be its edited plan,
    since that is what the new folder is built from.

    Raises:
        DiagnosticError: MQ701, MQ702 or MQ704.
    """
    if not os.path.lexists(target):
        above = next(p for p in target.absolute().parents if os.path.lexists(p))
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise DiagnosticError(_unwritable(target, f"{above} is not a folder that can be written to"))
        return
    if not target.is_dir():
        raise DiagnosticError(Diagnostic("MQ702", str(target), "exists and is not a folder", help=_ELSEWHERE))
    if not any(target.iterdir()):
        return
    if not _is_ours(target):
        raise DiagnosticError(Diagnostic("MQ702", str(target), "holds files of somebody else", help=_ELSEWHERE))
    edited = [n for n in _changed(target, _generated(target)) if (target / n).exists()]
    if plan is not None and plan.resolve() == (target / PLAN).resolve():
        edited = [n for n in edited if n != PLAN]
    raise_errors(
        [Diagnostic("MQ704", str(target / n), "was edited after it was generated", help=_KEEP) for n in edited]
    )


_ELSEWHERE = "choose another folder with -o, or remove this one yourself"
_KEEP = "it would be lost: build into another folder with -o, or remove it (an edited plan.toml: pass it with --plan)"


def _unwritable(target: Path, message: str) -> Diagnostic:
    return Diagnostic("MQ701", str(target), message, help="choose another folder with -o")


def _is_ours(folder: Path) -> bool:
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("tool") == "mcu-quant"


def _generated(folder: Path) -> Mapping[str, str]:
    """Hashes of the files of a folder of ours, whatever version made it."""
    found = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("files")
    return {n: d for n, d in found.items() if isinstance(d, str)} if isinstance(found, dict) else {}


def write(target: Path, files: Mapping[str, Text], plan: Path | None = None) -> None:
    """Write a folder whole, or leave everything as it was. Files that mcu-quant did not generate move along.

    Raises:
        DiagnosticError: MQ701 if it cannot be written; else as `check_target`.
    """
    check_target(target, plan)
    target = target.resolve()
    if target.exists():
        taken = [p for p in _foreign(target) if p.relative_to(target).as_posix() in files]
        raise_errors(
            [Diagnostic("MQ702", str(p), "is not generated, but would be now", help=_ELSEWHERE) for p in taken]
        )
    try:
        with _parents(target.parent), _sibling(target) as made:
            texts.write(made, files)
            if target.exists():
                _bring_along(target, made)
            _swap(made, target)
    except OSError as error:
        raise DiagnosticError(_unwritable(target, f"cannot be written: {error.strerror or error}")) from error


@contextmanager
def _parents(folder: Path) -> Iterator[None]:
    """The folder and those above it, made if missing, and unmade if what follows fails."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in missing:
            path.rmdir()
        raise


@contextmanager
def _sibling(target: Path) -> Iterator[Path]:
    """A new folder on the same file system, gone afterwards unless it was renamed."""
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    made.chmod(0o777 & ~_umask())
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _bring_along(old: Path, new: Path) -> None:
    """Link everything the old manifest does not list into the new folder."""
    for path in _foreign(old):
        name = path.relative_to(old)
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, new / name, follow_symlinks=False)
        except OSError:  # a file system without hard links
            shutil.copy2(path, new / name, follow_symlinks=False)


def _foreign(folder: Path) -> Iterator[Path]:
    """Files in a folder that mcu-quant did not generate."""
    generated = {*_generated(folder), MANIFEST} if _is_ours(folder) else set()
    for path in sorted(folder.rglob("*")):
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and path.relative_to(folder).as_posix() not in generated:
            yield path


def _swap(made: Path, target: Path) -> None:
    """Put the new folder in the place of the old one; the old one comes back if that fails."""
    if not target.exists():
        made.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
    target.rename(old)
    try:
        made.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def make(path: Path) -> None:
    """A folder for files, which may be there already.

    Raises:
        DiagnosticError: MQ701.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiagnosticError(_unwritable(path, f"cannot be made: {error.strerror or error}")) from error


def write_file(path: Path, data: bytes) -> None:
    """Write one file whole, or leave what was there.

    Raises:
        DiagnosticError: MQ701.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.resolve().parent, prefix=f".{path.name}-", delete=False) as made:
            temporary = Path(made.name)
            made.write(data)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise DiagnosticError(_unwritable(path, f"cannot be written: {error.strerror or error}")) from error
