"""The prompt language: from what a person types to texts, weights, schedules and chunks. No models, no torch."""
