"""How the documents' numbers were made; only the front door imports it."""
