"""The job as a Flower app."""
