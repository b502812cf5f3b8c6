"""The order `prepare`: what comes in, and what a training gets."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.process import Run, work
from trainer.data.preparing import is_held_out
from trainer.refusals import Exit, Refusal

pytestmark = pytest.mark.unit
WORDS = ("river", "stone", "market", "lamp", "garden", "winter", "copper", "letter", "bay", "ox")


def prepare(folder: Path, path: Path, **parameters: object) -> Run:
    return work(folder, "prepare", data={"train": str(path)}, parameters=parameters)


def rows(run: Run, part: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.output / f"{part}.jsonl").read_text().splitlines()]


def report(run: Run) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((run.output / "report.json").read_text())
    return value


def sentence(number: int) -> str:
    """Returns twenty words that share few runs with those of other numbers."""
    return " ".join(
        WORDS[(number // 10**place + place * number) % 10] + str(number) for place in range(20)
    )


def chat(question: str, answer: str) -> str:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": messages}, ensure_ascii=False)


def write(path: Path, *lines: str | bytes) -> Path:
    data = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(b"\n".join(data) + b"\n")
    return path


def test_chats_texts_and_pairs_become_records(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What?"}]
    path = write(
        tmp_path / "set.jsonl",
        chat("你好", "您好！"),
        json.dumps({"prompt": "Two and two", "completion": "four", "meta": 1}),
        "",
        json.dumps({"text": sentence(1), "source": "x"}),
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": parts},
                    {"role": "assistant", "content": "That.", "weight": 1},
                ]
            }
        ),
    )
    run = prepare(tmp_path, path, held_out=0)
    assert rows(run) == [
        {
            "messages": [
                {"role": "user", "content": "你好"},
                {"role": "assistant", "content": "您好！"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "Two and two"},
                {"role": "assistant", "content": "four"},
            ]
        },
        {"text": sentence(1)},
        {
            "messages": [
                {"role": "user", "content": "What?"},
                {"role": "assistant", "content": "That."},
            ]
        },
    ]
    assert run.result["documents"] == 4
    assert report(run)["left_out"] == {}


BROKEN = {
    b'{"text": "half': "bad_json",
    b"[" * 4000: "bad_json",
    b"[1, 2]": "no_object",
    b'{"title": "x"}': "no_text",
    b'{"text": 3}': "no_text",
    b'{"text": "  "}': "empty",
    b'{"text": "a\\u0000b"}': "binary",
    b'{"text": "a\\ud800b"}': "wrong_encoding",
    b'{"text": "caf\xe9"}': "wrong_encoding",
    '{"text": "你好"}'.encode("gb18030"): "wrong_encoding",
    b'{"messages": []}': "no_messages",
    b'{"messages": [{"role": "user", "content": "Hi"}]}': "no_assistant",
    b'{"messages": [{"role": "robot", "content": "Hi"}]}': "bad_role",
    b'{"messages": [{"role": ["user"], "content": "Hi"}]}': "bad_role",
    b'{"text": "a", "person": "a\\ud800b"}': "wrong_encoding",
    b'{"messages": [{"role": "assistant", "content": null}]}': "bad_content",
    b'{"messages": [{"role": "assistant", "content": ""}]}': "empty",
    b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}': "bad_content",
    b'{"text": "' + b"x" * 5000 + b'"}': "line_too_long",
}


@pytest.mark.parametrize(("line", "code"), BROKEN.items(), ids=range(len(BROKEN)))
def test_a_broken_line_is_left_out_and_told_by_its_number(
    tmp_path: Path, line: bytes, code: str
) -> None:
    path = write(tmp_path / "set.jsonl", chat("a", "b"), line, chat("c", "d"))
    run = prepare(tmp_path, path, held_out=0, longest_line=4096)
    assert len(rows(run)) == 2
    assert report(run)["left_out"] == {code: 1}
    assert report(run)["samples"][code] == [{"file": "set.jsonl", "line": 2}]


def test_too_many_broken_lines_refuse_the_set_and_the_report_says_which(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", *["{"] * 12)
    with pytest.raises(Refusal, match="More than 10 lines are broken") as refusal:
        prepare(tmp_path, path, most_broken=10)
    assert (refusal.value.ending, refusal.value.code) == (Exit.BAD_DATA, "too_broken")
    written = json.loads((tmp_path / "output" / "report.json").read_text())
    assert written["left_out"] == {"bad_json": 11}


def test_a_set_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No document is left"):
        prepare(tmp_path, write(tmp_path / "set.jsonl", "{}"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match="There is no file"):
        prepare(tmp_path / "other", tmp_path / "empty")


def test_a_file_in_utf_16_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(chat("a", "b"), encoding="utf-16")
    with pytest.raises(Refusal, match="save it as UTF-8"):
        prepare(tmp_path, path)


def test_a_mark_of_utf_8_and_ends_of_windows_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + chat("a", "b").encode() + b"\r\n")
    assert len(rows(prepare(tmp_path, path, held_out=0))) == 1


def test_markdown_is_cut_at_headings_and_code_stays_whole(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    body = "Some words about the matter, long enough to be a section.\n"
    code = "```\n# no heading, a comment of a script that is shown here\n```\n"
    (folder / "a.md").write_text(f"# First\n\n{body}{code}\n## Second\n\n{body}")
    (folder / "deep" / "b.md").write_text(f"# Third\n\n{body}")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    texts = [row["text"] for row in rows(prepare(tmp_path, folder, held_out=0, deduplicate=False))]
    assert [text.splitlines()[0] for text in texts] == ["# First", "## Second", "# Third"]
    assert code in texts[0]


def test_links_in_a_folder_lead_nowhere(tmp_path: Path) -> None:
    secret = write(
        tmp_path / "secret.txt", "A secret that stands outside of the folder, in a text."
    )
    folder = tmp_path / "docs"
    folder.mkdir()
    write(folder / "a.txt", "A text that stands in the folder, and is long enough for a document.")
    (folder / "b.txt").symlink_to(secret)
    assert [row["text"][:12] for row in rows(prepare(tmp_path, folder, held_out=0))] == [
        "A text that "
    ]


def test_paragraphs_of_a_text_are_joined_up_to_a_length(tmp_path: Path) -> None:
    path = write(tmp_path / "book.txt", *(f"{sentence(n)}\n" for n in range(60)))
    run = prepare(tmp_path, path, held_out=0)
    texts = [row["text"] for row in rows(run)]
    assert all(2000 <= len(text) <= 16_000 for text in texts[:-1])
    assert "".join(texts).replace("\n", " ").split() == " ".join(map(sentence, range(60))).split()


def test_copies_and_near_copies_are_left_out(tmp_path: Path) -> None:
    """Every third has one word changed at its end, which leaves a similarity of 0.95."""
    texts = [sentence(n) + " " + sentence(n + 500) for n in range(60)]
    near = [text.rsplit(" ", 1)[0] + " changed" for text in texts[::3]]
    lines = [json.dumps({"text": text}) for text in (*texts, *texts[:5], *near)]
    run = prepare(tmp_path, write(tmp_path / "set.jsonl", *lines), held_out=0)
    assert [row["text"] for row in rows(run)] == texts
    assert report(run)["copies"] == 25
    assert {sample["similarity"] for sample in report(run)["samples"]["copy"]} <= {1.0, 0.946}


def test_what_is_only_a_little_alike_stays(tmp_path: Path) -> None:
    """Half of the words are the same: a candidate perhaps, but verified it is none."""
    shared = " ".join(f"shared{n}" for n in range(20))
    texts = [f"{shared} {sentence(n)}" for n in range(30)]
    lines = [json.dumps({"text": text}) for text in texts]
    run = prepare(tmp_path, write(tmp_path / "set.jsonl", *lines), held_out=0)
    assert len(rows(run)) == 30


def test_chinese_texts_are_compared_by_letters(tmp_path: Path) -> None:
    text = "本平台按租户分配显卡时间，超出配额的请求会被拒绝，"
    text += "并在响应头里说明何时可以重试，管理员可以随时调整。"
    other = text.replace("管理员", "负责人")
    lines = [json.dumps({"text": each}, ensure_ascii=False) for each in (text, other)]
    path = write(tmp_path / "set.jsonl", *lines)
    assert len(rows(prepare(tmp_path / "one", path, held_out=0, similarity=0.6))) == 1
    assert len(rows(prepare(tmp_path / "two", path, held_out=0, similarity=0.95))) == 2


def test_personal_data_is_masked_before_anything_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", chat("我的手机是13812345678", "好的，13812345678"))
    run = prepare(tmp_path, path, held_out=0)
    assert "13812345678" not in "".join(file.read_text() for file in run.output.iterdir())
    assert report(run)["masked"] == {"PHONE": 2}
    (sample,) = report(run)["samples"]["masked:PHONE"]
    assert (sample["line"], sample["text"]) == (1, "我的手机是[PHONE]\n好的，[PHONE]")
    run = prepare(tmp_path / "plain", path, held_out=0, mask=False)
    assert "13812345678" in (run.output / "train.jsonl").read_text()


def test_the_part_that_is_held_out_depends_on_each_text_alone(tmp_path: Path) -> None:
    texts = [sentence(n) for n in range(400)]
    lines = [json.dumps({"text": text}) for text in texts]
    one = prepare(tmp_path / "one", write(tmp_path / "a.jsonl", *lines), held_out=10)
    two = prepare(
        tmp_path / "two", write(tmp_path / "b.jsonl", *reversed(lines[:200])), held_out=10
    )
    first = {row["text"] for row in rows(one, "held_out")}
    assert 20 <= len(first) <= 60
    assert {row["text"] for row in rows(two, "held_out")} == first & set(texts[:200])
    assert not first & {row["text"] for row in rows(one)}
    assert {text for text in texts if is_held_out(text, 10)} == first


def test_pages_of_markdown_are_held_out_whole(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for page in range(40):
        sections = [f"# Page{page}\n\n{sentence(page * 10 + n)}\n" for n in range(4)]
        (folder / f"{page}.md").write_text("\n".join(sections))
    run = prepare(tmp_path, folder, held_out=20)
    titles = [{row["text"].split()[1] for row in rows(run, part)} for part in ("train", "held_out")]
    assert titles[1]
    assert not titles[0] & titles[1]


def test_a_set_too_small_to_hold_a_part_out_is_warned_of(tmp_path: Path) -> None:
    run = prepare(tmp_path, write(tmp_path / "set.jsonl", chat("a", "b")), held_out=0.01)
    assert "nothing_held_out" in {event.get("code") for event in run.events}


def test_tokens_of_the_base_are_counted(tmp_path: Path) -> None:
    from tests.trainer.formats import tiny

    base = tiny.gguf(tmp_path / "tiny.gguf")
    path = write(tmp_path / "set.jsonl", json.dumps({"text": "the in an"}))
    run = work(
        tmp_path,
        "prepare",
        base=str(base),
        data={"train": str(path)},
        parameters={"held_out": 0},
    )
    assert run.result["tokens"] == 5  # the, a space, in, a space, an


def test_a_record_keeps_its_person(tmp_path: Path) -> None:
    person = "0192e6a0-5d0b-7c6e-9f6e-1f2a3b4c5d6e"
    of_text = json.dumps({"text": f"{sentence(1)} mail me: a.b@example.com", "person": person})
    of_chat = json.dumps({**json.loads(chat("Where?", "There.")), "person": person})
    run = prepare(tmp_path, write(tmp_path / "set.jsonl", of_text, of_chat), held_out=0)
    assert [row["person"] for row in rows(run)] == [person, person]
    assert "a.b@example.com" not in rows(run)[0]["text"]
