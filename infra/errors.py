"""What a user can put right."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used; the message names it and the fix. Ends a job with exit 2."""
