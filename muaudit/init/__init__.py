"""`muaudit init`: look through a repository, try every model in it, and write the configuration that audits them."""
