"""The version of this package."""

VERSION = "0.1.0"
"""The version of this package, and of the binary that it works with."""
