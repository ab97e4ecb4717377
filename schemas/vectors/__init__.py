"""Test vectors: what requests are drawn of every loss, so that implementations in any language can be held to it."""
