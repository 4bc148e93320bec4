"""Writes a file of 1 GB. No file may be so large, and the disk is a bounded part of memory."""

POINTS = 3
SAYS = "OSError"
ANSWER = r"""with open('/tmp/big', 'wb') as f:
    for _ in range(1000):
        f.write(bytes(1 << 20))
"""
