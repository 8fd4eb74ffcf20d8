"""The architecture as a picture, drawn from the synthesised templates: it shows what is deployed."""

from infra.deployment.picture.drawing import as_svg
from infra.deployment.picture.reading import read

__all__ = ["as_svg", "read"]
