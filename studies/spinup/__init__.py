"""Starting the basin from generated states, and what it saves."""
