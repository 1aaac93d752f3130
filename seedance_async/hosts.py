"""Whether a host could be reached from the internet, judged by its text alone.

Never asks DNS: a name is looked at, not looked up. Knows the spellings that browsers and C
libraries take for the same address (``127.1``, ``2130706433``, ``0x7f.0.0.1``).
"""

from __future__ import annotations

import ipaddress
import unicodedata
from urllib.parse import unquote

# Names that never resolve on the public internet: RFC 6761 (localhost), RFC 6762 with its
# appendix G (local and what private networks use), RFC 7686 (onion), RFC 8375 (home.arpa).
# The documentation names of RFC 2606 (example, test, invalid) are left alone: people write
# them where they mean a public host.
_PRIVATE_SUFFIXES = frozenset(
    [
        "localhost",
        "localdomain",
        "local",
        "intranet",
        "internal",
        "private",
        "corp",
        "home",
        "lan",
        "onion",
        "home.arpa",
    ]
)
# Where an IPv6 address holds an IPv4 one in its last 32 bits: RFC 6052 (NAT64), RFC 4291 2.5.5.1
# (IPv4-compatible), RFC 2765 (IPv4-translated).
_EMBEDDING = tuple(
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")
)
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")  # RFC 8215
_OCTET_BITS = 8
_ADDRESS_BITS = 32
_MAX_PARTS = 4


def is_public(host: str) -> bool:
    """Tell whether *host* could be a public host.

    Args:
        host: A host name or address as it stands in a URL, without port; an IPv6 address with
            or without its brackets.

    Returns:
        False for what is loopback, private, link-local, reserved or a name without a public
        suffix, in any spelling; True for everything else, whether or not it exists.

    Source: contract rule ``media.public``.
    """
    name = unicodedata.normalize("NFKC", unquote(host)).replace("\N{IDEOGRAPHIC FULL STOP}", ".")
    name = name.strip("[]").rstrip(".").lower()
    if not name.isprintable():  # IDNA drops some of them, and C libraries stop at a NUL
        return False
    address = _address(name.partition("%")[0])
    if address is not None:
        return _is_public_address(address)
    labels = name.split(".")
    return len(labels) > 1 and not {labels[-1], ".".join(labels[-2:])} & _PRIVATE_SUFFIXES


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if ":" in name:
        try:
            return ipaddress.IPv6Address(name)
        except ValueError:
            return None
    return _loose_ipv4(name)


def _loose_ipv4(name: str) -> ipaddress.IPv4Address | None:
    """Read an IPv4 address as ``inet_aton`` does: 1 to 4 parts, decimal, octal or hexadecimal.

    The last part fills all the bits that the parts before it leave.
    """
    parts = [_number(part) for part in name.split(".")]
    if len(parts) > _MAX_PARTS:
        return None
    value = 0
    for part in parts[:-1]:
        if part is None or part >= 1 << _OCTET_BITS:
            return None
        value = value << _OCTET_BITS | part
    last, bits_left = parts[-1], _ADDRESS_BITS - _OCTET_BITS * (len(parts) - 1)
    if last is None or last >= 1 << bits_left:
        return None
    return ipaddress.IPv4Address(value << bits_left | last)


def _number(part: str) -> int | None:
    try:
        if part.startswith("0x"):
            return int(part[2:] or "0", 16)
        return int(part, 8 if len(part) > 1 and part.startswith("0") else 10)
    except ValueError:
        return None


def _is_public_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if any(address in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(address) & (1 << _ADDRESS_BITS) - 1)
        if inner is not None:
            return _is_public_address(inner)
        if address.is_site_local or address in _LOCAL_NAT64:
            return False
    return address.is_global and not address.is_multicast
