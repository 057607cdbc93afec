"""The sixteen kinds of value, one file each: equation, exponents forwards and backwards, words.

| kind      | meaning                                                       | fields of a value                    |
|-----------|---------------------------------------------------------------|--------------------------------------|
| param     | a parameter                                                   | name                                 |
| data      | nothing trainable flows in: constant, buffer, input           | c: exponent of its rms, -inf if zero |
| scale     | arg × a constant of exponent c (e: default size of a norm)    | c, e                                 |
| view      | the same entries, some of them, repeated or reordered         |                                      |
| join      | sum, concatenation or selection of the args                   |                                      |
| lookup    | rows of a table                                               |                                      |
| contract  | sum over a shared dim of arg0 × arg1                          | e: its exponent                      |
| mul       | elementwise product                                           |                                      |
| power     | homogeneous elementwise function of degree p (relu: 1)        | c: p                                 |
| reduce    | sum (mean=False) or mean over dims of exponent e              | e, mean                              |
| norm      | arg divided by its own size                                   | e: exponent of the normalised dims   |
| softmax   | softmax (e: exponent of its dim) or log-softmax               | e                                    |
| act       | elementwise function with a scale of its own                  | c: degree at large arguments, low    |
| loss      | a loss function of arg0                                       |                                      |
| unknown   | not understood                                                | note                                 |
| term      | what one branch adds to the residual stream                   | e: exponent of the number of terms   |
"""

from __future__ import annotations

from collections.abc import Mapping

from ..values import Kind, Value
from .act import Act
from .contract import Contract
from .data import Data
from .join import Join
from .lookup import Lookup
from .loss import Loss
from .meaning import Meaning
from .mul import Mul
from .norm import Norm
from .param import Param
from .power import Power
from .reduce import Reduce
from .scale import Scale
from .softmax import Softmax
from .term import Term
from .unknown import Unknown
from .view import View

MEANINGS: Mapping[Kind, Meaning] = {
    "param": Param(), "data": Data(), "scale": Scale(), "view": View(), "join": Join(), "lookup": Lookup(),
    "contract": Contract(), "mul": Mul(), "power": Power(), "reduce": Reduce(), "norm": Norm(), "softmax": Softmax(),
    "act": Act(), "loss": Loss(), "unknown": Unknown(), "term": Term(),
}  # fmt: skip


def meaning(v: Value) -> Meaning:
    """What the kind of a value is for."""
    return MEANINGS[v.kind]
