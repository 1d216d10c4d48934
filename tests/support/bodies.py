"""Bodies of messages in PackedForward mode, compressed or not."""

import ctypes
import functools
import gzip

from support.forward import event_time, pack


def packed(entries):
    return b"".join(map(pack, entries))


@functools.cache
def libzstd():
    """The libzstd that husk uses, so that no Python package is needed."""
    library = ctypes.CDLL("libzstd.so.1")
    for name in "ZSTD_compress", "ZSTD_decompress", "ZSTD_compressBound":
        getattr(library, name).restype = ctypes.c_size_t
    return library


def zstd_compress(data):
    output = ctypes.create_string_buffer(libzstd().ZSTD_compressBound(ctypes.c_size_t(len(data))))
    length = libzstd().ZSTD_compress(output, ctypes.c_size_t(len(output)), data, ctypes.c_size_t(len(data)), 3)
    return output.raw[:length]


def zstd_decompress(data):
    output = ctypes.create_string_buffer(1 << 22)
    length = libzstd().ZSTD_decompress(output, ctypes.c_size_t(len(output)), data, ctypes.c_size_t(len(data)))
    assert length <= len(output), "the body is no zstd"
    return output.raw[:length]


COMPRESS = {"gzip": lambda data: gzip.compress(data, mtime=0), "zstd": zstd_compress}
DECOMPRESS = {"gzip": gzip.decompress, "zstd": zstd_decompress}

# Fluent Bit marks the start and the end of a group of entries.
GROUP = [
    [[event_time(0xffffffff), {"schema": "otlp", "resource_id": 0}], {"resource": {"attributes": {}}, "scope": {}}],
    [[event_time(1700000000, 5), {"otlp": {"severity_text": "INFO"}}], {"log": "hello"}],
    [[event_time(0xfffffffe), {}], {}],
]
MARKERS = [GROUP[0], GROUP[2]]
