"""Where strangers' pictures meet C code: processes that may hang or die, and who keeps them."""
