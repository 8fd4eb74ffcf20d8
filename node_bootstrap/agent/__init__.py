"""The agent: the one process that an instance runs for good. It does what its own account's operator wants of the node.

It polls its account's parameter store, fetches what the node is to run, runs it, and publishes how that goes.
"""
