"""What plugin authors test with: `contract`, a plugin for pytest."""
