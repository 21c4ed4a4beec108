"""The search: proposers over an archive, a scheduler over the ladder, and the campaign itself."""
