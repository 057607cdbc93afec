"""Does the best hyperparameter stay where it is as the model widens (TP5, arXiv 2203.03466, Figs. 1, 3 and 4)?"""
