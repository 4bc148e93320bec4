"""A small vision transformer, tokens taken away from it, and orders in which a scan may run over an image.

``patchify``           an image as tokens                                        ``ViT``          the shared vision protocol's classifier
``gather_tokens``      only the kept tokens, padded to equal length              ``block_macs``   multiply-adds of one block on n tokens
``cross_scan_orders``  rows, columns, and both backwards                         ``inverse_orders``  the way back

Follows Dosovitskiy et al. (2021, §3.1) at the size of lesson 46, which builds it by hand; hard token dropping as in lesson 47 (Pan et al.
2021, §3), scan orders as in lesson 14 (Behrouz et al. 2024, ViM2).

``B`` batch, ``N`` patches, ``n`` = N + 1 tokens with the class token first, ``D`` width, ``H`` heads, ``K`` = D/H, ``m`` MLP ratio.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from minilib.attention import attention

__all__ = ["ViT", "ViTBlock", "block_macs", "cross_scan_orders", "gather_tokens", "inverse_orders", "patchify"]


def patchify(images: Float[Tensor, "b h w"], p: int = 2, *, mean: float = 0.3, std: float = 0.37) -> Float[Tensor, "b N {p*p}"]:
    """Cut images into patches of p × p pixels, row by row, and standardise them; the defaults are those of the digits.

    Raises:
        ValueError: the sides are no multiples of p.
    """
    if images.shape[1] % p or images.shape[2] % p:
        raise ValueError(f"images of {images.shape[1]} × {images.shape[2]} pixels cannot be cut into patches of {p} × {p}")
    patches = images.unfold(1, p, p).unfold(2, p, p).flatten(3).flatten(1, 2)
    return (patches - mean) / std


class ViTBlock(nn.Module):
    """x + attention(norm(x)), then + MLP(norm(x)): LayerNorm, ReLU, biases everywhere. (B, n, D) → (B, n, D)."""

    def __init__(self, D: int, heads: int, m: int):
        super().__init__()
        if D % heads:
            raise ValueError(f"the width {D} is not a multiple of {heads} heads")
        self.heads = heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(D), nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.norm2, self.mlp = nn.LayerNorm(D), nn.Sequential(nn.Linear(D, m * D), nn.ReLU(), nn.Linear(m * D, D))

    def project(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "3 b h n k"]:
        """Queries, keys and values of the normed tokens."""
        return self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def attend(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "..."] | None = None, keep: list[Tensor] | None = None
    ) -> Float[Tensor, "b n d"]:
        """What attention adds to the residual stream."""
        q, k, v = self.project(x)
        return self.out(attention(q, k, v, mask, keep=keep).transpose(1, 2).flatten(-2))

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "..."] | None = None, keep: list[Tensor] | None = None
    ) -> Float[Tensor, "b n d"]:
        x = x + self.attend(x, mask, keep)
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches → logits, read at the class token: (B, N, P) → (B, classes).

    Positions are a row table plus a column table, N(0, 0.5²): with the usual 0.02 such short sequences train far more slowly.

    Args:
        grid: patches down and across; one number for a square.
        patch: values in a patch (``P``).
    """

    def __init__(
        self,
        grid: int | tuple[int, int],
        D: int = 32,
        layers: int = 3,
        heads: int = 4,
        mlp_ratio: int = 2,
        *,
        patch: int = 4,
        classes: int = 10,
    ):
        super().__init__()
        rows, columns = (grid, grid) if isinstance(grid, int) else grid
        self.patch_embedding = nn.Linear(patch, D)
        self.row = nn.Parameter(torch.randn(rows, 1, D) * 0.5)
        self.column = nn.Parameter(torch.randn(1, columns, D) * 0.5)
        self.cls = nn.Parameter(torch.randn(D) * 0.02)
        self.blocks = nn.ModuleList(ViTBlock(D, heads, mlp_ratio) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, classes)

    def embed(self, P: Float[Tensor, "b N p"]) -> Float[Tensor, "b n d"]:
        """The class token, then the patches with their positions."""
        positions = (self.row + self.column).flatten(0, 1)
        if P.shape[1] != len(positions):
            raise ValueError(f"{P.shape[1]} patches do not fill a grid of {len(self.row)} × {self.column.shape[1]}")
        return torch.cat([self.cls.expand(len(P), 1, -1), self.patch_embedding(P) + positions], dim=1)

    def classify(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b c"]:
        """Logits from the class token of the last block."""
        return self.head(self.norm(x[:, 0]))

    def forward(
        self, P: Float[Tensor, "b N p"], mask: Bool[Tensor, "..."] | None = None, keep: list[Tensor] | None = None
    ) -> Float[Tensor, "b c"]:
        """Logits.

        Args:
            mask: True where a query may see a key, the class token being number 0; broadcasts to (B, H, n, n).
            keep: a list that records the weights of attention (B, H, n, n), one tensor a block.
        """
        x = self.embed(P)
        for block in self.blocks:
            x = block(x, mask, keep)
        return self.classify(x)


# -------------------------------------------------------------------------------------------------------------------- fewer tokens


def gather_tokens(x: Float[Tensor, "b n d"], keep: Bool[Tensor, "b N"]) -> tuple[Float[Tensor, "b k d"], Bool[Tensor, "b k"]]:
    """``(x', valid)``: the class token and the kept patches in their order, padded with zeros to the longest row.

    ``valid`` is False at padding; ``mask=valid[:, None, None]`` keeps later blocks from looking there.
    """
    if keep.shape != (len(x), x.shape[1] - 1):
        raise ValueError(f"keep must say of {len(x)} × {x.shape[1] - 1} patches whether they stay, got shape {tuple(keep.shape)}")
    stays = torch.cat([keep.new_ones(len(x), 1), keep], dim=1)
    count = stays.sum(1)
    longest = int(count.max())
    order = (~stays).to(torch.int8).argsort(dim=1, stable=True)[:, :longest]
    valid = torch.arange(longest, device=x.device) < count[:, None]
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2])) * valid[..., None], valid


def block_macs(n: int | Tensor, D: int, m: int) -> int | Tensor:
    """Multiply-adds of one block on n tokens: 4nD² for the projections, 2n²D for scores and mixing, 2mnD² for the MLP."""
    return 4 * n * D**2 + 2 * n**2 * D + 2 * m * n * D**2


# ------------------------------------------------------------------------------------------------------------ orders of an image


def cross_scan_orders(h: int, w: int) -> Int[Tensor, "4 {h*w}"]:
    """Four orders of the tokens of an h × w grid: rows, rows backwards, columns, columns backwards. ``x[:, order]`` is the sequence."""
    rows = torch.arange(h * w)
    columns = rows.view(h, w).T.flatten()
    return torch.stack([rows, rows.flip(0), columns, columns.flip(0)])


def inverse_orders(orders: Int[Tensor, "o l"]) -> Int[Tensor, "o l"]:
    """What undoes each order: ``y[:, inverse]`` puts a scanned sequence back on its grid."""
    return orders.argsort(dim=1)
