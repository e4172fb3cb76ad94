"""Shipped models and their manifest."""
