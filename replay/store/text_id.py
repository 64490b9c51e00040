"""The hash that stands for a text in digests."""

from hashlib import blake2b


def text_id(text: str) -> int:
    """Return the 64-bit hash of a text, as a signed number."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)
