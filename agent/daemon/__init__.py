"""The composition root: builds one gate from its settings, runs it, shuts it down."""
