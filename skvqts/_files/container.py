"""Sealed files: a JSON manifest and NumPy arrays that are read whole and unharmed, or not at all.

A file is an uncompressed zip archive with a member ``manifest.json`` and a member ``NAME.npy`` for
each array, so that ``numpy.load(path)`` and any zip tool can look into it. The comment of the
archive, at the very end, is a seal: the version of the format and the SHA-256 digest of everything
before the digits of the digest. Nothing is parsed before the digest has been found right. As anyone
can seal a file, what is parsed is not trusted either: no member is compressed, all of them together
are no larger than the file, and arrays hold nothing but numbers, strings and dates.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
import stat
import struct
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..exceptions import ModelFileError

FORMAT = 1
_MANIFEST = "manifest.json"
_DIGITS = 64
_SEAL = re.compile(rb"skvqts format (\d{3}) sha256 ([0-9a-f]{64})\Z")
_SEAL_SIZE = len("skvqts format 001 sha256 ") + _DIGITS
_MOST_TEXT = 2**20  # bytes of a manifest
_MOST_VALUES = 2**16  # in it: a byte of text can become twenty in memory
_MOST_LISTED = 2**19  # bytes of the archive's list of members
_KINDS = "biufcUSmM"  # of dtypes: numbers, strings, dates
_STALE = 600.0  # seconds after which nobody is writing a temporary file any more
_END = struct.Struct("<4sHHHHLLH")  # of a zip archive, before the comment
_LARGE_END = struct.Struct("<4sLQL")  # before that, in archives of more than 2 GB


def write_file(path, manifest, arrays):
    """Write a manifest and arrays to a file that is whole, or as it was before.

    Parameters
    ----------
    path : str, bytes or os.PathLike
    manifest : dict
        What JSON can hold.
    arrays : dict of str to ndarray

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If there is more than such a file can hold besides arrays.
    """
    text = json.dumps(manifest, allow_nan=False).encode()
    _check_text(text)
    with replacing(path) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(_MANIFEST), text)
            for name, array in arrays.items():
                # A ZipInfo has a constant date, so that equal models make equal files.
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=array.nbytes > 2**30) as stream:
                    array = np.asarray(array, order="C")
                    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
            archive.comment = f"skvqts format {FORMAT:03d} sha256 {'0' * _DIGITS}".encode()
        _check_list(file, file.seek(0, os.SEEK_END))
        file.seek(-_DIGITS, os.SEEK_END)
        digest = _digest(file, file.tell())
        file.write(digest.encode())


@contextmanager
def replacing(path):
    """Open a binary file that takes the place of `path` once it has been written without error.

    It is written beside it, reaches the disk and is then renamed, so that whatever happens the old
    file or the new one is there. What killed processes have left of such files is removed.
    """
    target = Path(os.path.realpath(os.fsdecode(path)))
    if target.is_dir():
        raise IsADirectoryError(f"{os.fsdecode(path)!r} is a folder, not a file.")
    if target.exists() and not target.is_file():
        raise OSError(f"{os.fsdecode(path)!r} is a device, which no file takes the place of.")
    _remove_temporaries(target, older_than=_STALE)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "x+b") as file:
            if target.exists():
                shutil.copymode(target, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


def remove_file(path):
    """Remove a file, and what killed processes have left of others that were to take its place."""
    target = Path(os.path.realpath(os.fsdecode(path)))
    target.unlink(missing_ok=True)
    _remove_temporaries(target, older_than=0.0)


def _remove_temporaries(target, older_than):
    for left in target.parent.glob(f".{_literal(target.name)}.????????????????.tmp"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - left.stat().st_mtime >= older_than:
                left.unlink()


def _literal(name):
    """A name as a pattern that matches nothing else."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _sync_folder(folder):
    """Let a renaming reach the disk, where the system has a way to ask for it."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_file(path):
    """The manifest and the arrays of a file that `write_file` wrote.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    manifest : dict
    arrays : dict of str to ndarray

    Raises
    ------
    ModelFileError
        If the file is not one of this format, is damaged, or is not what it claims to be.
    OSError
        If there is no file, or it cannot be read.
    """
    name = repr(os.fsdecode(path))
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # reading from it might never end
        raise ModelFileError(f"{name} is not a file but a device.")
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        _check_seal(file, size, name)
        try:
            _check_list(file, size)
            with zipfile.ZipFile(file) as archive:
                members = _checked_members(archive, size)
                text = archive.read(members.pop(_MANIFEST))
                _check_text(text)
                manifest = json.loads(text)
                arrays = {
                    member.removesuffix(".npy"): _array(archive.read(info))
                    for member, info in members.items()
                }
        # Parsers raise errors of many kinds when they are handed nonsense.
        except Exception as error:
            raise ModelFileError(f"{name} is not a valid skvqts file: {error}") from error
    if not isinstance(manifest, dict):
        raise ModelFileError(f"{name} is not a valid skvqts file: its manifest is no dictionary.")
    return manifest, arrays


def _check_seal(file, size, name):
    """Refuse a file whose last bytes are not the digest of all others."""
    file.seek(max(0, size - _SEAL_SIZE))
    seal = _SEAL.fullmatch(file.read(_SEAL_SIZE))
    if seal is None:
        raise ModelFileError(f"{name} {_what_it_is(file, size)}")
    version = int(seal[1])
    if version > FORMAT:
        raise ModelFileError(
            f"{name} has format {version}, and this skvqts reads formats up to {FORMAT}: it was "
            "written by a newer skvqts, or is damaged. Install a newer one."
        )
    if _digest(file, size - _DIGITS) != seal[2].decode() or version < 1:
        raise ModelFileError(f"{name} is damaged: its checksum does not fit what it holds.")


def _what_it_is(file, size):
    """Half a sentence about a file without a seal."""
    if size == 0:
        return "is empty."
    file.seek(0)
    start = file.read(200)
    if start.startswith(b"PK") and _MANIFEST.encode() in start:
        return "is a skvqts file that was cut off, or that something was appended to."
    # A pickle runs code when it is opened: it is named, not opened.
    if start[:1] == b"\x80":
        return "is not a skvqts file but a pickle: open it with pickle or joblib, if you trust it."
    return "is not a skvqts file, or only the beginning of one."


def _digest(file, size):
    """SHA-256 of the first `size` bytes, as hexadecimal digits; the file then stands after them."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0:
        block = file.read(min(size, 2**20))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


def _check_list(file, size):
    """Refuse an archive whose list of members is large: each of them takes much memory."""
    file.seek(max(0, size - _SEAL_SIZE - _END.size - _LARGE_END.size))
    large, end = file.read(_LARGE_END.size), file.read(_END.size)
    if len(end) < _END.size or end[:4] != b"PK\x05\x06":
        raise ValueError("the end of its archive is not where it should be.")
    if large[:4] == b"PK\x06\x07" and size < 2**31:
        raise ValueError("its archive claims to be larger than the file.")
    *_, n_bytes_of_list, _, _ = _END.unpack(end)
    if n_bytes_of_list > _MOST_LISTED:
        raise ValueError("its archive has too many members.")


def _checked_members(archive, size):
    """Members by name, none of which can become larger than the file."""
    members = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"its member {info.filename!r} is compressed.")
        if info.filename in members:
            raise ValueError(f"it has two members {info.filename!r}.")
        if info.filename != _MANIFEST and not info.filename.endswith(".npy"):
            raise ValueError(f"it has a member {info.filename!r}.")
        members[info.filename] = info
    if sum(info.file_size for info in members.values()) > size:
        raise ValueError("its members overlap.")
    if _MANIFEST not in members:
        raise ValueError(f"it has no {_MANIFEST}.")
    return members


def _check_text(text):
    """Refuse a manifest that would take much more memory than the file."""
    n_values = sum(text.count(character) for character in (b",", b"[", b"{"))
    if len(text) > _MOST_TEXT or n_values > _MOST_VALUES:
        raise ValueError(f"besides arrays there are too many values: {n_values:,}.")


def _array(data):
    """The array in the bytes of an .npy file."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("an array in it has a format of another version.")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in _KINDS or fortran_order or dtype.subdtype is not None:
        raise ValueError(f"an array in it is of a kind that is not allowed: {dtype}.")
    start = stream.tell()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"an array in it has not the values of its shape {shape}.")
    if dtype.itemsize == 0:
        raise ValueError("an array in it has values without size.")
    if math.prod(shape) == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype, offset=start).reshape(shape).copy()
