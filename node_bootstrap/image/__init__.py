"""The machine image: what it is made from, the components that make and test it, and what is put on it."""
