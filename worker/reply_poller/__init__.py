"""Raw mails in the reply folder to decisions on the approvals queue; ``poller`` is the loop."""
