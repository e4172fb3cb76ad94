"""One JSON Schema a type of event; `agent.report.events.schema` reads them."""
