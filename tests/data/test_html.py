"""Answers copied from ChatGPT's page become the Markdown they were made from."""

import pytest

from imitation.data.html import clean_html, has_html, to_markdown
from imitation.values import Example, Message

PAGE = """<div class="markdown prose w-full break-words dark:prose-invert light"><p>To sort, use \
<code>sorted</code>:</p><pre><div class="bg-black rounded-md"><div class="flex">python<button>\
Copy code</button></div><div><code class="hljs">xs = [3, 1]
if xs[0] &lt; 2:
    print(xs)
</code></div></div></pre><ol><li><p>First <strong>thing</strong></p></li><li>Second<ul><li>inner\
</li></ul></li></ol><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td>\
<td>2</td></tr></tbody></table><p>See <a href="http://x.y">this</a>.</p></div>"""
MARKDOWN = """To sort, use `sorted`:

```python
xs = [3, 1]
if xs[0] < 2:
    print(xs)
```

1. First **thing**
2. Second
    - inner

| a | b |
| --- | --- |
| 1 | 2 |

See [this](http://x.y)."""


def test_a_page_becomes_its_markdown():
    assert has_html(PAGE)
    assert to_markdown(PAGE) == MARKDOWN
    assert not has_html(MARKDOWN)


def test_a_button_in_a_fence_goes():
    assert to_markdown("```\npythonCopy codeprint(1)\n```") == "```python\nprint(1)\n```"
    assert to_markdown("``` Copy code\nx\n```") == "```\nx\n```"


def test_answers_about_html_stay_as_they_are():
    for text in (
        "Use <p> and </p> around it.", "```html\n<div class=\"markdown\"><p>x</p></div>\n```",
        "1 < 2 and 3 > 2", "Press the Copy code button.", "Copy",
    ):  # fmt: skip
        assert not has_html(text), text
        assert to_markdown(text) == text


def test_the_step_keeps_everybody_and_counts():
    talks = [
        Example((Message("user", "<p>q</p>"), Message("assistant", text)), id=str(n))
        for n, text in enumerate((PAGE, "plain", "<p></p>"))
    ]
    outcome = clean_html(talks)
    assert [e.messages[1].content for e in outcome.kept] == [MARKDOWN, "plain", "<p></p>"]
    assert outcome.kept[0].messages[0].content == "<p>q</p>", "what people wrote is theirs"
    assert outcome.changed == 1


@pytest.mark.slow
def test_hostile_html_takes_no_time():
    for text in ("<p>" * 50_000, "<ul><li>" * 30_000, '<div class="' * 50_000, "```\n" * 99_999):
        to_markdown(text + "<p>x</p>")
