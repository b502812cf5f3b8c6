"""The text that is read of a file, and the files that are refused."""

import resource
import signal
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from inference.text_extraction import extraction
from inference.text_extraction.extraction import ExtractionBusy, extract
from inference.text_extraction.kinds import FileKind, kind_of
from inference.text_extraction.unreadable import UnreadableDocument
from tests.inference.text_extraction import documents as made

pytestmark = pytest.mark.unit
CELL = "<w:tc>{}</w:tc>"
ENTITIES = b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"ha") for n in range(10)
)
LAUGHS = b"<!DOCTYPE x [%b]><w:document xmlns:w='x'>&a9;</w:document>" % ENTITIES


def refusal(raw: bytes, kind: FileKind) -> str:
    with pytest.raises(UnreadableDocument) as refused:
        extract(raw, kind)
    return refused.value.code


def test_a_text_comes_with_our_line_ends_in_any_usual_encoding() -> None:
    chinese = "这是中文的文字，我们在这里工作。"
    assert extract("a\r\nb\x0c中".encode(), FileKind.TEXT).text == "a\nb\n中"
    assert extract(chinese.encode("gb18030"), FileKind.TEXT).text == chinese


@pytest.mark.parametrize("text", ["Keep it at 20 °C.", "5 µm, 20 °C", "École: 12 µl"])
def test_latin_text_is_not_taken_for_chinese(text: str) -> None:
    """Its signs and the letters behind them are characters of GB 18030."""
    assert text.encode("latin-1").decode("gb18030")
    assert refusal(text.encode("latin-1"), FileKind.TEXT) == "encoding"


def test_a_pdf_comes_page_by_page() -> None:
    extracted = extract(made.pdf("Net 30 days", "", "Signed"), FileKind.PDF)
    assert extracted.text == "[page 1]\nNet 30 days\n\n[page 3]\nSigned"
    assert extracted.pages == 3


def test_a_pdf_that_only_restricts_printing_is_read() -> None:
    assert "clear" in extract(made.encrypted_pdf("clear", ""), FileKind.PDF).text


def test_a_word_document_comes_with_its_tables() -> None:
    cells = "".join(CELL.format(made.paragraph(text)) for text in ("Rent", "900 &lt;net&gt;"))
    body = made.paragraph("Costs") + f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    assert extract(made.docx(body), FileKind.DOCX).text == "Costs\nRent | 900 <net>"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_an_image_comes_small_and_without_metadata(form: str) -> None:
    exif = made.exif("a camera's owner")
    extracted = extract(made.image(form, (3000, 1500), exif=exif), FileKind.IMAGE)
    assert (extracted.width, extracted.height) == (1536, 768)
    assert extracted.media_type == ("image/png" if form == "PNG" else "image/jpeg")
    assert b"owner" not in extracted.image


def test_a_scan_of_many_greys_has_eight_bits_of_them() -> None:
    """Pillow would make white of them."""
    extracted = extract(made.scan(257 * 100), FileKind.IMAGE)
    with Image.open(BytesIO(extracted.image)) as image:
        assert (image.size, image.getpixel((1, 1))) == ((40, 20), (100, 100, 100))


@pytest.mark.parametrize(
    ("raw", "kind", "code"),
    [
        (b" \n\t", FileKind.TEXT, "no_text"),
        (bytes(range(32)) * 50, FileKind.TEXT, "not_text"),
        (b"\xff\xfe\x00\xd8\x00", FileKind.TEXT, "encoding"),
        (b"a" * 1_000_001, FileKind.TEXT, "too_much_text"),
        (made.pdf("", ""), FileKind.PDF, "no_text"),
        (made.pdf("cut off")[:400], FileKind.PDF, "broken"),
        (b"hello", FileKind.PDF, "other_content"),
        (made.encrypted_pdf("secret", "pw"), FileKind.PDF, "encrypted"),
        (made.inflating_pdf(200_000_000), FileKind.PDF, "unpacks_too_large"),
        (made.docx(made.paragraph("x" * 40_000_000)), FileKind.DOCX, "unpacks_too_large"),
        (made.zipped({"word/document.xml": LAUGHS}), FileKind.DOCX, "broken"),
        (made.zipped({"a.txt": b"a"}), FileKind.DOCX, "other_content"),
        (made.docx(made.paragraph("x"))[:80], FileKind.DOCX, "broken"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), FileKind.DOCX, "office_type"),
        (made.image("GIF"), FileKind.IMAGE, "other_content"),
        (made.image("PNG")[:60], FileKind.IMAGE, "broken"),
        (made.image("PNG", (10_000, 6_000)), FileKind.IMAGE, "too_many_pixels"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,  # a zip has a time
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    raw: bytes, kind: FileKind, code: str
) -> None:
    assert refusal(raw, kind) == code


def test_a_name_shows_the_kind() -> None:
    names = {"a.PDF": FileKind.PDF, "b.tar.md": FileKind.TEXT, "Dockerfile": FileKind.TEXT}
    assert {name: kind_of(name) for name in names} == names
    for name, code in {"a.xlsx": "office_type", "a.exe": "wrong_type", "a": "wrong_type"}.items():
        with pytest.raises(UnreadableDocument, match=code):
            kind_of(name)


def test_only_so_many_files_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "PATIENCE_S", 0.01)
    with extraction._free, extraction._free, pytest.raises(ExtractionBusy):
        extract(b"a", FileKind.TEXT)
    assert extract(b"a", FileKind.TEXT).text == "a"


# The process -------------------------------------------------------------------------------------
def ending(act: str, **limits: int) -> subprocess.CompletedProcess[str]:
    """Runs a statement as the process would that has given up its rights."""
    lowered = "".join(f"child.LIMITS[resource.{name}] = {most};" for name, most in limits.items())
    start = f"import resource, socket; from inference.text_extraction import child; {lowered}"
    program = f"{start} child.give_up_rights()\n{act}"
    command = [sys.executable, "-I", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env={}, check=False)


@pytest.mark.parametrize(
    "act",
    [
        "open('/etc/passwd')",
        "socket.socket()",
        "import os; os.close(0); os.open('/etc/passwd', os.O_RDONLY)",
        "import os; os.close(0); socket.socket()",
    ],
)
def test_the_process_opens_neither_files_nor_connections(act: str) -> None:
    ended = ending(act)
    assert ended.returncode == 1
    assert "Too many open files" in ended.stderr


def test_the_process_ends_at_its_limits() -> None:
    assert "MemoryError" in ending("bytearray(1 << 30)").stderr
    endless = ending("while True: pass", RLIMIT_CPU=1)
    assert -endless.returncode in (signal.SIGXCPU, signal.SIGKILL)


def test_the_process_has_none_of_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREBAY_SECRET_FOR_TEST", "x")
    real, environments = subprocess.run, []

    def run(command: list[str], **options: object) -> object:
        environments.append(options["env"])
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    extract(b"a", FileKind.TEXT)
    assert environments == [{}]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 3  # ours are as they were
