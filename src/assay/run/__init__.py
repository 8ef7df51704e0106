"""How work is spread: over local processes here, over Ray later; the same two verbs, map and shuffle."""
