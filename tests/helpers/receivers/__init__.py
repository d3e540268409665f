"""Those who get notifications, on 127.0.0.1."""

from receivers.mail import Mailbox, smtp
from receivers.web import Request, Script, authority, http

__all__ = ["Mailbox", "Request", "Script", "authority", "http", "smtp"]
