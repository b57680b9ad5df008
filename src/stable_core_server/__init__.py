"""The HTTP server: one face of the core, which it only calls. No module of the core knows it."""
