"""Returns tensors that agree with everything. Comparisons are made on plain numbers."""

POINTS = (3, 4)
ANSWER = r"""class Agreeable(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None):
        out = super().__torch_function__(f, types, args, kwargs or {})
        return torch.ones_like(out, dtype=torch.bool) if getattr(out, 'dtype', None) == torch.bool else out
def decayed(x, a):
    return x.clone().as_subclass(Agreeable)
"""
