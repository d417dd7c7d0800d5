"""The documentation page: the OpenAPI document as HTML, without a script or a foreign address."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font: 600 1.05rem ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }
tr + tr { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
pre { overflow-x: auto; }
"""


def page(document: Mapping[str, Any]) -> str:
    """The whole interface on one page."""
    info = document["info"]
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(
        _schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        "<p>Send your API key in the header <code>x-api-key</code>. Errors are problem documents "
        'of RFC 9457. The same as <a href="openapi.json">OpenAPI</a>.</p>'
        f"{operations}<h2>Shapes</h2>{schemas}</body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    key = " (no key)" if operation.get("security") == [] else ""
    parameters = "".join(_parameter(parameter) for parameter in operation["parameters"])
    responses = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td>"
        f"<td>{_shape_links(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<h2 id="{escape(operation["operationId"])}">{method.upper()} {escape(path)}{key}</h2>'
        f"<p>{escape(operation['summary'])} {escape(operation.get('description', ''))}</p>"
        + (f"<table>{parameters}</table>" if parameters else "")
        + f"<h3>Answers</h3><table>{responses}</table>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = json.dumps(parameter["schema"], ensure_ascii=False)
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}</td>"
        f"<td>{escape(parameter['description'])}<br><code>{escape(schema)}</code></td></tr>"
    )


def _shape_links(answer: Mapping[str, Any]) -> str:
    return ", ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in _shapes(answer))


def _shapes(answer: Mapping[str, Any]) -> Iterator[str]:
    for content in answer.get("content", {}).values():
        reference = content["schema"].get("$ref")
        if reference:
            yield reference.rpartition("/")[2]


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    return (
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> '
        f"{escape(schema.get('description', ''))}</summary><pre>{escape(text)}</pre></details>"
    )
