"""The `cornernet` command."""
