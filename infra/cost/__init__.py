"""What a federation costs by AWS's price list: its templates times a dated table, honest about what is unknown."""

from infra.cost.estimate import Estimate, Item, Run, Sum, estimate
from infra.cost.prices import BadPrices, Price, Prices

__all__ = ["BadPrices", "Estimate", "Item", "Price", "Prices", "Run", "Sum", "estimate"]
