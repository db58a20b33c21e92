"""How arrays in files of other people are read: when they are mapped, and how far they may be compressed."""

FREE_BYTES = 16 << 20
"""An array of at most so many bytes may be compressed by any factor."""

MAX_COMPRESSION = 50
"""By what factor larger arrays may be compressed. Images and features reach about 10."""

MAPPED_BYTES = 16 << 20
"""Arrays of at least so many bytes are mapped into memory, if they lie in one piece in the file."""
