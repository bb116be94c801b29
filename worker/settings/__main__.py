"""``docs/settings.md`` to standard output: ``python -m worker.settings > docs/settings.md``."""

import sys

from worker.settings.page import settings_page

sys.stdout.write(settings_page())
