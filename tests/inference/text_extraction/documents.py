"""Documents for tests, made as programs make them, and broken ones."""

import zipfile
import zlib
from io import BytesIO

from PIL import Image
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def pdf(*pages: str) -> bytes:
    """Returns a PDF; a page with an empty text is like a scanned one."""
    target = BytesIO()
    canvas = Canvas(target)
    for text in pages:
        canvas.drawString(72, 720, text)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def encrypted_pdf(text: str, password: str) -> bytes:
    """Returns one that opens with the password; with "" it only restricts printing."""
    writer, target = PdfWriter(PdfReader(BytesIO(pdf(text)))), BytesIO()
    writer.encrypt(password, owner_password="owner", algorithm="AES-256")
    writer.write(target)
    return target.getvalue()


def docx(body: str, **others: bytes) -> bytes:
    """Returns a Word document with the XML of its body."""
    xml = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    return zipped({"word/document.xml": xml.encode(), **others})


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def zipped(files: dict[str, bytes]) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def inflating_pdf(size: int) -> bytes:
    """Returns a PDF of one page, whose content unpacks to `size` bytes."""
    content = zlib.compress(b"BT (x) Tj ET " * (size // 13), 9)
    stream = b"<</Length %d/Filter/FlateDecode>>stream\n%b\nendstream" % (len(content), content)
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<>>>>",
        stream,
    )
    numbered = (b"%d 0 obj%bendobj\n" % (number, each) for number, each in enumerate(objects, 1))
    return b"%PDF-1.4\n" + b"".join(numbered) + b"trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF"


def image(form: str, size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    target = BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(target, form, **options)
    return target.getvalue()


def scan(grey: int) -> bytes:
    """Returns an image with 16 bits of grey."""
    target = BytesIO()
    Image.new("I;16", (40, 20), grey).save(target, "PNG")
    return target.getvalue()


def exif(owner: str) -> bytes:
    tags = Image.Exif()
    tags[0x013B] = owner  # the artist
    return tags.tobytes()
