"""The measured coordinate check (TP5, arXiv 2203.03466, App. D.1): train at several widths and see what stays flat.

`run_settings` says what to run, `measure` trains, `measurement` holds the numbers, `verdict` judges them.
"""
