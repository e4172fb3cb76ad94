"""One JSON Schema a type of event; `agent.report.cloudevents.schema` reads them."""
