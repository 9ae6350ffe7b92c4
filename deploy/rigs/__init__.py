"""Rig files that ship with the package; `sensorfuse.rig.shipped_rig(name)` finds them."""
