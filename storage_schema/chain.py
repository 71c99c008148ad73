"""Reading a spec's chain (PROTOCOL.md, section 4): link by link, until one is absent."""

from __future__ import annotations

from storage_schema.errors import Contradiction
from storage_schema.keys import MAX_LINK, LinkId, SpecId, link_key
from storage_schema.records import Link, may_follow
from storage_schema.store.protocol import Blob, Store


def read_link(store: Store, id: LinkId) -> Link | None:
    """Return one link, or None where it is absent; raises DamagedRecord."""
    found = store.get(link_key(id))
    return Link.from_bytes(found.data, id) if isinstance(found, Blob) else None


def read_chain(store: Store, spec: SpecId, first: int = 1) -> list[Link]:
    """Return the links of a chain from number `first` to its end.

    The grammar is checked from the second link read on (from the first one if `first` is 1).

    Raises:
        DamagedRecord: a link's bytes are not what its key promises.
        Contradiction: a link that may not follow the one before it.
    """
    links: list[Link] = []
    for number in range(first, MAX_LINK + 1):
        link = read_link(store, LinkId(spec, number))
        if link is None:
            break
        if links or number == 1:
            check_follows(link, links[-1] if links else None)
        links.append(link)
    return links


def check_follows(link: Link, last: Link | None) -> None:
    """Raise Contradiction, naming the key, where `link` may not stand after `last`."""
    if not may_follow(link.kind, last):
        before = f"after {last.kind}" if last else "at the head of a chain"
        raise Contradiction(link.key, f"{link.kind} stands {before}, which the protocol rules out")


def next_link_number(last: Link | None) -> int:
    """Return the number of the link that comes after `last`."""
    return 1 if last is None else last.id.link + 1
