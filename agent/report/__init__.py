"""Reporting to the fleet over MQTT."""
