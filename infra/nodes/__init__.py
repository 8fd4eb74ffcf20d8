"""Nodes from the operator's side: what they are given, what is wanted of them, and what they say.

Nobody connects to a node for that: it reads and publishes in its own account's parameter store and bucket.
"""
