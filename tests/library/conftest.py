"""The shapes in minilib's signatures are promises; here they are checked at every call (jaxtyping with beartype).

Files that hold a Triton kernel are left alone: its interpreter reads their source and would find our decorators there. In a session that
has imported a module before, that module stays as it is.
"""

from pathlib import Path

from jaxtyping import install_import_hook

ROOT = Path(__file__).parents[2]


def promising() -> list[str]:
    """Every module of minilib that writes shapes into its signatures."""
    found = []
    for path in sorted((ROOT / "minilib").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "from jaxtyping import" in source and "triton" not in source:
            found.append(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return found


install_import_hook(promising(), "promise.promise")
