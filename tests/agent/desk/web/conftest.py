"""The staff's pages, served to a real Chromium."""

from __future__ import annotations

from tests.support.desk_browser import chromium

__all__ = ["chromium"]
