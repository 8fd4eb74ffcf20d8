"""What runs on a ready node: FedML cross-silo training. Knows nothing of AWS."""
