"""The command line: a module of this package for each subcommand or family of them."""

__all__ = ()
