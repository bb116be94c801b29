"""An event to an ``EmailMessage``, as people write it: jinja2 from a folder, the standard library's mail."""

from email.message import EmailMessage
from email.utils import formataddr, formatdate
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates" / "request.completed"),
    autoescape=select_autoescape(["html.j2"]),
    auto_reload=False,
)
SENDER = "Deployments <deploy@corp.example>"


def compose(event: dict[str, Any]) -> EmailMessage:
    """The mail for one event; text, HTML and the steps' logs."""
    content = event["data"]
    mail = EmailMessage()
    mail["Subject"] = f"{content['request']['title']}: completed"
    mail["From"] = SENDER
    mail["To"] = ", ".join(formataddr((one["name"], one["email"])) for one in content["recipients"]["to"])
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{event['id']}@corp.example>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_TEMPLATES.get_template("body.txt.j2").render(content))
    mail.add_alternative(_TEMPLATES.get_template("body.html.j2").render(content), subtype="html")
    for step in content["steps"]:
        if "log" in step:
            mail.add_attachment(step["log"]["text"].encode(), "text", "plain", filename=_filename(content, step))
    return mail


def _filename(content: dict[str, Any], step: dict[str, Any]) -> str:
    name = f"{content['request']['instance']}_{step['number']}_{step['name']}_{step['endpoint']}"
    return f"{name}({step['execution_id']}).log"
