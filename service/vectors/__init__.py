"""Test vectors, computed: every loss's cases with their answers, as JSON and as safetensors files."""
