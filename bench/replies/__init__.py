"""The inbound half: a folder full of replies to decisions on a queue, ours beside what a user would pick or write."""
