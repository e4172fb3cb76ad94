"""The staff's pages: routes that read like a table, pages made on the server, little script."""
