"""The standard shape: what sfsync mirrors, what it promises, and the source that an org needs for it."""
