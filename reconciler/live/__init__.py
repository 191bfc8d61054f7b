"""The account as it is: read whole or not at all, in the same types as what is desired."""
