"""Draw an image anew, smaller or in another format, and otherwise as it was.

Decodes the picture, and so has bounds that ``images`` needs not; runs in ``worker``'s process.
"""

from __future__ import annotations

import contextlib
from typing import IO, Any

from PIL import Image, ImageOps, UnidentifiedImageError

from seedance_async import remedies
from seedance_async.media.problem import Problem
from seedance_async.mediarules import MAX_PX
from seedance_async.remedies import Plan

# Named one by one: Pillow has readers that start other programs.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF"),
    *("AVIF", "DDS", "ICO", "JPEG2000", "PPM", "PCX", "PSD", "QOI", "SGI", "SUN"),
)
_HAVE_LAYERS = ("PSD", "MPO")  # whose frames are no pictures of their own
_LOSSY = ("AVIF", "DDS", "JPEG2000")
_OPTIONS: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 95},
    "webp": {"quality": 95},
    "tiff": {"compression": "tiff_lzw"},
}
_DRAWN = {
    "jpeg": ("L", "RGB", "CMYK", "YCbCr"),
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"),
}


def redraw(file: IO[bytes], to: IO[bytes], plan: Plan) -> None:
    """Draw an image anew.

    Raises:
        Problem: It cannot be read, or not be drawn without guessing.
    """
    with contextlib.suppress(ImportError):  # a thread for each processor takes too much memory
        from PIL import AvifImagePlugin  # noqa: PLC0415

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    Image.init()
    try:
        image: Any = Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        raise Problem("is an image that this Pillow cannot read: a newer one may") from None
    _check(image)
    source = str(image.format)
    image.load()
    profile = image.info.get("icc_profile")
    container = plan.container or _format_for(image, source)
    if plan.scales:
        image = _smaller(image)
    image = ImageOps.exif_transpose(image)
    if image.mode not in _DRAWN.get(container, (image.mode,)):
        if image.mode != "YCbCr":
            raise Problem(f"has pixels of a kind ({image.mode}) that a {container} has not")
        image = image.convert("RGB")
    # The camera's notes stay behind: the one that matters is applied.
    image.save(to, format=container, icc_profile=profile, **_OPTIONS.get(container, {}))


def _check(image: Any) -> None:
    width, height = image.size
    if width * height > remedies.MAX_PIXELS:
        raise Problem(
            f"is {width} x {height} px: more than {remedies.MAX_PIXELS:,} pixels are not decoded"
        )
    pictures = getattr(image, "n_frames", 1)
    if pictures > 1 and image.format not in _HAVE_LAYERS:
        raise Problem(f"has {pictures} pictures: which of them to keep would be a guess")


def _format_for(image: Any, source: str) -> str:
    """Choose the format that takes nothing away, or JPEG where something was already."""
    if image.mode == "CMYK":
        return "jpeg"
    is_lossy = source in _LOSSY and image.mode in _DRAWN["jpeg"]
    return "jpeg" if is_lossy and not image.has_transparency_data else "png"


def _smaller(image: Any) -> Any:
    """Scale it down in colours that can be mixed, and give it as deep as it was."""
    mode = image.mode
    if mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode.startswith("I;16"):
        image = image.convert("I")
    image.thumbnail((MAX_PX, MAX_PX), Image.Resampling.LANCZOS)
    return image.convert("I;16") if mode.startswith("I;16") else image
