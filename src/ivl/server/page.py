"""The OpenAPI document as a page that a browser shows without fetching anything.

In: the document. Out: HTML without scripts. Knows no app.
"""

import html
import json
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c;"
    "background:#fff}pre{background:#f3f3f3;padding:.75rem;overflow:auto}code{font-family:ui-monospace,monospace}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#242424}}"
)


def page(document: dict[str, Any]) -> str:
    """All routes, with fields and examples of those that take a body."""
    info = document["info"]
    parts = [f"<h1>{_safe(info['title'])} {_safe(info['version'])}</h1>", f"<p>{_safe(info['description'])}</p>"]
    parts.append('<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>')
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(f"<h2><code>{_safe(method.upper())} {_safe(path)}</code></h2>")
            parts.append(f"<p>{_safe(route.get('description', ''))}</p>")
            if "requestBody" in route:
                parts += _body(path, route["requestBody"]["content"]["application/json"], document)
    meta = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    head = f"{meta}<title>ivl</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body><main>{''.join(parts)}</main></body></html>"


def _body(path: str, content: dict[str, Any], document: dict[str, Any]) -> list[str]:
    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{_safe(name)}</code>{' (required)' if name in required else ''}</td>"
        f"<td>{_safe(field.get('description', ''))}</td></tr>"
        for name, field in schema["properties"].items()
    ]
    parts = [f"<table><thead><tr><th>field</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"]
    for name, example in content["examples"].items():
        value = json.dumps(example["value"], indent=2, ensure_ascii=False).replace("'", "\\u0027")
        command = f"curl http://127.0.0.1:8000{path} -H 'Content-Type: application/json' -d '{value}'"
        parts.append(f"<h3>{_safe(name)}</h3><pre><code>{_safe(command)}</code></pre>")
    return parts


def _safe(text: str) -> str:
    return html.escape(text)
