"""eICU: raw tables to training tensors, hospitals to sites, and a synthetic eICU to try both on."""
