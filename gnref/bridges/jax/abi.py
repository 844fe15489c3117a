"""XLA's structures for calls of foreign functions, as far as they are read here: xla/ffi/api/c_api.h.

Later minor versions of them only grow at their ends. `VERSION` is that of the XLA that is installed, or None
where it is another major one: then nothing here may be used.
"""

from __future__ import annotations

import re
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    c_uint32,
    c_void_p,
    pointer,
    sizeof,
)
from pathlib import Path
from typing import Any

import jax

MAJOR = 0  # of the versions with this layout
METADATA = 1
INTERNAL = 13
HEAD: Any = (("struct_size", c_size_t), ("extension", c_void_p))


class Version(Structure):
    """XLA_FFI_Api_Version."""

    _fields_ = (*HEAD, ("major", c_int), ("minor", c_int))


class Span(Structure):
    """XLA_FFI_ByteSpan: a string."""

    _fields_ = (("start", c_void_p), ("length", c_size_t))


class Buffer(Structure):
    """XLA_FFI_Buffer: an array; its rank and dimensions, which are known here, follow."""

    _fields_ = (*HEAD, ("dtype", c_int), ("data", c_void_p))


class Buffers(Structure):
    """XLA_FFI_Args and XLA_FFI_Rets."""

    _fields_ = (*HEAD, ("size", c_int64), ("types", c_void_p), ("items", POINTER(POINTER(Buffer))))


class Attributes(Structure):
    """XLA_FFI_Attrs, all of them strings."""

    _fields_ = (
        *HEAD,
        ("size", c_int64),
        ("types", c_void_p),
        ("names", c_void_p),
        ("items", POINTER(POINTER(Span))),
    )


class ErrorCreate(Structure):
    """XLA_FFI_Error_Create_Args."""

    _fields_ = (*HEAD, ("message", c_char_p), ("code", c_int))


class Api(Structure):
    """XLA_FFI_Api: its first function is the one that makes an error."""

    _fields_ = (
        *HEAD,
        ("version", Version),
        ("internal", c_void_p),
        ("create_error", CFUNCTYPE(c_void_p, POINTER(ErrorCreate))),
    )


class Metadata(Structure):
    """XLA_FFI_Metadata, which a function fills in when it is registered."""

    _fields_ = (("struct_size", c_size_t), ("version", Version), ("traits", c_uint32))


class Extension(Structure):
    """XLA_FFI_Metadata_Extension."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("type", c_int),
        ("next", c_void_p),
        ("metadata", POINTER(Metadata)),
    )


class Frame(Structure):
    """XLA_FFI_CallFrame: all that a call consists of."""

    _fields_ = (
        ("struct_size", c_size_t),
        ("extension", POINTER(Extension)),
        ("api", POINTER(Api)),
        ("context", c_void_p),
        ("stage", c_int),
        ("given", Buffers),
        ("results", Buffers),
        ("attributes", Attributes),
    )


Handler = CFUNCTYPE(c_void_p, POINTER(Frame))


def version() -> tuple[int, int] | None:
    """The version of XLA's structures, from the header beside it; None if they are not those of this file.

    Within a major version they change compatibly.
    """
    if not hasattr(jax, "ffi"):  # before JAX 0.5
        return None
    try:
        header = Path(jax.ffi.include_dir(), "xla", "ffi", "api", "c_api.h").read_text(encoding="utf-8")
    except OSError:
        return None
    found = dict(re.findall(r"#define XLA_FFI_API_(MAJOR|MINOR) (\d+)", header))
    return (MAJOR, int(found["MINOR"])) if found.get("MAJOR") == str(MAJOR) and "MINOR" in found else None


def described(frame: Any) -> bool:
    """Answer the question for the version that XLA asks a new function, if this is what the call is."""
    if not frame.extension or frame.extension.contents.type != METADATA:
        return False
    metadata = frame.extension.contents.metadata.contents
    metadata.version.major, metadata.version.minor = VERSION or (-1, -1)
    metadata.traits = 0
    return True


def error(frame: Any, message: str) -> int | None:
    """An error for XLA to raise, where the program waits for its results."""
    made = ErrorCreate(sizeof(ErrorCreate), None, message.encode(errors="replace"), INTERNAL)
    found: int | None = frame.api.contents.create_error(pointer(made))
    return found


VERSION = version()
