"""The durable log: what was decided, which uses are spent, where subjects were last seen."""
