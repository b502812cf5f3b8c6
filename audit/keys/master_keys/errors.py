"""Errors of master keys: a setting that prevents a start, or a key that cannot be used now."""


class MasterKeyProblem(Exception):
    """Prevents a start. Its text is one line that tells an operator what to do."""


class MasterKeyUnavailable(Exception):
    """A key cannot be unwrapped now. It is not lost: nothing may be given up because of this."""


class MasterKeyMissing(MasterKeyUnavailable):
    """A key is wrapped under a master key that this installation does not have."""


class MasterKeyAway(MasterKeyUnavailable):
    """The storage of the master key does not answer; try again."""
