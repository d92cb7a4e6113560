"""Planners: load estimate and mapping in, plan out. Packing, bounds, and the check of a plan."""
