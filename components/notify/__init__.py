"""Tells people how a run ended: a chat, a mailbox, or a program behind a signed webhook."""
