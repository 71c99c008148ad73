"""The quality benchmark's own parts."""
