"""A page of thumbnails: one HTML file that needs no network and no other file."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from components.base.text import shown

SIDE = 160  # pixels of the longer side of a thumbnail, at most
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min({column}px, 100%), 1fr)); gap: 1rem }}
figure {{ margin: 0; overflow-wrap: anywhere }}
img {{ max-width: min({width}px, 100%); display: block }}
</style>
<h1>{title}</h1>
<p>{intro}</p>
<main>
{figures}
</main>
</html>
"""
_FIGURE = '<figure><img alt="" src="{picture}"><figcaption>{captions}</figcaption></figure>'


def page(title: str, intro: str, rows: Iterable[tuple[str, Sequence[str], str]], *, across: int = 1) -> str:
    """The page as HTML.

    Args:
        title: of the page.
        intro: a sentence on what is shown, and in which order.
        rows: (file name, further lines below the picture, data URI of the thumbnail).
        across: thumbnails that stand side by side in each picture.
    """
    figures = (
        _FIGURE.format(picture=picture, captions="<br>".join(map(_text, (name, *lines))))
        for name, lines, picture in rows
    )
    width = SIDE * across
    return _PAGE.format(
        title=_text(title), intro=_text(intro), figures="\n".join(figures), width=width, column=width + 10
    )


def _text(text: str) -> str:
    return html.escape(shown(text))
