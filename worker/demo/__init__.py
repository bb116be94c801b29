"""The whole loop on one machine with nothing installed: a broker, two mail servers, and the product between them.

For trying out. Everything listens on loopback, lives in memory, and ends with the command.
"""
