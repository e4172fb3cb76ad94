"""Simulated hardware, part of the product: as real as can be without a Pi."""
