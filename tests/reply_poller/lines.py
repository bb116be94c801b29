"""Lines of a header to ``Headers`` and ``Reply``: only what a test is about is written."""

from collections.abc import Mapping

from worker.reply_poller.reply import Headers, Reply


def headers(*lines: str) -> Headers:
    """``Name: value`` each, topmost first."""
    pairs = (line.partition(":") for line in lines)
    return Headers(tuple((name.lower(), value.strip(" ")) for name, _, value in pairs))


def a_reply(
    *lines: str,
    subject: str = "Re: Deploy Billing 4.2 to PROD?",
    text: str = "Approve\n",
    media_type: str = "text/plain",
    parameters: Mapping[str, str] | None = None,
    reports: tuple[Headers, ...] = (),
) -> Reply:
    """A mail of Dana's, unless its header says otherwise."""
    written = lines if any(line.lower().startswith("from:") for line in lines) else ("From: dana@corp.example", *lines)
    return Reply(
        digest=b"",
        headers=headers(*written),
        subject=subject,
        media_type=media_type,
        parameters=parameters or {},
        text=text,
        reports=reports,
    )
