"""Answers with reasoning, as engines write it."""

# (text, field) -> (text, reasoning); chat/test_browser.py asks the same of the page's script
CASES = [
    (("Hello", ""), ("Hello", "")),
    (("<think>\nHm.\n</think>\n\nHello", ""), ("Hello", "Hm.")),
    ((" \n<think>Hm.</think>Hello", ""), ("Hello", "Hm.")),
    (("<think>Hm, not done", ""), ("", "Hm, not done")),
    (("<think>\n\n</think>\n\nHello", ""), ("Hello", "")),
    (("<think>a</think>b</think>c", ""), ("b</think>c", "a")),
    (("Hm.\nSo.\n</think>\n\nHello", ""), ("Hello", "Hm.\nSo.")),
    (("</think>\nHello", ""), ("Hello", "")),
    (
        ("Write <think> and\n</think> around it.", ""),
        ("Write <think> and\n</think> around it.", ""),
    ),
    (("Close it with </think>.", ""), ("Close it with </think>.", "")),
    (("Hello", "Hm."), ("Hello", "Hm.")),
    (("<think> is a tag.", "Hm."), ("<think> is a tag.", "Hm.")),
]
