"""The review of a model that was made elsewhere, step by step; ``etymon.evidence.review`` holds the judgements."""
