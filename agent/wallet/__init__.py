"""The phone's page: static files that any web server may hand out; nothing here runs on a gate."""
