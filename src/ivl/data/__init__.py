"""Data sets: readers, checks, packing, and batches for training."""
