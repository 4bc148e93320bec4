"""Archives with flipped bytes, in every place where a zip can be broken. They cost their own student's entry, not the whole export."""

import io
import random
import zipfile

SAYS = {"refused": ["damaged"], "new": ["bob"]}


def export(write, notebook):
    packed, chance = io.BytesIO(), random.Random(0)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("98_decay.ipynb", notebook)
    whole = packed.getvalue()
    entries = {"bob/98_decay.ipynb": notebook, "ada/empty.zip": b"", "ada/short.zip": whole[: len(whole) // 2]}
    for i in range(200):
        data = bytearray(whole)
        for place in chance.sample(range(len(data)), 3) + chance.sample(range(len(data) - 90, len(data)), 1):
            data[place] ^= 1 << chance.randrange(8)
        entries[f"nobody/{i}.zip"] = bytes(data)
    return write(entries)
