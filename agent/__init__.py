"""The gate agent: decides who passes. It knows no hardware, only `hal`'s interfaces."""

__version__ = "0.1.0"
