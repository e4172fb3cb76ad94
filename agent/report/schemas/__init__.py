"""One JSON Schema a type of event; `agent.journal.events.schema` reads them."""
