"""The files that wirestamp's processes share: memory-mapped, append-only logs, one writer and any number of readers.

`layout` says what the bytes mean, `segment` owns one mapped file, `writer` appends, `reader` reads and tails, `runs`
names the folders, `retention` deletes what is old. Every other package may import this one; it imports none of them.
"""
