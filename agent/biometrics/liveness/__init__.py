"""Presentation attack detection (ISO/IEC 30107-3): a face, or a picture of one?"""
