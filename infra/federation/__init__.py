"""What a federation is, and whether it makes sense. Pure: no AWS, no network, no torch."""
