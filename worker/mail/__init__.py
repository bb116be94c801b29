"""What leaves: words and attachments to bytes, and bytes to a mail server that has taken them."""
