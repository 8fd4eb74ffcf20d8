"""The twin's own world: Linux namespaces in which everything lives that the twin makes, and with which it is gone."""
