"""Which quantity leaves its range first in a run that goes wrong, what lets it, and the same in a small model.

`watched` trains and records, `out_of_range` says what is out of range, `causes` holds it against the audit, `reverse`
brings the large run's trouble down to a small width (TP5, arXiv 2203.03466, App. I).
"""
