"""Edits of the user's source that mend findings: proposed, tried by an audit, shown as a diff, made."""
