"""The measured coordinate check (TP5, arXiv 2203.03466, App. D.1): train at several widths and see what stays flat.

`settings` says what to run, `run` trains and measures, `data` holds the numbers, `judge` gives the verdict.
"""
