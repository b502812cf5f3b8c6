"""Images as every engine takes them: PNG or JPEG, of a bounded size, without metadata."""

from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from inference.text_extraction.unreadable import UnreadableDocument
from inference.text_extraction.wire import Extracted

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 50_000_000
LONGEST_SIDE = 1536  # pixels; models look at no more of an image
LARGEST_PNG = 1 << 20  # bytes; a larger one, such as a photo, becomes a JPEG
QUALITY = 90
_WHITE = (255, 255, 255)


def load() -> None:
    Image.init()  # all formats: a file of none of ours has it look for others


def read(raw: bytes) -> Extracted:
    """Raises UnreadableDocument."""
    try:
        with Image.open(BytesIO(raw), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise UnreadableDocument("too_many_pixels")
            is_png = opened.format == "PNG"
            image = _upright(opened)
    except UnidentifiedImageError:
        raise UnreadableDocument("other_content") from None
    except Image.DecompressionBombError:
        raise UnreadableDocument("too_many_pixels") from None
    content = _encoded(image, "PNG") if is_png else b""
    if is_png and len(content) <= LARGEST_PNG:
        return _extracted(image, content, "image/png")
    return _extracted(image, _encoded(image, "JPEG"), "image/jpeg")


def _upright(opened: Image.Image) -> Image.Image:
    """Returns the image as a camera's mark turns it, small, on white."""
    opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a JPEG is decoded smaller at once
    image = _of_bytes(ImageOps.exif_transpose(opened))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    clear = image.convert("RGBA")
    flat = Image.new("RGB", clear.size, _WHITE)
    flat.paste(clear, mask=clear.getchannel("A"))
    return flat


def _of_bytes(image: Image.Image) -> Image.Image:
    """Returns 16 bits of grey, as of a scanner, as 8. Pillow would cut them to white."""
    if not image.mode.startswith("I;16"):
        return image
    return image.convert("I").point(lambda grey: grey / 257).convert("L")


def _encoded(image: Image.Image, form: str) -> bytes:
    target = BytesIO()
    image.save(target, form, quality=QUALITY)
    return target.getvalue()


def _extracted(image: Image.Image, content: bytes, media_type: str) -> Extracted:
    return Extracted(image=content, media_type=media_type, width=image.width, height=image.height)
