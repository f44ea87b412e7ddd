"""The XMP packet of every picture: made by a trained model, and the facts that name the sample."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Any

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
NAMESPACE = "urn:synthorax:xmp:1.0/"
_HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE}"'
)
_TAIL = "/></rdf:RDF></x:xmpmeta>"
_FACTS = re.compile(r"""\ssynthorax:facts=(?:"([^"<]*)"|'([^'<]*)')""")


def packet(facts: Mapping[str, Any] | None = None) -> str:
    """XMP, ASCII: IPTC's DigitalSourceType and, if given, `facts` as JSON in `synthorax:facts`.

    Raises ValueError for facts with NaN or an infinity, TypeError for what JSON cannot say.
    """
    if facts is None:
        return _HEAD + _TAIL
    # ASCII JSON escapes control characters and lone surrogates, which XML 1.0 forbids even as
    # character references.
    text = html.escape(json.dumps(facts, separators=(",", ":"), allow_nan=False))
    return f'{_HEAD} xmlns:synthorax="{NAMESPACE}" synthorax:facts="{text}"{_TAIL}'


def facts(packet: str | bytes) -> dict[str, Any] | None:
    """The facts in an XMP packet; None where there are none, or what is there is malformed.

    No XML parser: a packet may come from anyone, and parsers expand entities.
    """
    try:
        text = packet.decode() if isinstance(packet, bytes) else packet
        found = _FACTS.search(text)
        if found is None:
            return None
        content = json.loads(html.unescape(found[1] if found[1] is not None else found[2]))
    except (ValueError, RecursionError):  # not UTF-8, not JSON, nested without end
        return None
    return content if isinstance(content, dict) else None
