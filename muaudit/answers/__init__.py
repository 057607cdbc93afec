"""How a finding is answered: by configuration, by a comment on its line, or by the baseline. Free of torch."""
