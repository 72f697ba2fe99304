"""Rules for values. No models: everything else may use this package."""
