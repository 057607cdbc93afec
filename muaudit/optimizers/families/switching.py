"""Optimizers that change from one law to another at a moment of their own choice.

SWATS, Keskar & Socher 2017, arXiv 1712.07628: Adam's steps until a learning rate for SGD, estimated in training, has
settled, SGD's from then on. Which of them trains a wide model longer cannot be seen before it is trained.
"""

from ..family import Family, Member

FAMILY = Family(
    name="switching",
    law=None,
    rule="it changes from Adam's steps to SGD's at a moment that training decides",
    members=(Member(("swats",)),),
)
