"""What becomes of a run's metrics: an offline run of Weights & Biases on the node, a figure and a report after it."""

from fl_app.tracking.tracker import Tracker, open_tracker

__all__ = ["Tracker", "open_tracker"]
