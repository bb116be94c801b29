"""Every error that leaves a module, by the one question it answers: again, or give up.

::

    CountersignError
    ├── TransientError             again
    │   ├── OutageError            the server's fault: stop, hand back, count nothing
    │   └── LeaseLostError         another poller reads the mailbox now (reply_poller/lease.py)
    ├── PermanentError             give up: the same input fails the same way
    │   ├── InvalidEventError      the delivery is not an event that we know
    │   ├── TemplateError          a template failed on this event
    │   ├── UnreadableError        a mail breaks a limit, or what reads it (reply_poller/reader.py)
    │   └── RefusedError           the mail server said 5yz
    ├── SettingsError              a person has to change a setting first
    └── TopologyError              a person has to change a queue or a permission first
"""


class CountersignError(Exception):
    """Base of all; ``str(error)`` is a sentence for a person, without secrets or bodies."""


class TransientError(CountersignError):
    """The same thing may work later."""


class OutageError(TransientError):
    """A server (mail, broker, journal) is away or refuses everybody; no event is to blame."""


class PermanentError(CountersignError):
    """The same thing fails again; a person or an upstream system has to act."""


class InvalidEventError(PermanentError):
    """A delivery that is not an event of the contract; the text names the field and what it should be."""


class TemplateError(PermanentError):
    """A template could not be loaded, or failed on this event; the text names file and line."""


class RefusedError(PermanentError):
    """The mail server refused the mail for good (5yz)."""


class SettingsError(CountersignError):
    """A setting is missing, misspelt or contradicts another; the text says which and what to do."""


class TopologyError(CountersignError):
    """The broker has an exchange or a queue that is not as planned; the text says which and how it differs."""
