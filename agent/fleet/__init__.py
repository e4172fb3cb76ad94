"""The fleet's side: collects, watches, exports, simulates and commands gates over MQTT."""
