"""The state archive: its format, writer, reader, and how its states are split."""
