"""Step keys: paths of names, made by the code's own structure.

A key is `scope/scope/name`, where a repeated name gets `#2`, `#3` and so on within its scope. `/`,
`#` and `%` inside a name are escaped, so a path splits one way only.
"""

from __future__ import annotations

RUN = ""
"""The key of records that belong to the run as a whole."""


def child(scope: str, name: str, nth: int) -> str:
    """The key of the `nth` use (from 1) of a name in a scope."""
    if "%" in name or "/" in name or "#" in name:
        name = name.replace("%", "%25").replace("/", "%2F").replace("#", "%23")
    key = f"{scope}/{name}" if scope else name
    return f"{key}#{nth}" if nth > 1 else key


def is_within(key: str, scope: str) -> bool:
    """True if `key` is `scope` or lies under it."""
    return not scope or key == scope or key.startswith(scope + "/")
