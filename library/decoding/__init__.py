"""Decoding in processes of their own: a decoder that crashes costs one refused file."""
