"""Bad images: cut, damaged, lying about their size, of several frames, or no image at all."""

from __future__ import annotations

import gzip
import io

import numpy as np

from tests.hostile import png, rasters, zips
from tests.hostile.cases import Case

_CUT = ("truncated", "decode", "damaged", "incomplete", "cut", "not whole", "broken")
_UNKNOWN = ("not an image", "not read", "format", "kind", "header", "identif")
_LARGE = ("pixel", "large", "bomb", "allowed")
_SIZE = ("pixel", "size", "height", "width", "header", "large", "allowed", "decode")
_FRAMES = ("frame", "page", "animat", "several", "one image")
_UNPACKED = ("decompress", "large", "decode", "bomb", "chunk", "profile", "text")

_HTML = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect/></svg>\n'
_PDF = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
# A program for Ghostscript, which Pillow would start for it.
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n(x) run\n%%EOF\n"


def _npy() -> bytes:
    out = io.BytesIO()
    np.save(out, np.zeros((64, 64), np.uint8))
    return out.getvalue()


def _zip() -> bytes:
    return zips.zipped([zips.member("inner.png", png.whole())])


IMAGES: tuple[Case, ...] = (
    Case("empty", "NORMAL/empty.png", ("empty", "no bytes", "zero bytes"), lambda: b""),
    Case("cut-jpeg", "NORMAL/cut.jpg", _CUT, rasters.cut_jpeg),
    Case("jpeg-header-only", "NORMAL/header.jpg", _CUT, rasters.jpeg_header),
    Case("jpeg-claims-65535", "NORMAL/claims.jpg", _LARGE, rasters.claiming_jpeg),
    Case("png-wrong-crc", "NORMAL/crc.png", (*_CUT, "crc", "checksum"), png.damaged),
    Case("png-cut-idat", "NORMAL/cut.png", _CUT, png.cut_in_data),
    Case("png-part-of-a-row", "NORMAL/row.png", _CUT, png.part_of_a_row),
    Case("png-claimed-bomb", "NORMAL/claimed.png", _LARGE, png.claimed_bomb),
    Case("png-real-bomb", "NORMAL/bomb.png", _LARGE, png.real_bomb),
    Case("png-zero-width", "NORMAL/zero.png", (*_SIZE, "no picture"), png.zero_width),
    Case("png-text-bomb", "NORMAL/text-bomb.png", _UNPACKED, png.text_bomb),
    Case("png-profile-bomb", "NORMAL/profile-bomb.png", _UNPACKED, png.profile_bomb),
    Case("png-animated", "NORMAL/animated.png", _FRAMES,
         lambda: rasters.encoded("PNG", (0, 60, 120))),
    Case("webp-animated", "NORMAL/animated.webp", _FRAMES,
         lambda: rasters.encoded("WEBP", (0, 60, 120))),
    Case("webp-cut", "NORMAL/cut.webp", (*_CUT, *_UNKNOWN), rasters.cut_webp),
    Case("tiff-pages", "NORMAL/pages.tif", _FRAMES, lambda: rasters.tiff(pages=3)),
    Case("tiff-loop", "NORMAL/loop.tif", (*_FRAMES, "loop", "decode"), rasters.looping_tiff),
    Case("tiff-strips-outside", "NORMAL/outside.tif", (*_CUT, "strip", "outside"),
         rasters.strips_outside),
    Case("bmp-negative-height", "NORMAL/negative.bmp", _SIZE,
         lambda: rasters.bmp(64, -1_000_000_000)),
    Case("bmp-huge-height", "NORMAL/huge.bmp", _SIZE, lambda: rasters.bmp(64, 2_000_000_000)),
    Case("bmp-negative-width", "NORMAL/width.bmp", _SIZE, lambda: rasters.bmp(-64, 64)),
    Case("gif", "NORMAL/still.gif", ("gif", *_UNKNOWN), lambda: rasters.encoded("GIF")),
    Case("text-as-png", "NORMAL/report.png", ("text", *_UNKNOWN),
         lambda: b"No acute cardiopulmonary process.\n" * 20),
    Case("html-as-jpg", "NORMAL/page.jpg", ("html", "web page", *_UNKNOWN), lambda: _HTML),
    Case("svg-as-png", "NORMAL/drawing.png", ("svg", "xml", *_UNKNOWN), lambda: _SVG),
    Case("pdf-as-jpg", "NORMAL/letter.jpg", ("pdf", *_UNKNOWN), lambda: _PDF),
    Case("eps-as-png", "NORMAL/program.png", ("postscript", "eps", *_UNKNOWN), lambda: _EPS),
    Case("zip-as-png", "NORMAL/archive.png", ("archive", "zip", *_UNKNOWN), _zip),
    Case("gzip-as-png", "NORMAL/packed.png", ("archive", "gzip", *_UNKNOWN),
         lambda: gzip.compress(png.whole(), mtime=0)),
    Case("npy", "NORMAL/array.npy", ("numpy", "array", *_UNKNOWN), _npy),
    Case("elf-as-jpeg", "NORMAL/tool.jpeg", ("program", "executable", *_UNKNOWN),
         lambda: b"\x7fELF\x02\x01\x01" + bytes(57) + b"\x90" * 64),
    Case("exe-as-jpeg", "NORMAL/setup.jpeg", ("program", "executable", *_UNKNOWN),
         lambda: b"MZ\x90\x00" + bytes(60) + b"This program cannot be run in DOS mode.\r\r\n$"),
)  # fmt: skip

# Pillow takes these for whole: only a validator that looks further can refuse them.
LENIENT: tuple[Case, ...] = (
    Case("png-too-few-rows", "NORMAL/rows.png", _CUT, png.too_few_rows),
    Case("png-wrong-crc-alone", "NORMAL/crc-alone.png", (*_CUT, "crc", "checksum"),
         png.wrong_crc_alone),
)  # fmt: skip
