"""The rounds: FedML's managers with round ids, quorum and deadline, checkpoints, and sites that leave and come back."""
