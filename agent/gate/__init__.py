"""The decider's side of the gate: what it asks of the gatekeeper, and what it hears from it."""
