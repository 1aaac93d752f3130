"""What is wrong with a media file, in words, on the way from the process that looks at it."""


class Problem(Exception):
    """A file cannot be looked at; its words follow the file's name in a message."""
