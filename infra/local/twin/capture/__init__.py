"""What crosses a hospital's border, read in plain text by a test: sentinels, the search for them, a man in the middle.

For tests alone. Nothing that a user runs imports this folder (a test holds that): the man in the middle needs
certificates of the federation's own authority, which only a test that has made the authority can give it.
"""
