"""Engines: backends that turn latents into pictures, one thread a device."""
