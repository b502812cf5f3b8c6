class UnreadableDocument(Exception):
    """The document is refused. The argument is a code, for programs and for people's words."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
