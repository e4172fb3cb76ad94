"""The small process that owns a gate's lines; it depends on nothing large."""
