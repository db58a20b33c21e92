"""Decode one image into one column of bytes. Training and prediction use this same function.

Unusual images are decoded like this:

- Animations and files of several pages: the first frame, or the one that the recipe names.
- Pixels of 16 bits: the upper 8 bits.
- Transparent pixels: blended with a white background.
- CMYK and other color spaces: converted to RGB.
- EXIF orientation: applied, so that the image is upright.
- Floating-point pixels: refused, because their range is unknown.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import re
import sys
import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageFile, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from xpnet.errors import ImageError
from xpnet.shared_context import SharedContext

from .contents import read_content, why_no_image
from .pixels import converter, make_16_bit_color_transparent, require_known_range
from .resize import Upright, resized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .recipe import Recipe

MAX_FILE_BYTES = 1 << 30
"""The largest file that is read, in bytes."""

PILLOW_PIXELS = 89_478_485
"""Pillow refuses images of more than twice as many pixels."""

MAX_PIXELS = 2 * PILLOW_PIXELS
"""The largest image that is decoded, in pixels. It is Pillow's own limit: a small file can claim any size.

For a JPEG that is scaled down while it is decoded, it limits the scaled size.
"""

JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's names of the formats that are decoded by libjpeg."""

JPEG_SIGNATURE = b"\xff\xd8"
"""The first bytes of JPEG files."""

POSTSCRIPT_SIGNATURES = (b"%!PS", b"\xc5\xd0\xd3\xc6")
"""The first bytes of PostScript files. Pillow would run Ghostscript to decode them."""

OPTIONAL_FORMATS = (
    (
        "HEIC",
        re.compile(rb".{4}ftyp(heic|heix|heim|heis|hevc|hevx|hevm|hevs|mif1|msf1)", re.DOTALL),
        "pillow_heif",
        "register_heif_opener",
    ),
    ("JPEG XL", re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL \r\n\x87\n"), "pillow_jxl", ""),
)
"""Formats of optional packages: name, first bytes, module, and its function that adds the format to Pillow.

Without such a function the import alone adds it.
"""

FORMATS_WITH_FRAMES = ("AVIF", "DCX", "FLI", "GIF", "HEIF", "JXL", "MPO", "PNG", "TIFF", "WEBP")
"""Pillow's names of the formats whose files can hold several pictures, one after the other."""

FORMATS_WITHOUT_A_COUNT = ("GIF", "TIFF")
"""Formats whose files do not say how many frames they have: it is found out by going through them."""

MAX_COUNTED_PAGES = 1000
"""How many pages of a TIFF are counted."""

TIFF_SIGNATURES = (b"II", b"MM")
"""The first bytes of TIFF files."""

UNSUPPORTED = re.compile(
    "unsupported|not supported|not implemented|unimplemented|unknown|cannot find loader|cannot handle",
    re.IGNORECASE,
)
"""Words in the errors of Pillow by which it refuses a kind of image. It has no type of error for that."""

ORIENTATION_TAG = 0x0112
"""The number of EXIF's orientation tag."""


@contextlib.contextmanager
def _usual_settings() -> Iterator[None]:
    kept = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, PILLOW_PIXELS
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = kept


def _without_warnings() -> AbstractContextManager[object]:
    return warnings.catch_warnings(action="ignore")


_SETTINGS, _SILENCE = SharedContext(_usual_settings), SharedContext(_without_warnings)


@contextlib.contextmanager
def usual_pillow() -> Iterator[None]:
    """Return a context in which Pillow decodes as it does by itself, and does not warn about odd metadata.

    A program that uses xpnet may have set Pillow to read truncated images, for example. Then the images that
    are decoded in its own process would differ from those that workers decode. Enter it once for many images:
    entering it for each image would take 3 % of the decoding time. Several threads may be in it at a time.
    """
    # By default, Python without the global lock keeps the filters of warnings for each thread.
    is_of_thread = getattr(sys.flags, "context_aware_warnings", False)
    with _SETTINGS, _without_warnings() if is_of_thread else _SILENCE:
        yield


def decode_to_bytes(
    path: str, recipe: Recipe, read: Callable[[str, int], bytes] = read_content
) -> tuple[bytes, int]:
    """Return an image as n_x bytes, rows from top to bottom and channels varying fastest; and its frames.

    Call it inside `usual_pillow()`.

    Args:
        path: the file, or the name of another input, such as a member of an archive.
        recipe: the size, the resize mode and so on.
        read: reads the content.

    Returns:
        The bytes, and how many frames or pages the file has.

    Raises:
        ImageError: the file cannot be read or is not a valid image. The message does not name the path.
    """
    content = read(path, MAX_FILE_BYTES)
    try:
        return decode_content(content, recipe)
    except ImageError:
        raise
    except UnidentifiedImageError:
        msg = why_no_image(path) or _why_unidentified(content)
        raise ImageError(msg) from None
    except Image.DecompressionBombError:
        msg = f"image of more than {MAX_PIXELS} pixels: --max-pixels allows more"
        raise ImageError(msg) from None
    except MemoryError:
        msg = "does not fit into memory"
        raise ImageError(msg) from None
    except ImportError as error:  # not the image is at fault: memory may be short
        msg = f"cannot be decoded: {error.name or 'a module'} could not be loaded; is there enough memory?"
        raise ImageError(msg) from None
    except Exception as error:
        # On damaged files decoders raise many types: OSError, SyntaxError, struct.error, IndexError, ...
        msg = _explained(error)
        raise ImageError(msg) from None


def _explained(error: Exception) -> str:
    """Return whether an error of a decoder means an unsupported kind of image or a damaged one."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, NotImplementedError) or UNSUPPORTED.search(reason):
        return f"image of a kind that is not supported: {reason}"
    return f"damaged or truncated image: {reason}"


def _why_unidentified(content: bytes) -> str:
    """Return why Pillow opens a file as no format at all."""
    for name, pattern, module, register in OPTIONAL_FORMATS:
        if pattern.match(content):
            if _can_read(module, register):
                break
            return f"{name} image, which is read only with an optional package: pip install 'xpnet[heic]'"
    for name, (open_, accepts) in list(Image.OPEN.items()):
        try:
            if accepts is not None and accepts(content[:16]) is True:
                open_(BytesIO(content), "")
        except Exception as error:
            if not str(error).lower().startswith("not a"):
                return f"{_explained(error)} ({name})"
    return "not an image, or of an unknown format"


def _prepare_pillow(content: bytes) -> None:
    """Load what Pillow needs for files that begin like this."""
    if content.startswith(TIFF_SIGNATURES):
        _silence_libtiff()
    for _, pattern, module, register in OPTIONAL_FORMATS:
        if pattern.match(content):
            _can_read(module, register)


@functools.cache
def _can_read(module: str, register: str) -> bool:
    """Add the format of an optional package to Pillow. Return False if the package is not installed."""
    try:
        package = importlib.import_module(module)
    except ImportError:
        return False
    if register:
        getattr(package, register)()
    return True


@functools.cache
def _silence_libtiff() -> None:
    """Keep libtiff from writing to standard error, in this process. Its errors still reach Pillow."""
    try:
        import ctypes

        from PIL import _imaging

        # The libraries that Pillow's module depends on are searched too. On Windows this finds nothing.
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
            function = getattr(library, name)
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
            function(None)
    except (ImportError, OSError, AttributeError):
        return


def decode_content(content: bytes, recipe: Recipe) -> tuple[bytes, int]:
    """Decode the bytes of a file, as `decode_to_bytes` does. Errors of Pillow are raised as they are."""
    if content.startswith(POSTSCRIPT_SIGNATURES):
        msg = "PostScript is not decoded, because it is a program: convert the file to PNG or JPEG"
        raise ImageError(msg)
    mode = "RGB" if recipe.color_mode == "rgb" else "L"
    _prepare_pillow(content)
    with _open(content, recipe) as opened:
        if isinstance(opened, ImageFile.StubImageFile):
            msg = f"image of a kind that is not supported: {opened.format}"
            raise ImageError(msg)
        frames = count_frames(opened, content, max(MAX_COUNTED_PAGES, recipe.frame))
        if recipe.frame > 1:
            _select_frame(opened, recipe.frame, frames)
        if not _can_be_scaled(opened):
            _require_size(opened, recipe)
        require_known_range(opened)
        image, orientation = _load(opened, content, recipe, mode)
        convert = converter(image, opened, content, mode)
        return resized(Upright(image, orientation, mode, convert), recipe).tobytes(), frames


def _open(content: bytes, recipe: Recipe) -> Image.Image:
    try:
        return Image.open(BytesIO(content))
    except Image.DecompressionBombError:
        if content.startswith(JPEG_SIGNATURE):
            return JpegImageFile(BytesIO(content))  # it may be scaled down while it is decoded
        if recipe.max_pixels is None:
            raise
        for open_, accepts in Image.OPEN.values():
            if accepts is not None and accepts(content[:16]) is True:
                return open_(BytesIO(content), "")
        raise


def count_frames(opened: Image.Image, content: bytes, most: int) -> int:
    """Return how many frames or pages a file has. Of a damaged file, those before the damage count.

    Args:
        opened: the file, as Pillow opened it.
        content: its bytes.
        most: where to stop counting in a TIFF: millions of empty pages fit into a small file.
    """
    if opened.format not in FORMATS_WITH_FRAMES:
        return 1
    if opened.format not in FORMATS_WITHOUT_A_COUNT:
        return int(getattr(opened, "n_frames", 1))
    if opened.format == "TIFF" and not getattr(opened, "is_animated", False):
        return 1
    kind: Any = type(opened)
    other = kind(BytesIO(content))  # counting moves from frame to frame
    try:
        if opened.format == "GIF":
            return int(other.n_frames)
        while other.tell() + 1 < most:
            other.seek(other.tell() + 1)
    except Exception:  # EOFError at the end; of a damaged frame, any
        return int(other.tell()) + 1
    return most


def _select_frame(opened: Image.Image, frame: int, frames: int) -> None:
    if frame > frames:
        msg = f"has {frames} frame{'s' * (frames > 1)}, and --frame {frame} was asked for"
        raise ImageError(msg)
    opened.seek(frame - 1)


def _can_be_scaled(opened: Image.Image) -> bool:
    """Return True for a JPEG that takes memory only for its scaled pixels. A progressive one takes all."""
    return opened.format in JPEG_FORMATS and not opened.info.get("progressive") and not _frame_number(opened)


def _frame_number(opened: Image.Image) -> int:
    """Return which frame was selected, counted from 0."""
    return opened.tell() if opened.format in FORMATS_WITH_FRAMES else 0


def _load(opened: Image.Image, content: bytes, recipe: Recipe, mode: str) -> tuple[Image.Image, int]:
    """Return the decoded frame, not yet turned upright, and its orientation. A JPEG may be scaled down."""
    if opened.format not in JPEG_FORMATS or _frame_number(opened):
        # Load first, then read the orientation: while loading a TIFF, Pillow applies and removes the tag.
        make_16_bit_color_transparent(opened, content)
        opened.load()
        return opened, _orientation(opened)
    orientation = _orientation(opened)
    # libjpeg can decode at 1/2, 1/4 or 1/8 of the size, which is faster. Ask for the smallest size that is
    # not below the wanted one. Orientations 5 to 8 swap width and height.
    least = (recipe.height, recipe.width) if orientation >= 5 else (recipe.width, recipe.height)
    if opened.info.get("icc_profile"):  # it needs all channels
        mode = opened.mode
    full_mode = opened.mode
    opened.draft(mode, least)
    _require_size(opened, recipe)
    if recipe.decoder == "simplejpeg" and full_mode in ("RGB", "L"):
        decoded = _decode_by_simplejpeg(content, mode, least)
        if decoded is not None:
            decoded.info = opened.info
            return decoded, orientation
    opened.load()
    return opened, orientation


def _decode_by_simplejpeg(content: bytes, mode: str, least: tuple[int, int]) -> Image.Image | None:
    """Return a JPEG decoded by simplejpeg, or None if simplejpeg fails: then Pillow decides about the file.

    Args:
        content: the file's bytes.
        mode: Pillow's mode, "RGB" or "L".
        least: the smallest width and height that are large enough.
    """
    import simplejpeg

    try:
        pixels = simplejpeg.decode_jpeg(
            content,
            "RGB" if mode == "RGB" else "GRAY",
            fastdct=False,
            fastupsample=False,
            min_width=least[0],
            min_height=least[1],
        )
    except ValueError:
        return None
    return Image.fromarray(pixels if mode == "RGB" else pixels[:, :, 0])


def _require_size(opened: Image.Image, recipe: Recipe) -> None:
    (width, height), most = opened.size, recipe.max_pixels or MAX_PIXELS
    if width * height > most:
        msg = f"image of {width} x {height} pixels, expected at most {most}: --max-pixels allows more"
        raise ImageError(msg)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, or 1 (upright) if there is none or the EXIF data is damaged."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def codec_versions() -> dict[str, str]:
    """Return the version of the library that Pillow uses for each format, or "" if it is missing."""
    names = {"JPEG": "libjpeg_turbo", "PNG": "zlib", "WebP": "webp", "AVIF": "avif", "TIFF": "libtiff"}
    return {name: str(features.version(library) or "") for name, library in names.items()}
