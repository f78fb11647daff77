"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake that the user can mend.

    The message is one sentence or two: what was found, what was expected, what to do. The command
    line prints it without a traceback.
    """
