"""Journal and mapping in memory: the storm's."""

from plb_ray.simulation.storm.stores import MemoryJournal, MemoryMapping

__all__ = ["MemoryJournal", "MemoryMapping"]
