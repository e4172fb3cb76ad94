"""One module a subcommand of `idgate`."""
