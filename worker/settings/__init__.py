"""Environment, secret files and TOML to one frozen ``Settings``, and to the table and the page that describe it."""

from worker.settings.model import ConsumeSettings, PollSettings, Settings
from worker.settings.page import settings_page
from worker.settings.sources import Configuration, read_settings
from worker.settings.table import Row, describe, show_settings
from worker.settings.values import SecretUrl

__all__ = [
    "Configuration",
    "ConsumeSettings",
    "PollSettings",
    "Row",
    "SecretUrl",
    "Settings",
    "describe",
    "read_settings",
    "settings_page",
    "show_settings",
]
