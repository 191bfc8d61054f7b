"""The nouns and verbs of paygift: frozen data, and the rules that need nothing else. Pure."""
