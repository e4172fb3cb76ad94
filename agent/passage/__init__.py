"""The state machine of one passage: (state, event, time) -> (state, effects). Pure."""
