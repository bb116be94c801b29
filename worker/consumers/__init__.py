"""Deliveries to mails that the server has taken: receive a batch, compose, claim, send, record, settle."""
