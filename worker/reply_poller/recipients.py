"""The recipient fields of a raw header to whether one of them is an address of ours."""

import re

FIELDS = "TO CC DELIVERED-TO X-ORIGINAL-TO"
"""Where a mail says for whom it is; the last two are the delivering server's."""

_MOST_SUB_ADDRESS = 200  # RFC 5321 4.5.3.1.1 allows 64 for all of the local part


def is_for(address: str, separator: str, fields: bytes) -> bool:
    """Whether ``address`` or one of its sub-addresses stands there, letter case aside.

    ``separator`` is what stands between the local part and what is added to it; empty: there are no sub-addresses.
    """
    local, _, domain = address.rpartition("@")
    added = rf"(?:{re.escape(separator)}[^\s@<>,;\"]{{0,{_MOST_SUB_ADDRESS}}})?" if separator else ""
    ours = rf"(?<![\w.!#$%&'*+/=?^`{{|}}~@-]){re.escape(local)}{added}@{re.escape(domain)}(?![\w.-]*\w)"
    return re.search(ours, fields.decode("utf-8", "replace"), re.IGNORECASE) is not None
