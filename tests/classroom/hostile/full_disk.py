"""Fills every folder that can be written to. Bounded, private, gone with the sandbox."""

LONG = True
POINTS = 6
ANSWER = r"""import os
for folder in ('/tmp', '/home/student', '/dev/shm', '/var/tmp', '/'):
    try:
        for i in range(20):
            with open(f'{folder}/{i}', 'wb') as f:
                f.write(bytes(32 << 20))
    except OSError:
        pass
assert os.statvfs('/tmp').f_blocks * os.statvfs('/tmp').f_frsize <= 1 << 28, 'the host'
def decayed(x, a):
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] += a * y[:, t - 1]
    return y
"""
