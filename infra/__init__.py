"""The operator's side of Federate: it runs where the coordinator or a hospital's cloud admin sits."""
