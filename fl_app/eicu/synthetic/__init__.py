"""A synthetic eICU: the release's files, columns and quirks, plausible physiology, and no patient."""

from fl_app.eicu.synthetic.write import synthesize

__all__ = ["synthesize"]
