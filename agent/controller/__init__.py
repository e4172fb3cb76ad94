"""The thread that decides: events in, the machine asked, its effects carried out, rows written."""
