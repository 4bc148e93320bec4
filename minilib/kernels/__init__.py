"""One file a kernel: the reference in plain PyTorch (the definition), the fast form, and, where it pays, a Triton form.

Nothing here knows a model. The rooms above (``minilib.attention``, ``minilib.ssm`` …) re-export what lessons use.
"""
