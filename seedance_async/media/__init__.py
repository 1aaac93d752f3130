"""What looks at media: format, size, duration. Needs the extra ``media``; see ``worker``."""
